"""What the experiments measure: a trained run with its data; and the rows of the tables."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from aae.backprop_cpu import forward
from aae.kinds.aae_categorical import CategoricalAAE
from aae.models import Recipe, to_inputs
from aae.ops import Stream, sample_prior
from aae.priors import NormalPrior
from aae.snapshots import list_snapshots
from aae.trained import TrainedModel, load_trained
from paper.data import PaperData, load_data
from pipeline.paths import SNAPSHOTS, run_name

BLOCK = 10_000  # samples that are decoded at a time


@dataclass(frozen=True)
class Run:
    """A trained run: its last snapshot and the data."""

    recipe: Recipe
    seed: int
    model: TrainedModel
    data: PaperData
    epoch: int  # of the snapshot

    @property
    def categorical(self) -> CategoricalAAE:
        """The network, of a model with a categorical code."""
        assert isinstance(self.model.network, CategoricalAAE)
        return self.model.network

    @property
    def test_images(self) -> Tensor:
        """float32 [n, pixels] in [0, 1]"""
        return to_inputs(self.data.training.test_images)

    def samples(self, n: int) -> Iterator[Tensor]:
        """`n` images, float32 [n, pixels] in [0, 1], decoded from samples of the prior, in blocks."""
        for first in range(0, n, BLOCK):
            codes = sample_prior(
                self.model.prior,
                min(BLOCK, n - first),
                seed=self.seed,
                step=0,
                stream=Stream.SAMPLE,
                offset=first,
            )
            yield torch.from_numpy(self.model.inverse_transform(codes))

    def squared_error(self, codes: Tensor | None = None) -> float:
        """The squared error of the reconstructed test images, summed over the pixels, mean over the images.

        They are decoded from `codes`, or else from those that the pictures show. A decoder that takes labels gets those
        of the images.
        """
        images = self.test_images
        labels = self.data.training.test_labels if self.model.network.decoder_classes else None
        found = self.model.reconstruct(images.numpy(), labels) if codes is None else self.model.decode(codes, labels)
        reconstructed = torch.from_numpy(found.reshape(images.shape))
        return (reconstructed - images).square().sum(dim=1).mean(dtype=torch.float64).item()

    def sampled_codes(self, images: Tensor, draw: int = 0) -> Tensor:
        """A sample of q(z|x) for each of `images` [n, pixels], float32 [n, code_size]; a deterministic encoder has one.

        `draw` numbers independent samples.
        """
        network, unit_normal = self.model.network, NormalPrior(self.model.code_size)
        noise = sample_prior(unit_normal, len(images), seed=self.seed, step=1 + draw, stream=Stream.SAMPLE)
        outputs = network.outputs(images, noise, partial(forward, network.encoder, sparse_inputs=True))
        *_, codes = network.codes(outputs, noise).values()
        return codes

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """q(y|x) of a model with a categorical code for `images`, uint8: float32 [n, categories]."""
        network = self.categorical
        return network.probabilities(forward(network.encoder, to_inputs(images), sparse_inputs=True)).numpy()

    def classification_error(self, images: np.ndarray, labels: np.ndarray | None) -> float:
        """How many `images`, uint8, have another label than their most probable category, in per cent."""
        assert labels is not None
        return 100 * float((self.probabilities(images).argmax(axis=1) != labels).mean())

    def test_codes(self) -> np.ndarray:
        """The codes of the test images, float64 [n, code_size]."""
        return self.model.encode(self.data.training.test_images).astype(np.float64)


def load_run(recipe: Recipe, seed: int) -> Run:
    """The run of `recipe` with `seed`, from its last snapshot in the present folder."""
    folder = SNAPSHOTS / run_name(recipe.name, seed)
    return Run(recipe, seed, load_trained(folder), load_data(), max(list_snapshots(folder)))


def title_of(recipe: Recipe, titles: Mapping[str, str]) -> str:
    """The name of a model in tables and pictures: that of an experiment's `titles`, or else the recipe's own."""
    return titles.get(recipe.name, recipe.title)


@dataclass(frozen=True)
class Row:
    """A measure in the tables.

    `models` are those that it is of, or empty for all. `paper` and `public` are the figures of the paper and of the
    best public reproduction, as they were published, with who published them; empty if there are none. `target` is the
    limit that was set before any run; a lower value is better unless `at_least`.
    """

    measure: str
    title: str
    paper: str = ""
    public: str = ""
    target: float | None = None
    at_least: bool = False
    digits: int = 1
    models: tuple[str, ...] = ()
