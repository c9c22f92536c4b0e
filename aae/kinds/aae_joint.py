"""An adversarial autoencoder whose codes reach the noise floor: two losses, one optimiser.

The networks and the adversarial game are the paper's (Makhzani et al., arXiv 1511.05644). docs/recipe.md explains what
differs from the post's algorithm, why, and what was tried.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from aae.errors import InputError
from aae.flops import autoencoder_flops, forward, input_gradients, layer_sizes, weight_gradients
from aae.kinds.aae import AAE
from aae.ops import Stream, assemble_discriminator_batch, sample_prior
from aae.priors import NormalPrior, Prior, UniformPrior
from aae.schedules import Schedule
from aae.settings import AdamSettings, Beta, Count, Fraction, NonNegative, PriorSettings, Widths
from aae.trainer import Trainer

PENALTY_STEP = 0.05  # in units of the code


@dataclass(frozen=True)
class JointAAESettings:
    """The settings of a section of kind `aae_joint`."""

    prior: Annotated[PriorSettings, "the prior p(z): a name, or a mapping with its kind and parameters"]
    labels: Annotated[bool, "the discriminator sees labels, and each class has its own part of the prior"]
    encoder_widths: Annotated[Widths, "widths of the encoder's hidden layers"]
    decoder_widths: Annotated[Widths, "widths of the decoder's hidden layers"]
    discriminator_widths: Annotated[Widths, "widths of the discriminator's hidden layers"]
    encoder: Annotated[AdamSettings, "encoder"]
    decoder: Annotated[AdamSettings, "decoder"]
    discriminator: Annotated[AdamSettings, "discriminator"]
    adversarial_weight: Annotated[NonNegative | Schedule, "weight of the encoder's loss against the discriminator"]
    masking_noise: Annotated[Fraction | Schedule, "fraction of the pixels that the encoder sees as 0"]
    code_noise: Annotated[NonNegative | Schedule, "standard deviation of the noise on the codes that are decoded"]
    recent_codes: Annotated[Count, "number of recent codes the discriminator sees, with as many prior samples"]
    gradient_penalty: Annotated[NonNegative | Schedule, "weight of the discriminator's squared slope at the codes"]
    average: Annotated[Beta, "decay of the averages of encoder and decoder, which snapshots hold"]


class JointAAE(AAE):
    """The AAE's networks, trained by `JointAAETrainer`."""

    Settings: ClassVar[type] = JointAAESettings
    title = "Joint AAE"
    long_title = "joint adversarial autoencoder"

    @classmethod
    def check(cls, settings: JointAAESettings, code_size: int) -> None:
        super().check(settings, code_size)
        masking = settings.masking_noise
        if isinstance(masking, Schedule) and max(masking.start, masking.end) > 1:
            raise InputError(f"masking_noise: start and end should be at most 1; found {masking.start}, {masking.end}")

    def trainer(
        self, settings: JointAAESettings, images: Tensor, labels: Tensor | None, prior: Prior, **training: Any
    ) -> "JointAAETrainer":
        return JointAAETrainer(self, images, labels if settings.labels else None, prior, settings, **training)

    def iteration_flops(self, settings: JointAAESettings, batch_size: int) -> int:
        encoder, decoder, discriminator = map(layer_sizes, (self.encoder, self.decoder, self.discriminator))
        rows = 2 * settings.recent_codes + 2 * min(batch_size, settings.recent_codes)  # with those of the penalty
        training = forward(discriminator) + weight_gradients(discriminator) + input_gradients(discriminator)
        to_codes = forward(discriminator) + input_gradients(discriminator, to_inputs=True)
        return batch_size * (autoencoder_flops(encoder, decoder) + to_codes) + rows * training


class JointAAETrainer(Trainer):
    """Encoder and decoder minimise one loss, with one Adam each. The discriminator sees codes of several iterations.

    The loss is the reconstruction error, mean over the pixels, plus `adversarial_weight` times the cross-entropy of the
    codes with the target `prior`. With two optimisers on one encoder, as in the post, the codes wander: if the
    adversarial gradient is small, a separate Adam turns its noise into full steps.

    The discriminator learns from the last `recent_codes` codes, including those of the present iteration, and equally
    many samples of the prior. The codes exist already, so the encoder runs one pass per iteration. A larger batch shows
    the discriminator smaller differences.

    The penalty on the discriminator is `gradient_penalty` / 2 times the mean squared slope at the codes in random
    directions (R1 of Mescheder, Geiger & Nowozin, arXiv 1801.04406, on the codes). Slopes are differences over
    `PENALTY_STEP` to either side, so no second derivatives are needed: the rows are part of the discriminator's batch.

    Args:
        labels: int64 [N] for a discriminator that sees them (section 2.3), or None.
        settings: the section's settings.
        training: `Trainer`'s arguments.
    """

    losses = ("reconstruction", "discriminator", "generator")

    def __init__(
        self,
        model: JointAAE,
        images: Tensor,
        labels: Tensor | None,
        prior: Prior,
        settings: JointAAESettings,
        **training: Any,
    ):
        super().__init__(model, images, **training)
        self.labels, self.prior, self.unit_normal = labels, prior, NormalPrior(model.code_size)
        self.unit_uniform = UniformPrior(model.pixels)
        self.directions = NormalPrior(model.code_size, PENALTY_STEP)
        encoder, decoder, discriminator = map(self.add_network, ("encoder", "decoder", "discriminator"))
        self.encoder_adam = self.add_optimizer("encoder_adam", "encoder", settings.encoder)
        self.decoder_adam = self.add_optimizer("decoder_adam", "decoder", settings.decoder)
        self.discriminator_adam = self.add_optimizer("discriminator_adam", "discriminator", settings.discriminator)
        self.averages_of = [self.add_average(name, settings.average) for name in ("encoder", "decoder")]
        self.adversarial_weight = self.by_step(settings.adversarial_weight)
        self.masking_noise = self.by_step(settings.masking_noise)
        self.code_noise = self.by_step(settings.code_noise)
        self.gradient_penalty = self.by_step(settings.gradient_penalty)

        n, recent, device = self.batch_size, settings.recent_codes, images.device
        self.minibatch = self.new_minibatch(n)
        self.uniform = torch.empty(n, model.pixels, device=device)
        self.encoder_pass, self.decoder_pass = self.passes.Pass(encoder, n), self.passes.Pass(decoder, n)
        self.generator_pass = self.passes.Pass(discriminator, n)  # through the discriminator to the codes
        self.penalised = min(n, recent)  # the number of codes, the newest ones
        rows, columns = 2 * recent + 2 * self.penalised, model.code_size + model.label_classes
        self.discriminator_pass = self.passes.Pass(discriminator, rows)
        self.rows = torch.empty(rows, columns, device=device)
        self.discriminator_batch = self.rows[: 2 * recent], torch.empty(2 * recent, 1, device=device)
        # The first recent codes are those of the untrained encoder.
        images, indices = self.draw(self.new_minibatch(recent), 0, Stream.DISCRIMINATOR)
        self.recent_codes = self.add_tensor("recent_codes", self.passes.Pass(encoder, recent).forward(images).clone())
        self.recent_labels = None if labels is None else self.add_tensor("recent_labels", labels[indices])

    def iteration(self, step: int | Tensor) -> tuple[Tensor | float, ...]:
        images, indices = self.draw(self.minibatch, step, Stream.RECONSTRUCTION)
        labels = None if self.labels is None else self.labels[indices]
        codes = self.encoder_pass.forward(self.masked(step, images))
        reconstruction, grad_codes = self.reconstruct(step, codes, images)
        generator, grad_adversarial = self.oppose(step, codes, labels)
        self.encoder_pass.backward(grad_codes + grad_adversarial * self.adversarial_weight(step))
        self.remember(codes, labels)
        self.decoder_adam.update(step, self.decoder_pass)
        self.encoder_adam.update(step, self.encoder_pass)
        for average in self.averages_of:
            average.update()
        return reconstruction, self.discriminator_step(step), generator

    def masked(self, step: int | Tensor, images: Tensor) -> Tensor:
        """The images with random pixels set to 0, each pixel independently."""
        fraction = self.masking_noise(step)
        if isinstance(fraction, float) and fraction == 0:
            return images
        uniform = sample_prior(
            self.unit_uniform, len(images), seed=self.seed, step=step, stream=Stream.MASK, out=self.uniform
        )
        return uniform.ge_(2 * fraction - 1).mul_(images)

    def reconstruct(self, step: int | Tensor, codes: Tensor, images: Tensor) -> tuple[Tensor | float, Tensor]:
        """Nats per image, and the gradient in `codes` of the error per pixel; keeps the decoder's gradients."""
        noise = sample_prior(
            self.unit_normal, len(codes), seed=self.seed, step=step, stream=Stream.NOISE, device=codes.device
        )
        logits = self.decoder_pass.forward(codes + noise * self.code_noise(step))
        loss, grad_logits = self.passes.cross_entropy(logits, images, images.numel())
        return loss * self.model.pixels, self.decoder_pass.backward(grad_logits, grad_inputs=True)

    def oppose(self, step: int | Tensor, codes: Tensor, labels: Tensor | None) -> tuple[Tensor | float, Tensor]:
        """The cross-entropy of `codes` with the target `prior`, and its gradient in them."""
        batch = codes
        if labels is not None:
            batch, _ = assemble_discriminator_batch(codes, self.prior, 0, seed=self.seed, step=step, labels=labels)
        loss, grad_logits = self.passes.cross_entropy(self.generator_pass.forward(batch), 1.0, len(batch))
        return loss, self.generator_pass.backward(grad_logits, grad_inputs=True)[:, : self.model.code_size]

    def remember(self, codes: Tensor, labels: Tensor | None) -> None:
        """Appends `codes` to the recent codes and drops equally many of the oldest."""
        for recent, new in ((self.recent_codes, codes), (self.recent_labels, labels)):
            if recent is not None and new is not None:
                recent.copy_(torch.cat([recent, new])[-len(recent) :])

    def discriminator_step(self, step: int | Tensor) -> Tensor | float:
        """Trains the discriminator to tell recent codes (target 0) from samples of the prior (target 1)."""
        batch, targets = assemble_discriminator_batch(
            self.recent_codes,
            self.prior,
            len(self.recent_codes),
            seed=self.seed,
            step=step,
            labels=self.recent_labels,
            out=self.discriminator_batch,
        )
        n, to_side = self.penalised, self.rows[len(batch) :].view(2, self.penalised, -1)
        to_side.copy_(batch[len(self.recent_codes) - n : len(self.recent_codes)])
        direction = sample_prior(
            self.directions, n, seed=self.seed, step=step, stream=Stream.PENALTY, device=batch.device
        )
        to_side[0, :, : self.model.code_size] += direction
        to_side[1, :, : self.model.code_size] -= direction

        logits = self.discriminator_pass.forward(self.rows)
        loss, _ = self.passes.cross_entropy(logits[: len(batch)], targets, len(batch))  # overwritten by the gradient
        ahead, behind = logits[len(batch) :].split(n)
        grad_ahead = (ahead - behind) * self.gradient_penalty(step) * (1 / (4 * PENALTY_STEP**2 * n))
        ahead.copy_(grad_ahead)
        behind.copy_(-grad_ahead)
        self.discriminator_pass.backward(logits)
        self.discriminator_adam.update(step, self.discriminator_pass)
        return loss


MODEL = JointAAE
