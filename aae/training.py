"""Training: the algorithm box of the paper as three step functions, and the VAE's single one.

Every minibatch and every sample of an iteration is a function of (seed, stream, step), so an iteration needs
nothing but its number: no generator, no loader, no order of calls. One trainer holds one model, its dataset on
the device and its optimisers; `iteration(step)` trains one step further. `aae.trainer` has what is around it: the
epoch, and going on after an interruption.
"""

import math

import torch
from torch import Tensor

from aae.models import AAE, VAE
from aae.ops import Stream, assemble_discriminator_batch, draw_minibatch, sample_prior
from aae.priors import NormalPrior, Prior
from aae.trainer import Trainer, sparse_pays


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
        super().__init__(images)
        self.model, self.prior, self.labels = model, prior, labels
        self.seed, self.batch_size = seed, batch_size
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
        return self.reconstruction_step(step), self.discriminator_step(step), self.generator_step(step)

    def reconstruction_step(self, step: int | Tensor) -> Tensor | float:
        """Encoder and decoder towards the images; returns nats per image.

        What is minimised is the post's mean over pixels; what is returned is the sum, to compare with the VAE.
        """
        images, _ = self.draw(self.batch_size, step, Stream.RECONSTRUCTION)
        logits = self.decoder.forward(self.encoder.forward(images))
        loss, gradient = self.passes.cross_entropy(logits, images, images.numel())
        in_codes = self.decoder.backward(gradient, self.decoder_adam, to_inputs=True)
        self.encoder.backward(in_codes, self.encoder_adam)
        return loss * self.model.pixels

    def discriminator_step(self, step: int | Tensor) -> Tensor | float:
        """The discriminator towards telling half a batch of codes (target 0) from prior samples (target 1)."""
        half = self.batch_size // 2
        images, labels = self.draw(half, step, Stream.DISCRIMINATOR)
        codes = self.encoder.forward(images)
        batch, targets = assemble_discriminator_batch(codes, self.prior, half, seed=self.seed, step=step, labels=labels)
        loss, gradient = self.passes.cross_entropy(self.discriminator.forward(batch), targets, len(batch))
        self.discriminator.backward(gradient, self.discriminator_adam)
        return loss

    def generator_step(self, step: int | Tensor) -> Tensor | float:
        """The encoder towards codes that the discriminator, which stays as it is, takes for prior samples."""
        images, labels = self.draw(self.batch_size, step, Stream.GENERATOR)
        batch = codes = self.encoder.forward(images)
        if labels is not None:
            batch, _ = assemble_discriminator_batch(codes, self.prior, 0, seed=self.seed, step=step, labels=labels)
        loss, gradient = self.passes.cross_entropy(self.discriminator.forward(batch), 1.0, len(batch))
        in_batch = self.discriminator.backward(gradient, to_inputs=True)
        self.encoder.backward(in_batch[:, : self.model.code_size].contiguous(), self.generator_adam)
        return loss

    def draw(self, n: int, step: int | Tensor, stream: Stream) -> tuple[Tensor, Tensor | None]:
        """A minibatch of `n` images with replacement, float32 [n, pixels], and their labels, if they are used."""
        images, indices = draw_minibatch(self.images, n, seed=self.seed, step=step, stream=stream)
        return images, None if self.labels is None else self.labels[indices]


class VAETrainer(Trainer):
    """Kingma & Welling, arXiv 1312.6114: one step an iteration down the negative evidence lower bound.

    The expectation over q(z|x) is of one sample an image, by the reparameterisation trick (section 2.4). The prior is
    normal, because the Kullback-Leibler divergence from it is known in closed form.
    """

    losses = ("loss", "reconstruction", "kl")

    def __init__(
        self, model: VAE, images: Tensor, prior: NormalPrior, *, seed: int, batch_size: int, autoencoder: dict
    ):
        super().__init__(images)
        self.model, self.prior = model, prior
        self.seed, self.batch_size = seed, batch_size
        self.unit_normal = NormalPrior(model.code_size)
        self.encoder = self.passes.Perceptron(model.encoder, sparse_inputs=sparse_pays(images))
        self.decoder = self.passes.Perceptron(model.decoder)
        self.encoder_adam = self.passes.Adam(self.encoder, **autoencoder)
        self.decoder_adam = self.passes.Adam(self.decoder, **autoencoder)
        self.networks = {"encoder": self.encoder, "decoder": self.decoder}
        self.optimizers = {"encoder_adam": self.encoder_adam, "decoder_adam": self.decoder_adam}

    def iteration(self, step: int | Tensor) -> tuple[Tensor | float, ...]:
        """Trains iteration `step`; returns its losses, in the order of `losses`, in nats per image."""
        n = self.batch_size
        images, _ = draw_minibatch(self.images, n, seed=self.seed, step=step, stream=Stream.RECONSTRUCTION)
        noise = sample_prior(self.unit_normal, n, seed=self.seed, step=step, stream=Stream.NOISE, device=images.device)
        mean, log_variance = self.encoder.forward(images).chunk(2, dim=1)
        deviation = noise * (0.5 * log_variance).exp()
        reconstruction, gradient = self.passes.cross_entropy(self.decoder.forward(mean + deviation), images, n)
        kl, kl_in_mean, kl_in_log_variance = kl_to_normal(mean, log_variance, self.prior.std)

        in_codes = self.decoder.backward(gradient, self.decoder_adam, to_inputs=True)
        in_posterior = torch.cat([in_codes + kl_in_mean, 0.5 * in_codes * deviation + kl_in_log_variance], dim=1)
        self.encoder.backward(in_posterior, self.encoder_adam)
        return reconstruction + kl, reconstruction, kl


def kl_to_normal(mean: Tensor, log_variance: Tensor, std: float) -> tuple[Tensor, Tensor, Tensor]:
    """KL(N(mean, exp(log_variance)) || N(0, std² I)) in nats, mean over the n rows (arXiv 1312.6114, appendix B).

    Returns it with its gradients in `mean` and `log_variance`, each [n, code_size].
    """
    n = len(mean)
    variance = log_variance.exp()
    kl = 0.5 * ((mean.square() + variance) / std**2 - log_variance + 2 * math.log(std) - 1).sum() / n
    return kl, mean / (n * std**2), (variance / std**2 - 1) / (2 * n)
