"""The interface of a model: the networks, and everything that the rest of the project asks of them.

A kind of model is a subclass of `Autoencoder` in its own module in `aae/kinds/`. It declares how the model is built,
its trainer, the prior it is trained for, its codes, the inputs of its decoder, its losses, its FLOPs and its titles.
Stages, metrics, claims, figures and the page ask the class, so none of them refers to a kind by name. docs/extending.md
shows how to add one.
"""

import importlib
import math
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

import aae.kinds
from aae.errors import InputError
from aae.flops import layer_sizes
from aae.priors import Prior

if TYPE_CHECKING:
    from aae.trainer import Trainer


class Linear(nn.Linear):
    """PyTorch's linear layer, initialised uniformly within ±1 / sqrt(inputs), with the same bits on every machine.

    PyTorch scales its random numbers with one fma if the processor has it, and with two roundings otherwise. Here the
    product is exact in float64, so rounding it once gives the fma's result.
    """

    @torch.no_grad()
    def reset_parameters(self) -> None:
        bound = torch.tensor(1 / math.sqrt(self.in_features), dtype=torch.float32).double()
        for parameter in (self.weight, self.bias):
            parameter.copy_(torch.rand(parameter.shape).double() * (2 * bound) - bound)


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers of the given sizes with ReLU between them; the last layer is linear."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def to_inputs(images: np.ndarray) -> Tensor:
    """Converts images, uint8 [n, height, width, channels], to a model's inputs, float32 [n, pixels] in [0, 1]."""
    return torch.from_numpy(images.reshape(len(images), -1).astype("float32") / 255)


@dataclass(frozen=True)
class CodesKind:
    """A kind of codes that a model has: one code per image.

    `suffix` follows `codes`, `reconstruction` and `labels` in the names of metrics. `name` (a word) and `title`
    identify the codes; they are empty for a model with a single kind. `gloss` explains such a code in a few words.
    """

    suffix: str
    name: str = ""
    title: str = ""
    gloss: str = ""


# The codes of an encoder that returns the mean and log-variance of q(z|x), a Gaussian with diagonal covariance.
GAUSSIAN_CODES = (
    CodesKind("", "means", "means of q(z|x)", "one code per image, its average"),
    CodesKind("_sampled", "samples", "samples of q(z|x)", "one code drawn for each image"),
)


def gaussian_codes(outputs: Tensor, noise: Tensor) -> dict[str, Tensor]:
    """suffix -> codes [n, code_size], for GAUSSIAN_CODES: means, and means plus standard deviations times `noise`.

    `outputs` [n, 2 code_size] has the means and then the log-variances.
    """
    mean, log_variance = outputs.chunk(2, dim=1)
    std = torch.exp(log_variance.double() / 2).float()  # in float32, processors differ in its last bit
    return {"": mean, "_sampled": mean + std * noise}


@dataclass(frozen=True)
class LossChart:
    """A chart of training losses in the report. Models whose charts have the same title share one chart.

    `lines` maps each loss in the chart to the name of its line; an empty name stands for the model's title. Lines after
    the first are dashed. `level` is the name and value of a horizontal line to compare with.
    """

    title: str
    unit: str
    lines: dict[str, str]
    level: tuple[str, float] | None = None


class Autoencoder(nn.Module, ABC):
    """An encoder, a decoder and possibly a discriminator; the base class of every kind of model.

    `sizes` are the arguments that build the same model again: at least `pixels`, `code_size` and the widths of the
    hidden layers of encoder and decoder.
    """

    Settings: ClassVar[type]  # a dataclass as in aae/settings.py: the keys of a section of params.yaml
    title: ClassVar[str]  # short, for tables and legends
    long_title: ClassVar[str]  # in words, without an article
    loss_charts: ClassVar[Sequence[LossChart]]
    compared_with: ClassVar[str | None] = None  # the reference kind of the post's claims, if they judge this kind

    def __init__(
        self,
        *,
        encoder_outputs: int,
        decoder_inputs: int | None = None,
        encoder_inputs: int | None = None,
        **sizes: Any,
    ):
        super().__init__()
        self.sizes = {name: list(value) if name.endswith("_widths") else value for name, value in sizes.items()}
        self.pixels, self.code_size = sizes["pixels"], sizes["code_size"]
        self.encoder = mlp(encoder_inputs or self.pixels, *sizes["encoder_widths"], encoder_outputs)
        self.decoder = mlp(decoder_inputs or self.code_size, *sizes["decoder_widths"], self.pixels)
        self.discriminator: nn.Sequential | None = None
        self.label_classes = 0  # one-hot columns of the label that the discriminator takes after a code
        self.decoder_classes = 0  # the number of labels that the decoder can take with a code; 0 if it takes none

    # --- networks and prior ---------------------------------------------------------------------------

    @classmethod
    def sizes_of(cls, settings: Any, pixels: int, code_size: int, classes: int) -> dict[str, Any]:
        """The arguments that build the model of `settings`: here `pixels`, `code_size` and all settings of widths.

        `classes` is the number of labels in the data.
        """
        names = [field.name for field in fields(settings) if field.name.endswith("_widths")]
        return {"pixels": pixels, "code_size": code_size} | {name: getattr(settings, name) for name in names}

    @classmethod
    @abstractmethod
    def prior(cls, settings: Any, code_size: int, classes: int) -> Prior:
        """The prior that the model of `settings` is trained for, and that its codes are measured against."""

    @classmethod
    def check(cls, settings: Any, code_size: int) -> None:
        """Raises InputError if settings contradict each other; the line begins with the key within the section."""

    # --- codes and images -----------------------------------------------------------------------------

    @classmethod
    def codes_kinds(cls, settings: Any) -> tuple[CodesKind, ...]:
        """The kinds of codes of the model of `settings`.

        The suffix of the codes that the pictures show is empty. The distribution of the last kind of codes is the
        aggregated posterior q(z). They may be the same.
        """
        return (CodesKind(""),)

    @property
    def output_size(self) -> int:
        """The number of columns of `outputs`."""
        return layer_sizes(self.encoder)[-1]

    def outputs(
        self, images: Tensor, noise: Tensor | None = None, encoder: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """The encoder's outputs [n, outputs] for `images`, float [n, pixels] in [0, 1].

        `encoder` runs the encoder, by default with PyTorch's products. `noise` [n, code_size] is standard normal, for
        an encoder that takes noise; without it, the outputs have only what the codes in the pictures need.
        """
        return (encoder or self.encoder)(images)

    def codes(self, outputs: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """suffix -> codes [n, code_size], for `codes_kinds` in their order, from the encoder's `outputs` [n, outputs].

        `noise` [n, code_size] is standard normal, for codes that are sampled. No weight of the model takes part,
        because training stores the outputs of every epoch, but weights only in snapshots.
        """
        return {"": outputs}

    def decoder_inputs(self, codes: Tensor, outputs: Tensor | None = None, labels: Tensor | None = None) -> Tensor:
        """The decoder's inputs [n, inputs] for `codes` [n, code_size].

        `outputs` [n, outputs] are the encoder's outputs for the codes' images, or None for codes without an image, such
        as those on a grid. `labels`, int64 [n], are for a decoder that takes them; None if they are unknown. Without
        both, this must be an affine function of the code, because the report's page relies on that.
        """
        return codes

    def encode(self, images: Tensor) -> Tensor:
        """The codes [n, code_size] that the pictures show, for images, float [n, pixels] in [0, 1]."""
        return self.pictured_codes(self.outputs(images))

    def pictured_codes(self, outputs: Tensor) -> Tensor:
        """The codes [n, code_size] that the pictures show, from the encoder's `outputs` [n, outputs]."""
        return self.codes(outputs, outputs.new_zeros(outputs.shape[0], self.code_size))[""]

    def decode(self, codes: Tensor) -> Tensor:
        """The logits of the pixels [n, pixels] for `codes` [n, code_size]."""
        return self.decoder(self.decoder_inputs(codes))

    # --- training -------------------------------------------------------------------------------------

    @abstractmethod
    def trainer(self, settings: Any, images: Tensor, labels: Tensor | None, prior: Prior, **training: Any) -> "Trainer":
        """The trainer of this model, on the model's device.

        Args:
            settings: an instance of `Settings`.
            images: uint8 [N, pixels].
            labels: int64 [N], or None if the data has none.
            prior: as `prior` returns it.
            training: the keywords `seed`, `batch_size`, `steps` (iterations of the whole training) and `shards` of
                `Trainer`.

        Raises InputError if settings do not fit the data; the line begins with the key within the section.
        """

    @classmethod
    def divided_rows(cls, settings: Any, batch_size: int) -> dict[str, int] | None:
        """The numbers of rows that shards must divide (aae/ranks.py), by their names in an error.

        None, the default, says that the kind's trainer cannot divide its minibatches.
        """
        return None

    @abstractmethod
    def iteration_flops(self, settings: Any, batch_size: int) -> int:
        """FLOPs per training iteration with `settings`, counted as in `aae.flops`."""


@dataclass(frozen=True)
class Recipe:
    """A kind of model with its settings. Its name begins the names of its runs. Recipes may share a kind."""

    name: str
    kind: type[Autoencoder]
    settings: Any  # an instance of kind.Settings

    @property
    def title(self) -> str:
        """For tables and legends: `AAE` for the recipe `aae`, `AAE wide` for a recipe `aae_wide` of that kind."""
        kind = kind_name(self.kind)
        if self.name == kind:
            return self.kind.title
        return f"{self.kind.title} {self.name.removeprefix(f'{kind}_')}"

    @property
    def codes_kinds(self) -> tuple[CodesKind, ...]:
        """The kinds of codes that the model has."""
        return self.kind.codes_kinds(self.settings)

    @property
    def aggregated(self) -> CodesKind:
        """The codes whose distribution is the aggregated posterior q(z)."""
        return self.codes_kinds[-1]

    @property
    def pictured(self) -> CodesKind:
        """The codes that the pictures show."""
        return next(kind for kind in self.codes_kinds if kind.suffix == "")

    @property
    def other_codes(self) -> list[CodesKind]:
        """The kinds of codes other than the aggregated ones."""
        return list(self.codes_kinds[:-1])

    def sizes(self, pixels: int, code_size: int, classes: int) -> dict[str, Any]:
        """The arguments that build the model."""
        return self.kind.sizes_of(self.settings, pixels, code_size, classes)

    def prior(self, code_size: int, classes: int) -> Prior:
        """The prior the model is trained for; raises InputError if it needs labels and the data has none."""
        if not classes and (prior := self.kind.prior(self.settings, code_size, 1)).classes:
            raise InputError(
                f"{self.name}.prior: {prior.kind} has one part per class, but the data (data.path) has no labels; "
                "allowed: a prior without classes, such as normal"
            )
        return self.kind.prior(self.settings, code_size, classes)


def compared_with(recipe: Recipe, recipes: Sequence[Recipe]) -> Recipe | None:
    """The reference of `recipe` in the claims: the first of `recipes` with the kind that its kind names, or None."""
    others = (other for other in recipes if kind_name(other.kind) == recipe.kind.compared_with and other != recipe)
    return next(others, None)


def kind_names() -> list[str]:
    """The names of all kinds of models: the modules in `aae/kinds/`."""
    return sorted(module.name for module in pkgutil.iter_modules(aae.kinds.__path__))


def find_kind(name: str) -> type[Autoencoder]:
    """The class of the kind `name`, `MODEL` in its module; raises ValueError for an unknown kind."""
    if name not in kind_names():
        raise ValueError(f"find_kind: kind must be one of {', '.join(kind_names())}, got {name}")
    return importlib.import_module(f"aae.kinds.{name}").MODEL


def kind_name(kind: type[Autoencoder]) -> str:
    """The name with which `find_kind` finds the class."""
    return kind.__module__.rpartition(".")[2]


def build_model(kind: str, seed: int, **sizes: Any) -> Autoencoder:
    """A model of the `kind` with PyTorch's initialisation from `seed`, the same on every machine.

    It is initialised on the CPU, whatever device trains it. The global generator keeps its state.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return find_kind(kind)(**sizes)
