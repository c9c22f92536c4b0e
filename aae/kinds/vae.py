"""The variational autoencoder (Kingma & Welling, arXiv 1312.6114): q(z|x) is a Gaussian with diagonal covariance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from aae.flops import autoencoder_flops, layer_sizes
from aae.models import GAUSSIAN_CODES, Autoencoder, CodesKind, LossChart, gaussian_codes
from aae.ops import Stream
from aae.priors import NormalPrior
from aae.settings import AdamSettings, NormalSettings, Widths
from aae.trainer import Trainer


@dataclass(frozen=True)
class VAESettings:
    """The settings of a section of kind `vae`."""

    prior: Annotated[NormalSettings, "the prior p(z), N(0, std² I)"]
    encoder_widths: Annotated[Widths, "widths of the encoder's hidden layers"]
    decoder_widths: Annotated[Widths, "widths of the decoder's hidden layers"]
    autoencoder: Annotated[AdamSettings, "encoder and decoder"]


class VAE(Autoencoder):
    """Variational autoencoder; the encoder returns the mean and log-variance of q(z|x).

    An image has two codes. The pictures show the means of q(z|x). Samples of q(z|x), one per image, are distributed as
    the aggregated posterior q(z).
    """

    Settings = VAESettings
    title = "VAE"
    long_title = "variational autoencoder"
    loss_charts: ClassVar = (
        LossChart("Reconstruction in training", "nats per image", {"reconstruction": ""}),
        LossChart("Divergence of q(z|x) from the prior", "nats per image, in training", {"kl": ""}),
    )

    def __init__(self, pixels: int, code_size: int, encoder_widths: Sequence[int], decoder_widths: Sequence[int]):
        super().__init__(
            encoder_outputs=2 * code_size,
            pixels=pixels,
            code_size=code_size,
            encoder_widths=encoder_widths,
            decoder_widths=decoder_widths,
        )

    @classmethod
    def prior(cls, settings: VAESettings, code_size: int, classes: int) -> NormalPrior:
        """Always a normal prior: the Kullback-Leibler divergence from it is known in closed form."""
        return NormalPrior(code_size, settings.prior.std)

    @classmethod
    def divided_rows(cls, settings: VAESettings, batch_size: int) -> dict[str, int] | None:
        return {"batch_size": batch_size}

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), each [n, code_size], for images in [0, 1], float [n, pixels]."""
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        return mean, log_variance

    @classmethod
    def codes_kinds(cls, settings: VAESettings) -> tuple[CodesKind, ...]:
        return GAUSSIAN_CODES

    def codes(self, outputs: Tensor, noise: Tensor) -> dict[str, Tensor]:
        return gaussian_codes(outputs, noise)

    def trainer(
        self, settings: VAESettings, images: Tensor, labels: Tensor | None, prior: NormalPrior, **training: Any
    ) -> "VAETrainer":
        return VAETrainer(self, images, prior, autoencoder=settings.autoencoder, **training)

    def iteration_flops(self, settings: VAESettings, batch_size: int) -> int:
        return batch_size * autoencoder_flops(layer_sizes(self.encoder), layer_sizes(self.decoder))


class VAETrainer(Trainer):
    """One step per iteration on the negative evidence lower bound; the arguments are `Trainer`'s.

    One sample per image estimates the expectation over q(z|x), with the reparameterisation trick (section 2.4).
    """

    losses = ("loss", "reconstruction", "kl")

    def __init__(self, model: VAE, images: Tensor, prior: NormalPrior, *, autoencoder: AdamSettings, **training: Any):
        super().__init__(model, images, **training)
        self.prior, self.unit_normal = prior, NormalPrior(model.code_size)
        encoder, decoder = self.add_network("encoder"), self.add_network("decoder")
        self.encoder_adam = self.add_optimizer("encoder_adam", "encoder", autoencoder)
        self.decoder_adam = self.add_optimizer("decoder_adam", "decoder", autoencoder)
        self.minibatch = self.new_minibatch(self.batch_size)
        self.noise = torch.empty(len(self.minibatch[0]), model.code_size, device=images.device)
        self.encoder_pass = self.new_pass(encoder, self.batch_size)
        self.decoder_pass = self.new_pass(decoder, self.batch_size)

    def iteration(self, step: int | Tensor) -> tuple[Tensor | float, ...]:
        """See `Trainer.iteration`; the losses are in nats per image."""
        images, _ = self.draw(self.minibatch, step, Stream.RECONSTRUCTION)
        noise = self.sample(self.unit_normal, len(images), step, Stream.NOISE, out=self.noise)
        posterior = self.encoder_pass.forward(images)
        logits = self.decoder_pass.forward(self.passes.sample_posterior(posterior, noise))
        reconstruction, grad_logits = self.cross_entropy(logits, images, len(images))
        grad_codes = self.decoder_pass.backward(grad_logits, grad_inputs=True)
        kl, grad_posterior = self.kl_to_prior(posterior, noise, grad_codes)
        self.encoder_pass.backward(grad_posterior)
        self.decoder_adam.update(step, self.decoder_pass)
        self.encoder_adam.update(step, self.encoder_pass)
        return reconstruction + kl, reconstruction, kl

    def kl_to_prior(self, posterior: Tensor, noise: Tensor, grad_codes: Tensor) -> tuple[Tensor | float, Tensor]:
        """The divergence and the gradient of `kl_to_normal`, means over the rows of all ranks."""
        shards = self.shards
        if shards.count == 1:
            return self.passes.kl_to_normal(posterior, noise, grad_codes, self.prior.std)
        # A shard's mean is `count` times its part of the whole mean. `count` is a power of 2, so the scaling is exact.
        of_shards = [
            self.passes.kl_to_normal(*parts, self.prior.std)
            for parts in zip(*map(shards.parts, (posterior, noise, grad_codes * shards.count)), strict=True)
        ]
        losses, gradients = zip(*of_shards, strict=True)
        return self.terms(losses) / shards.count, torch.cat(gradients) / shards.count


MODEL = VAE
