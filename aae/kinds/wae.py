"""Autoencoders whose codes a distance pulls towards the prior, without a discriminator: WAE-MMD, SWAE and CWAE.

They are the rivals in the comparison of latent codes. The losses are those of their papers, see `aae.code_distances`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from aae.code_distances import log_cramer_wold, mmd, sliced_wasserstein
from aae.errors import InputError
from aae.flops import autoencoder_flops, layer_sizes
from aae.models import Autoencoder, LossChart
from aae.ops import Stream
from aae.priors import NormalPrior
from aae.schedules import Schedule
from aae.settings import AdamSettings, NonNegative, NormalSettings, Widths
from aae.trainer import Trainer

DIRECTIONS = 50  # of the sliced distance, new ones at each step


@dataclass(frozen=True)
class WAESettings:
    """The settings of a section of kind `wae`."""

    prior: Annotated[NormalSettings, "the prior p(z), N(0, std² I)"]
    encoder_widths: Annotated[Widths, "widths of the encoder's hidden layers"]
    decoder_widths: Annotated[Widths, "widths of the decoder's hidden layers"]
    distance: Annotated[
        Literal["mmd", "sliced", "cramer_wold"], "of the codes from the prior: WAE-MMD, SWAE or CWAE (its logarithm)"
    ]
    weight: Annotated[NonNegative | Schedule, "weight of the distance; the squared error of an image has weight 1"]
    autoencoder: Annotated[AdamSettings, "encoder and decoder"]


class WAE(Autoencoder):
    """An autoencoder with a deterministic encoder."""

    Settings = WAESettings
    title = "WAE"
    long_title = "Wasserstein autoencoder"
    loss_charts: ClassVar = (
        LossChart("Squared error in training", "sum over an image's pixels", {"reconstruction": ""}),
        LossChart("Distance of the codes from the prior", "of a minibatch, in training", {"distance": ""}),
    )

    def __init__(self, pixels: int, code_size: int, encoder_widths: Sequence[int], decoder_widths: Sequence[int]):
        super().__init__(
            encoder_outputs=code_size,
            pixels=pixels,
            code_size=code_size,
            encoder_widths=encoder_widths,
            decoder_widths=decoder_widths,
        )

    @classmethod
    def prior(cls, settings: WAESettings, code_size: int, classes: int) -> NormalPrior:
        return NormalPrior(code_size, settings.prior.std)

    @classmethod
    def check(cls, settings: WAESettings, code_size: int) -> None:
        if settings.distance == "cramer_wold" and code_size < 2:
            raise InputError(f"distance: cramer_wold needs code_size 2 or more; found {code_size}")

    def trainer(
        self, settings: WAESettings, images: Tensor, labels: Tensor | None, prior: NormalPrior, **training: Any
    ) -> "WAETrainer":
        return WAETrainer(self, images, prior, settings, **training)

    def iteration_flops(self, settings: WAESettings, batch_size: int) -> int:
        return batch_size * autoencoder_flops(layer_sizes(self.encoder), layer_sizes(self.decoder))


class WAETrainer(Trainer):
    """One step per iteration on squared error + `weight` x distance; the other arguments are `Trainer`'s.

    The squared error is summed over an image's pixels, mean over the minibatch. Distances are those of the codes in
    units of the prior's standard deviation, so they do not depend on it.
    """

    losses = ("reconstruction", "distance")

    def __init__(self, model: WAE, images: Tensor, prior: NormalPrior, settings: WAESettings, **training: Any):
        super().__init__(model, images, **training)
        self.std, self.distance, self.unit_normal = prior.std, settings.distance, NormalPrior(model.code_size)
        encoder, decoder = self.add_network("encoder"), self.add_network("decoder")
        self.encoder_adam = self.add_optimizer("encoder_adam", "encoder", settings.autoencoder)
        self.decoder_adam = self.add_optimizer("decoder_adam", "decoder", settings.autoencoder)
        self.weight = self.by_step(settings.weight)
        self.minibatch = self.new_minibatch(self.batch_size)
        self.encoder_pass = self.new_pass(encoder, self.batch_size)
        self.decoder_pass = self.new_pass(decoder, self.batch_size)

    def iteration(self, step: int | Tensor) -> tuple[Tensor | float, ...]:
        images, _ = self.draw(self.minibatch, step, Stream.RECONSTRUCTION)
        codes = self.encoder_pass.forward(images)
        reconstruction, grad_logits = squared_error(self.passes, self.decoder_pass.forward(codes), images)
        grad_codes = self.decoder_pass.backward(grad_logits, grad_inputs=True)
        distance, gradient = self.distance_of(codes / self.std, step)
        self.encoder_pass.backward(grad_codes + gradient * (self.weight(step) / self.std))
        self.decoder_adam.update(step, self.decoder_pass)
        self.encoder_adam.update(step, self.encoder_pass)
        return reconstruction, distance

    def distance_of(self, codes: Tensor, step: int | Tensor) -> tuple[Tensor, Tensor]:
        """The distance of `codes` [n, code_size] from N(0, I), and its gradient in them."""
        if self.distance == "cramer_wold":
            return log_cramer_wold(codes)
        samples = self.sample(self.unit_normal, len(codes), step, Stream.PRIOR)
        if self.distance == "mmd":
            return mmd(codes, samples)
        return sliced_wasserstein(codes, samples, self.sample(self.unit_normal, DIRECTIONS, step, Stream.NOISE))


def squared_error(passes: Any, logits: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """The squared error of sigmoid(`logits`) against `images`, both [n, pixels], and its gradient in the logits.

    It is the sum over an image's pixels, mean over the images. The difference overwrites the logits.
    """
    n = len(images)
    _, difference = passes.cross_entropy(logits, images, 1)  # its gradient is sigmoid(logits) - images
    output = difference + images
    gradient = torch.addcmul(output, output, output, value=-1).mul_(difference).mul_(2 / n)
    return difference.square().sum() / n, gradient


MODEL = WAE
