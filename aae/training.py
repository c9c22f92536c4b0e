"""Training: the algorithm box of the paper as three step functions, and the VAE's single one.

Every minibatch and every sample of an iteration is a function of (seed, stream, step), so an iteration needs
nothing but its number: no generator, no loader, no order of calls. One trainer holds one model, its dataset on
the device and its optimisers; `iteration(step)` trains one step further. `aae.trainer` has what is around it: the
epoch, and going on after an interruption.
"""

import torch
from torch import Tensor

from aae.models import AAE, VAE
from aae.ops import Stream, assemble_discriminator_batch, sample_prior
from aae.priors import NormalPrior, Prior
from aae.trainer import Trainer, sparse_pays


class AAETrainer(Trainer):
    """Makhzani et al., arXiv 1511.05644, section 2, with the settings of the post.

    An iteration is a reconstruction step, a discriminator step and a generator step, each on its own minibatch
    drawn with replacement. `images` is uint8 [N, pixels] on the model's device; `autoencoder`, `discriminator` and
    `generator` are dictionaries with the `learning_rate` and `betas` of Adam. With `labels`, int64 [N], the
    discriminator sees each code with its label, and the prior's samples with their class (section 2.3).
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
        self.minibatch = self.new_minibatch(batch_size)  # of the reconstruction step
        self.adversarial_minibatch = self.new_minibatch(half + batch_size)  # the discriminator's rows, the generator's
        self.discriminator_minibatch = tuple(tensor[:half] for tensor in self.adversarial_minibatch)
        self.generator_minibatch = tuple(tensor[half:] for tensor in self.adversarial_minibatch)
        columns = model.discriminator[0].in_features
        self.discriminator_batch = tuple(torch.empty(2 * half, size, device=images.device) for size in (columns, 1))

        passes = self.passes
        self.encoder = passes.Perceptron(model.encoder, sparse_inputs=sparse_pays(images))
        self.decoder = passes.Perceptron(model.decoder)
        self.discriminator = passes.Perceptron(model.discriminator)
        self.encoder_pass = passes.Pass(self.encoder, batch_size)
        self.decoder_pass = passes.Pass(self.decoder, batch_size)
        self.adversarial_encoder_pass = passes.Pass(self.encoder, half + batch_size)
        self.discriminator_pass = passes.Pass(self.discriminator, 2 * half)
        self.generator_pass = passes.Pass(self.discriminator, batch_size)  # through the discriminator to the codes
        self.autoencoder_rate, self.discriminator_rate, self.generator_rate = (
            optimizer["learning_rate"] for optimizer in (autoencoder, discriminator, generator)
        )
        self.encoder_adam = passes.Adam(self.encoder, autoencoder["betas"])
        self.decoder_adam = passes.Adam(self.decoder, autoencoder["betas"])
        self.discriminator_adam = passes.Adam(self.discriminator, discriminator["betas"])
        self.generator_adam = passes.Adam(self.encoder, generator["betas"])
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
        images, _ = self.draw(self.minibatch, step, Stream.RECONSTRUCTION)
        logits = self.decoder_pass.forward(self.encoder_pass.forward(images))
        loss, grad_logits = self.passes.cross_entropy(logits, images, images.numel())
        grad_codes = self.decoder_pass.backward(grad_logits, grad_inputs=True)
        self.encoder_pass.backward(grad_codes)
        self.decoder_adam.update(self.decoder_pass, learning_rate=self.autoencoder_rate)
        self.encoder_adam.update(self.encoder_pass, learning_rate=self.autoencoder_rate)
        return loss * self.model.pixels

    def encode_minibatches(
        self, step: int | Tensor
    ) -> tuple[tuple[Tensor, Tensor | None], tuple[Tensor, Tensor | None]]:
        """Codes of half a batch for the discriminator step and of a batch for the generator step, each with its labels.

        Each step has a minibatch of its own; the first leaves the encoder as it is, so one pass encodes both.
        """
        self.draw(self.discriminator_minibatch, step, Stream.DISCRIMINATOR)
        self.draw(self.generator_minibatch, step, Stream.GENERATOR)
        images, indices = self.adversarial_minibatch
        sizes = len(self.discriminator_minibatch[0]), len(self.generator_minibatch[0])
        codes = self.adversarial_encoder_pass.forward(images).split(sizes)
        labels = (None, None) if self.labels is None else self.labels[indices].split(sizes)
        return (codes[0], labels[0]), (codes[1], labels[1])

    def discriminator_step(self, step: int | Tensor, codes: Tensor, labels: Tensor | None) -> Tensor | float:
        """The discriminator towards telling `codes` (target 0) from as many samples of the prior (target 1)."""
        batch, targets = assemble_discriminator_batch(
            codes, self.prior, len(codes), seed=self.seed, step=step, labels=labels, out=self.discriminator_batch
        )
        logits = self.discriminator_pass.forward(batch)
        loss, grad_logits = self.passes.cross_entropy(logits, targets, len(batch))
        self.discriminator_pass.backward(grad_logits)
        self.discriminator_adam.update(self.discriminator_pass, learning_rate=self.discriminator_rate)
        return loss

    def generator_step(self, step: int | Tensor, codes: Tensor, labels: Tensor | None) -> Tensor | float:
        """The encoder towards `codes` that the discriminator, which stays as it is, takes for samples of the prior."""
        batch = codes
        if labels is not None:
            batch, _ = assemble_discriminator_batch(codes, self.prior, 0, seed=self.seed, step=step, labels=labels)
        loss, grad_logits = self.passes.cross_entropy(self.generator_pass.forward(batch), 1.0, len(batch))
        grad_codes = self.generator_pass.backward(grad_logits, grad_inputs=True)
        if labels is not None:
            grad_codes = grad_codes[:, : self.model.code_size].contiguous()
        self.adversarial_encoder_pass.backward(grad_codes)
        self.generator_adam.update(self.adversarial_encoder_pass, learning_rate=self.generator_rate)
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
        self.minibatch = self.new_minibatch(batch_size)
        self.unit_normal = NormalPrior(model.code_size)
        self.noise = torch.empty(batch_size, model.code_size, device=images.device)
        self.encoder = self.passes.Perceptron(model.encoder, sparse_inputs=sparse_pays(images))
        self.decoder = self.passes.Perceptron(model.decoder)
        self.encoder_pass = self.passes.Pass(self.encoder, batch_size)
        self.decoder_pass = self.passes.Pass(self.decoder, batch_size)
        self.learning_rate = autoencoder["learning_rate"]
        self.encoder_adam = self.passes.Adam(self.encoder, autoencoder["betas"])
        self.decoder_adam = self.passes.Adam(self.decoder, autoencoder["betas"])
        self.networks = {"encoder": self.encoder, "decoder": self.decoder}
        self.optimizers = {"encoder_adam": self.encoder_adam, "decoder_adam": self.decoder_adam}

    def iteration(self, step: int | Tensor) -> tuple[Tensor | float, ...]:
        """Trains iteration `step`; returns its losses, in the order of `losses`, in nats per image."""
        images, _ = self.draw(self.minibatch, step, Stream.RECONSTRUCTION)
        noise = sample_prior(
            self.unit_normal, len(images), seed=self.seed, step=step, stream=Stream.NOISE, out=self.noise
        )
        posterior = self.encoder_pass.forward(images)
        logits = self.decoder_pass.forward(self.passes.sample_posterior(posterior, noise))
        reconstruction, grad_logits = self.passes.cross_entropy(logits, images, len(images))
        grad_codes = self.decoder_pass.backward(grad_logits, grad_inputs=True)
        kl, grad_posterior = self.passes.kl_to_normal(posterior, noise, grad_codes, self.prior.std)
        self.encoder_pass.backward(grad_posterior)
        self.decoder_adam.update(self.decoder_pass, learning_rate=self.learning_rate)
        self.encoder_adam.update(self.encoder_pass, learning_rate=self.learning_rate)
        return reconstruction + kl, reconstruction, kl
