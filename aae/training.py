"""Training: the algorithm box of the paper as three step functions, and the VAE's single one.

Every minibatch and every sample of an iteration is a function of (seed, stream, step), so an iteration needs
nothing but its number: no generator, no loader, no order of calls. One trainer holds one model, its dataset on
the device and its optimisers; `iteration(step)` trains one step further. `aae.trainer` has what is around it: the
epoch, and going on after an interruption.
"""

import math
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from aae.models import AAE, VAE
from aae.ops import Stream, assemble_discriminator_batch, sample_prior
from aae.priors import NormalPrior, Prior
from aae.trainer import Trainer, sparse_pays

Array = TypeVar("Array", Tensor, np.ndarray)


class AAETrainer(Trainer):
    """Makhzani et al., arXiv 1511.05644, section 2, with the settings of the post.

    An iteration is a reconstruction step, a discriminator step and a generator step, each on its own minibatch
    drawn with replacement. `images` is uint8 [N, pixels] on the model's device; `autoencoder`,
    `discriminator` and `generator` are keyword arguments of `Adam`. With `labels`, int64 [N], the discriminator sees
    each code with its label, and the prior's samples with their class (section 2.3).
    """

    losses = ("reconstruction", "discriminator", "generator")

    def __init__(
        self,
        model: AAE,
        images: Tensor,
        prior: Prior,
        *,
        seed: int,
        batch_size: int,
        autoencoder: dict,
        discriminator: dict,
        generator: dict,
        labels: Tensor | None = None,
    ):
        super().__init__(images, seed)
        self.model, self.prior, self.labels = model, prior, labels
        half = batch_size // 2
        self.for_reconstruction = self.minibatch(batch_size)
        self.for_both = self.minibatch(half + batch_size)  # the discriminator's rows, then the generator's
        self.for_discriminator = tuple(tensor[:half] for tensor in self.for_both)
        self.for_generator = tuple(tensor[half:] for tensor in self.for_both)
        columns = model.discriminator[0].in_features
        self.discriminator_batch = tuple(torch.empty(2 * half, size, device=images.device) for size in (columns, 1))
        self.encoder = self.passes.Perceptron(model.encoder, sparse_inputs=sparse_pays(images))
        self.decoder = self.passes.Perceptron(model.decoder)
        self.discriminator = self.passes.Perceptron(model.discriminator)
        self.encoder_adam = self.passes.Adam(self.encoder, **autoencoder)
        self.decoder_adam = self.passes.Adam(self.decoder, **autoencoder)
        self.discriminator_adam = self.passes.Adam(self.discriminator, **discriminator)
        self.generator_adam = self.passes.Adam(self.encoder, **generator)
        self.networks = {"encoder": self.encoder, "decoder": self.decoder, "discriminator": self.discriminator}
        self.optimizers = {
            "encoder_adam": self.encoder_adam,
            "decoder_adam": self.decoder_adam,
            "discriminator_adam": self.discriminator_adam,
            "generator_adam": self.generator_adam,
        }

    def iteration(self, step: int | Tensor) -> tuple[Tensor | float, ...]:
        """Trains iteration `step`; returns its losses, in the order of `losses`, without waiting for them."""
        reconstruction = self.reconstruction_step(step)
        for_discriminator, for_generator = self.encode_minibatches(step)
        return (
            reconstruction,
            self.discriminator_step(step, *for_discriminator),
            self.generator_step(step, *for_generator),
        )

    def reconstruction_step(self, step: int | Tensor) -> Tensor | float:
        """Encoder and decoder towards the images; returns nats per image.

        What is minimised is the post's mean over pixels; what is returned is the sum, to compare with the VAE.
        """
        images, _ = self.draw(self.for_reconstruction, step, Stream.RECONSTRUCTION)
        logits = self.decoder.forward(self.encoder.forward(images))
        loss, gradient = self.passes.cross_entropy(logits, images, images.numel())
        in_codes = self.decoder.backward(gradient, self.decoder_adam, to_inputs=True)
        self.encoder.backward(in_codes, self.encoder_adam)
        return loss * self.model.pixels

    def encode_minibatches(
        self, step: int | Tensor
    ) -> tuple[tuple[Tensor, Tensor | None], tuple[Tensor, Tensor | None]]:
        """Codes of half a batch for the discriminator step and of a batch for the generator step, each with its labels.

        Each step has a minibatch of its own; the first leaves the encoder as it is, so one pass encodes both.
        """
        self.draw(self.for_discriminator, step, Stream.DISCRIMINATOR)
        self.draw(self.for_generator, step, Stream.GENERATOR)
        images, indices = self.for_both
        sizes = len(self.for_discriminator[0]), len(self.for_generator[0])
        codes = self.encoder.forward(images).split(sizes)
        labels = (None, None) if self.labels is None else self.labels[indices].split(sizes)
        return (codes[0], labels[0]), (codes[1], labels[1])

    def discriminator_step(self, step: int | Tensor, codes: Tensor, labels: Tensor | None) -> Tensor | float:
        """The discriminator towards telling `codes` (target 0) from as many samples of the prior (target 1)."""
        batch, targets = assemble_discriminator_batch(
            codes, self.prior, len(codes), seed=self.seed, step=step, labels=labels, out=self.discriminator_batch
        )
        loss, gradient = self.passes.cross_entropy(self.discriminator.forward(batch), targets, len(batch))
        self.discriminator.backward(gradient, self.discriminator_adam)
        return loss

    def generator_step(self, step: int | Tensor, codes: Tensor, labels: Tensor | None) -> Tensor | float:
        """The encoder towards `codes` that the discriminator, which stays as it is, takes for samples of the prior."""
        batch = codes
        if labels is not None:
            batch, _ = assemble_discriminator_batch(codes, self.prior, 0, seed=self.seed, step=step, labels=labels)
        loss, gradient = self.passes.cross_entropy(self.discriminator.forward(batch), 1.0, len(batch))
        in_codes = self.discriminator.backward(gradient, to_inputs=True)
        if labels is not None:
            in_codes = in_codes[:, : self.model.code_size].contiguous()
        self.encoder.backward(in_codes, self.generator_adam)
        return loss


class VAETrainer(Trainer):
    """Kingma & Welling, arXiv 1312.6114: one step an iteration down the negative evidence lower bound.

    The expectation over q(z|x) is of one sample an image, by the reparameterisation trick (section 2.4). The prior is
    normal, because the Kullback-Leibler divergence from it is known in closed form.
    """

    losses = ("loss", "reconstruction", "kl")

    def __init__(
        self, model: VAE, images: Tensor, prior: NormalPrior, *, seed: int, batch_size: int, autoencoder: dict
    ):
        super().__init__(images, seed)
        self.model, self.prior = model, prior
        self.room = self.minibatch(batch_size)
        self.unit_normal = NormalPrior(model.code_size)
        self.noise = torch.empty(batch_size, model.code_size, device=images.device)
        self.encoder = self.passes.Perceptron(model.encoder, sparse_inputs=sparse_pays(images))
        self.decoder = self.passes.Perceptron(model.decoder)
        self.encoder_adam = self.passes.Adam(self.encoder, **autoencoder)
        self.decoder_adam = self.passes.Adam(self.decoder, **autoencoder)
        self.networks = {"encoder": self.encoder, "decoder": self.decoder}
        self.optimizers = {"encoder_adam": self.encoder_adam, "decoder_adam": self.decoder_adam}

    def iteration(self, step: int | Tensor) -> tuple[Tensor | float, ...]:
        """Trains iteration `step`; returns its losses, in the order of `losses`, in nats per image."""
        array, tensor, exp = self.passes.array, self.passes.tensor, self.passes.exp
        images, _ = self.draw(self.room, step, Stream.RECONSTRUCTION)
        noise = array(
            sample_prior(self.unit_normal, len(images), seed=self.seed, step=step, stream=Stream.NOISE, out=self.noise)
        )
        posterior = array(self.encoder.forward(images))
        mean, log_variance = posterior[:, : self.model.code_size], posterior[:, self.model.code_size :]
        scales = exp(self.passes.side_by_side(0.5 * log_variance, log_variance))
        std, variance = scales[:, : self.model.code_size], scales[:, self.model.code_size :]
        deviation = noise * std
        logits = self.decoder.forward(tensor(mean + deviation))
        reconstruction, gradient = self.passes.cross_entropy(logits, images, len(images))
        kl, kl_in_mean, kl_in_log_variance = kl_to_normal(mean, log_variance, variance, self.prior.std)

        in_codes = array(self.decoder.backward(gradient, self.decoder_adam, to_inputs=True))
        in_log_variance = 0.5 * in_codes * deviation + kl_in_log_variance
        in_posterior = self.passes.side_by_side(in_codes + kl_in_mean, in_log_variance)
        self.encoder.backward(tensor(in_posterior), self.encoder_adam)
        return reconstruction + kl, reconstruction, kl


def kl_to_normal(mean: Array, log_variance: Array, variance: Array, std: float) -> tuple[Array, Array, Array]:
    """KL(N(mean, variance) || N(0, std² I)) in nats, mean over the n rows (arXiv 1312.6114, appendix B).

    Returns it with its gradients in `mean` and `log_variance`, each [n, code_size].
    """
    n = len(mean)
    kl = 0.5 * ((mean * mean + variance) / std**2 - log_variance + 2 * math.log(std) - 1).sum() / n
    return kl, mean / (n * std**2), (variance / std**2 - 1) / (2 * n)
