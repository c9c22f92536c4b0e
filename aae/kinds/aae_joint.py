"""An adversarial autoencoder whose codes reach the noise floor: two losses, one optimiser.

The networks and the adversarial game are the paper's (Makhzani et al., arXiv 1511.05644). docs/recipe.md explains what
differs from the post's algorithm, why, and what was tried.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from aae.adversary import PENALTY_STEP, penalise
from aae.flops import autoencoder_flops, forward, input_gradients, layer_sizes, weight_gradients
from aae.kinds.aae import AAE, Labelled
from aae.ops import Stream, draw_minibatch, sample_prior
from aae.posteriors import Posterior, SamplingTrainer
from aae.priors import NormalPrior, Prior, UniformPrior
from aae.schedules import Schedule
from aae.settings import (
    AdamSettings,
    Beta,
    Count,
    MaskingNoise,
    NonNegative,
    PriorSettings,
    Widths,
    check_masking_noise,
)


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
    masking_noise: Annotated[MaskingNoise, "fraction of the pixels that the encoder sees as 0"]
    code_noise: Annotated[NonNegative | Schedule, "standard deviation of the noise on the codes that are decoded"]
    recent_codes: Annotated[Count, "number of recent codes the discriminator sees, with as many prior samples"]
    gradient_penalty: Annotated[NonNegative | Schedule, "weight of the discriminator's squared slope at the codes"]
    average: Annotated[Beta, "decay of the averages of encoder and decoder, which snapshots hold"]
    labelled: Labelled = "all"
    posterior: Posterior = "deterministic"
    reconstruction: Annotated[
        Literal["cross_entropy", "squared_error"], "the reconstruction error of a pixel that is minimised"
    ] = "cross_entropy"


class JointAAE(AAE):
    """The AAE's networks, trained by `JointAAETrainer`."""

    Settings: ClassVar[type] = JointAAESettings
    title = "Joint AAE"
    long_title = "joint adversarial autoencoder"

    @classmethod
    def check(cls, settings: JointAAESettings, code_size: int) -> None:
        super().check(settings, code_size)
        check_masking_noise(settings.masking_noise)

    @classmethod
    def divided_rows(cls, settings: JointAAESettings, batch_size: int) -> dict[str, int] | None:
        return {"batch_size": batch_size, "recent_codes": settings.recent_codes}

    def trainer(
        self, settings: JointAAESettings, images: Tensor, labels: Tensor | None, prior: Prior, **training: Any
    ) -> "JointAAETrainer":
        seen = self.seen_labels(settings, labels, prior, training["seed"])
        return JointAAETrainer(self, images, seen, prior, settings, **training)

    def iteration_flops(self, settings: JointAAESettings, batch_size: int) -> int:
        encoder, decoder, discriminator = map(layer_sizes, (self.encoder, self.decoder, self.discriminator))
        rows = 2 * settings.recent_codes + 2 * min(batch_size, settings.recent_codes)  # with those of the penalty
        training = forward(discriminator) + weight_gradients(discriminator) + input_gradients(discriminator)
        to_codes = forward(discriminator) + input_gradients(discriminator, to_inputs=True)
        return batch_size * (autoencoder_flops(encoder, decoder) + to_codes) + rows * training


class JointAAETrainer(SamplingTrainer):
    """Encoder and decoder minimise one loss, with one Adam each. The discriminator sees codes of several iterations.

    The loss is the reconstruction error, mean over the pixels, plus `adversarial_weight` times the cross-entropy of the
    codes with the target `prior`. The loss that is returned is the pixels' cross-entropy, whichever error is minimised.
    With two optimisers on one encoder, as in the post, the codes wander: if the adversarial gradient is small, a
    separate Adam turns its noise into full steps.

    The discriminator learns from the last `recent_codes` codes, including those of the present iteration, and equally
    many samples of the prior. The codes exist already, so the encoder runs one pass per iteration. A larger batch shows
    the discriminator smaller differences.

    Of a divided minibatch, each shard has its own recent codes, and equally many.

    The penalty on the discriminator is `gradient_penalty` / 2 times the mean squared slope at the codes in random
    directions (R1 of Mescheder, Geiger & Nowozin, arXiv 1801.04406, on the codes). Slopes are differences over
    `PENALTY_STEP` to either side, so no second derivatives are needed: the rows are part of the discriminator's batch.

    Args:
        labels: int64 [N] for a discriminator that sees them (section 2.3), or None; `prior.classes` stands for an
            unlabelled image.
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
        self.labels, self.prior, self.assemble = labels, prior, model.discriminator_batch
        self.minimises_squared_error = settings.reconstruction == "squared_error"
        self.unit_normal = NormalPrior(model.code_size)
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
        self.uniform = torch.empty(len(self.minibatch[0]), model.pixels, device=device)
        self.encoder_pass, self.decoder_pass = self.new_pass(encoder, n), self.new_pass(decoder, n)
        self.generator_pass = self.new_pass(discriminator, n)  # through the discriminator to the codes
        self.penalised = min(n, recent)  # the number of codes, the newest ones
        rows, columns = 2 * recent + 2 * self.penalised, model.code_size + model.label_classes
        self.discriminator_pass = self.new_pass(discriminator, rows)
        self.rows = torch.empty(self.shards.rows(rows), columns, device=device)
        of_shard = recent // self.shards.count
        self.discriminator_parts = [
            (part, (part[: 2 * of_shard], torch.empty(2 * of_shard, 1, device=device)))
            for part in self.shards.parts(self.rows)
        ]
        # The first recent codes are those of the untrained encoder. Every rank has those of all shards.
        images, indices = draw_minibatch(self.images, recent, seed=self.seed, step=0, stream=Stream.DISCRIMINATOR)
        blocks = None if self.shards.count == 1 else [of_shard] * self.shards.count
        seen = self.encoder_inputs(images, 0, Stream.DISCRIMINATOR_CODES, offset=0)
        outputs = self.passes.Pass(encoder, recent, blocks).forward(seen).clone()
        codes = self.sample_codes(outputs, 0, Stream.DISCRIMINATOR_CODES, offset=0)
        self.recent_codes = self.add_tensor("recent_codes", codes)
        self.recent_labels = None if labels is None else self.add_tensor("recent_labels", labels[indices])

    def iteration(self, step: int | Tensor) -> tuple[Tensor | float, ...]:
        images, indices = self.draw(self.minibatch, step, Stream.RECONSTRUCTION)
        labels = None if self.labels is None else self.labels[indices]
        seen = self.encoder_inputs(self.masked(step, images), step, Stream.RECONSTRUCTION_CODES)
        outputs = self.encoder_pass.forward(seen)
        codes = self.sample_codes(outputs, step, Stream.RECONSTRUCTION_CODES)
        reconstruction, grad_codes = self.reconstruct(step, codes, images, indices)
        generator, grad_adversarial = self.oppose(step, codes, labels)
        grad_codes = grad_codes + grad_adversarial * self.adversarial_weight(step)
        self.encoder_pass.backward(self.outputs_gradient(grad_codes, codes, outputs))
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
        uniform = self.sample(self.unit_uniform, len(images), step, Stream.MASK, out=self.uniform)
        return uniform.ge_(2 * fraction - 1).mul_(images)

    def reconstruct(
        self, step: int | Tensor, codes: Tensor, images: Tensor, indices: Tensor
    ) -> tuple[Tensor | float, Tensor]:
        """Nats per image, and the gradient in `codes` of the error per pixel; keeps the decoder's gradients."""
        noise = self.sample(self.unit_normal, len(codes), step, Stream.NOISE)
        inputs = self.decoder_inputs(codes + noise * self.code_noise(step), indices)
        loss, grad_logits = self.cross_entropy(self.decoder_pass.forward(inputs), images, images.numel())
        if self.minimises_squared_error:
            outputs = grad_logits * (images.numel() * self.shards.ranks) + images  # sigmoid(logits)
            grad_logits.mul_(outputs.mul_(1 - outputs)).mul_(2)
        grad_inputs = self.decoder_pass.backward(grad_logits, grad_inputs=True)
        return loss * self.model.pixels, grad_inputs[:, : self.model.code_size]

    def decoder_inputs(self, codes: Tensor, indices: Tensor) -> Tensor:
        """The decoder's inputs [n, inputs], which begin with `codes`, for the images with the `indices`, int64 [n]."""
        return codes

    def oppose(self, step: int | Tensor, codes: Tensor, labels: Tensor | None) -> tuple[Tensor | float, Tensor]:
        """The cross-entropy of `codes` with the target `prior`, and its gradient in them."""
        batch = codes
        if labels is not None:
            batch, _ = self.assemble(codes, self.prior, 0, seed=self.seed, step=step, labels=labels)
        loss, grad_logits = self.cross_entropy(self.generator_pass.forward(batch), 1.0, len(batch))
        return loss, self.generator_pass.backward(grad_logits, grad_inputs=True)[:, : self.model.code_size]

    def remember(self, codes: Tensor, labels: Tensor | None) -> None:
        """Appends `codes` to the recent codes and drops equally many of the oldest."""
        for recent, new in ((self.recent_codes, codes), (self.recent_labels, labels)):
            if recent is not None and new is not None:
                of_shards = recent.unflatten(0, (self.shards.count, -1))
                new = self.shards.gather(new).unflatten(0, (self.shards.count, -1))
                of_shards.copy_(torch.cat([of_shards, new], dim=1)[:, -of_shards.shape[1] :])

    def discriminator_step(self, step: int | Tensor) -> Tensor | float:
        """Trains the discriminator to tell recent codes (target 0) from samples of the prior (target 1)."""
        first = self.shards.rank * self.shards.own
        for shard, (rows, batch) in enumerate(self.discriminator_parts, start=first):
            self.fill(rows, batch, shard, step)
        logits = self.discriminator_pass.forward(self.rows)
        losses = [
            self.logits_gradient(part, targets, step)
            for part, (_, (_, targets)) in zip(self.shards.parts(logits), self.discriminator_parts, strict=True)
        ]
        self.discriminator_pass.backward(logits)  # overwritten by their gradient
        self.discriminator_adam.update(step, self.discriminator_pass)
        return losses[0] if self.shards.count == 1 else self.terms(losses)

    def fill(self, rows: Tensor, batch: tuple[Tensor, Tensor], shard: int, step: int | Tensor) -> None:
        """Fills a shard's `rows`: recent codes and samples, which are `batch` with its targets, and penalised codes."""
        n, penalised = len(batch[0]) // 2, self.penalised // self.shards.count
        some = slice(shard * n, (shard + 1) * n)
        self.assemble(
            self.recent_codes[some],
            self.prior,
            n,
            seed=self.seed,
            step=step,
            offset=shard * n,
            labels=None if self.recent_labels is None else self.recent_labels[some],
            out=batch,
        )
        to_side = rows[2 * n :].view(2, penalised, -1)
        to_side.copy_(rows[n - penalised : n])
        direction = sample_prior(
            self.directions,
            penalised,
            seed=self.seed,
            step=step,
            stream=Stream.PENALTY,
            offset=shard * penalised,
            device=rows.device,
        )
        to_side[0, :, : self.model.code_size] += direction
        to_side[1, :, : self.model.code_size] -= direction

    def logits_gradient(self, logits: Tensor, targets: Tensor, step: int | Tensor) -> Tensor | float:
        """The loss of a shard's `logits`, which their gradient, with that of the penalty, overwrites."""
        count = self.shards.count * len(targets)
        loss, _ = self.passes.cross_entropy(logits[: len(targets)], targets, count)
        penalise(logits[len(targets) :], self.gradient_penalty(step), self.penalised)
        return loss


MODEL = JointAAE
