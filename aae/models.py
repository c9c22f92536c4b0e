"""What a model is: the networks, and everything that the rest of the project asks of them.

A kind of model is a subclass of `Autoencoder` in a module of its own in `aae/kinds/`. It declares how it is built, what
trains it, which prior it is trained for, which codes it has, what its decoder takes, its losses, its FLOPs and its
titles. Stages, metrics, claims, figures and the page ask the class, so that none of them knows a kind by name.
docs/extending.md walks through adding one.
"""

import importlib
import math
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

import aae.kinds
from aae.errors import InputError
from aae.priors import Prior

if TYPE_CHECKING:
    from aae.trainer import Trainer


class Linear(nn.Linear):
    """PyTorch's linear layer and its initialisation, uniform within 1 / sqrt(inputs), in the same bits everywhere.

    PyTorch scales its random numbers with one fma where the processor has one, and with two roundings elsewhere. Here
    the product is exact in float64, so that rounding it once gives the fma's result.
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
    """Images uint8 [n, height, width, channels] as a model takes them: float32 [n, pixels] in [0, 1]."""
    return torch.from_numpy(images.reshape(len(images), -1).astype("float32") / 255)


@dataclass(frozen=True)
class CodesKind:
    """A kind of codes that a model has: one code for every image.

    `suffix` is what follows `codes`, `reconstruction` and `labels` in the names of metrics. `name`, a word, and `title`
    say which codes they are; they are empty for a model with one kind. `gloss` says in a few words what a code of this
    kind is.
    """

    suffix: str
    name: str = ""
    title: str = ""
    gloss: str = ""


@dataclass(frozen=True)
class LossChart:
    """A chart of training losses in the report; charts with the same title are one, whichever models draw in it.

    `lines` gives the name of a line for each loss that is drawn, empty for the model's own title; lines after the first
    are dashed. `level` is a horizontal line, its name and its value, to compare with.
    """

    title: str
    unit: str
    lines: dict[str, str]
    level: tuple[str, float] | None = None


class Autoencoder(nn.Module, ABC):
    """An encoder, a decoder and perhaps a discriminator; the base of every kind of model.

    `sizes` are the arguments that build the same model again; they hold at least `pixels` and `code_size`.
    """

    Settings: ClassVar[type]  # a dataclass as in aae/settings.py: what a section of params.yaml says of a run
    title: ClassVar[str]  # short, for tables and legends
    long_title: ClassVar[str]  # in words, without an article
    codes_kinds: ClassVar[Sequence[CodesKind]] = (CodesKind(""),)
    aggregated: ClassVar[str] = ""  # the suffix of the codes whose distribution is the aggregated posterior q(z)
    loss_charts: ClassVar[Sequence[LossChart]]
    compared_with: ClassVar[str | None] = None  # the kind beside which the post's claims judge this one, if they do

    def __init__(self, sizes: dict[str, Any], encoder_outputs: int, decoder_inputs: int | None = None):
        super().__init__()
        self.sizes = sizes
        self.pixels, self.code_size = sizes["pixels"], sizes["code_size"]
        self.encoder = mlp(self.pixels, *sizes["encoder_widths"], encoder_outputs)
        self.decoder = mlp(decoder_inputs or self.code_size, *sizes["decoder_widths"], self.pixels)
        self.discriminator: nn.Sequential | None = None
        self.label_classes = 0  # one-hot columns of the label that the discriminator takes after a code

    # --- what it is made of ---------------------------------------------------------------------------

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
        """Raises InputError, a line that begins with the key below the section, for settings that do not agree."""

    # --- what goes in and out -------------------------------------------------------------------------

    def codes(self, outputs: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """suffix -> codes [n, code_size], for each of `codes_kinds`, from the encoder's `outputs` [n, outputs].

        `noise` [n, code_size] is standard normal, for codes that are sampled.
        """
        return {"": outputs}

    def decoder_inputs(self, codes: Tensor, outputs: Tensor | None = None) -> Tensor:
        """What the decoder takes, [n, inputs], for `codes` [n, code_size].

        `outputs` [n, outputs] are the encoder's for the images behind the codes, or None for codes on a grid, for which
        this is an affine function of the code: the report's page computes with it.
        """
        return codes

    def encode(self, images: Tensor) -> Tensor:
        """The codes [n, code_size] that the pictures show, for images in [0, 1], float [n, pixels]."""
        return self.pictured_codes(self.encoder(images))

    def pictured_codes(self, outputs: Tensor) -> Tensor:
        """The codes [n, code_size] that the pictures show, from the encoder's `outputs` [n, outputs]."""
        return self.codes(outputs, outputs.new_zeros(outputs.shape[0], self.code_size))[""]

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [n, code_size] to the logits of the pixels [n, pixels]."""
        return self.decoder(self.decoder_inputs(codes))

    # --- training -------------------------------------------------------------------------------------

    @abstractmethod
    def trainer(self, settings: Any, images: Tensor, labels: Tensor | None, prior: Prior, **training: Any) -> "Trainer":
        """What trains this model, on its device.

        Args:
            settings: an instance of `Settings`.
            images: uint8 [N, pixels].
            labels: int64 [N], or None where the data has none.
            prior: what `prior` gives.
            training: the keywords `seed`, `batch_size` and `steps` (how many iterations in all) of `Trainer`.
        """

    @abstractmethod
    def iteration_flops(self, settings: Any, batch_size: int) -> int:
        """FLOPs of a training iteration under `settings`, counted as in `aae.flops`."""


@dataclass(frozen=True)
class Recipe:
    """A kind of model with its settings, under the name that its runs go by; two recipes may be of one kind."""

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
    def aggregated(self) -> CodesKind:
        """The codes whose distribution is the aggregated posterior q(z)."""
        return next(kind for kind in self.kind.codes_kinds if kind.suffix == self.kind.aggregated)

    @property
    def pictured(self) -> CodesKind:
        """The codes that the pictures show."""
        return next(kind for kind in self.kind.codes_kinds if kind.suffix == "")

    @property
    def other_codes(self) -> list[CodesKind]:
        """The kinds of codes beside the aggregated ones."""
        return [kind for kind in self.kind.codes_kinds if kind.suffix != self.kind.aggregated]

    def sizes(self, pixels: int, code_size: int, classes: int) -> dict[str, Any]:
        """The arguments that build the model."""
        return self.kind.sizes_of(self.settings, pixels, code_size, classes)

    def prior(self, code_size: int, classes: int) -> Prior:
        """What the model is trained for; raises InputError for one that needs labels where there are no classes."""
        if not classes and (prior := self.kind.prior(self.settings, code_size, 1)).classes:
            raise InputError(
                f"{self.name}.prior: {prior.kind} has a part for each class, but the data (data.path) has no labels; "
                "allowed: a prior without classes, such as normal"
            )
        return self.kind.prior(self.settings, code_size, classes)


def compared_with(recipe: Recipe, recipes: Sequence[Recipe]) -> Recipe | None:
    """The recipe beside which the claims judge `recipe`: the first of `recipes` of the kind that its kind names."""
    others = (other for other in recipes if kind_name(other.kind) == recipe.kind.compared_with and other != recipe)
    return next(others, None)


def kind_names() -> list[str]:
    """The kinds of models that there are: the modules in `aae/kinds/`."""
    return sorted(module.name for module in pkgutil.iter_modules(aae.kinds.__path__))


def find_kind(name: str) -> type[Autoencoder]:
    """The class of the kind `name`, which its module calls `MODEL`; raises ValueError for a kind that there is not."""
    if name not in kind_names():
        raise ValueError(f"find_kind: kind must be one of {', '.join(kind_names())}, got {name}")
    return importlib.import_module(f"aae.kinds.{name}").MODEL


def kind_name(kind: type[Autoencoder]) -> str:
    """The name that `find_kind` knows the class by."""
    return kind.__module__.rpartition(".")[2]


def build_model(kind: str, seed: int, **sizes: Any) -> Autoencoder:
    """A model of the `kind` with PyTorch's initialisation from `seed`, the same on every machine.

    It is made on the CPU, whatever device it goes to, and leaves the global generator as it found it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return find_kind(kind)(**sizes)
