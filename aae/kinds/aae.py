"""The adversarial autoencoder (Makhzani et al., arXiv 1511.05644, section 2), trained as in the post."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from aae.errors import InputError
from aae.flops import autoencoder_flops, forward, input_gradients, layer_sizes, weight_gradients
from aae.models import GAUSSIAN_CODES, Autoencoder, CodesKind, LossChart, gaussian_codes, mlp
from aae.ops import Stream, assemble_discriminator_batch, sample_prior
from aae.posteriors import UNIVERSAL_CODES, Posterior, SamplingTrainer
from aae.priors import Prior, UniformPrior
from aae.settings import AdamSettings, Count, PriorSettings, Widths

Labelled = Annotated[
    Literal["all"] | Count, "how many training images have a label for the discriminator, equally many of each class"
]


@dataclass(frozen=True)
class AAESettings:
    """The settings of a section of kind `aae`."""

    prior: Annotated[PriorSettings, "the prior p(z): a name, or a mapping with its kind and parameters"]
    labels: Annotated[bool, "the discriminator sees labels, and each class has its own part of the prior"]
    encoder_widths: Annotated[Widths, "widths of the encoder's hidden layers"]
    decoder_widths: Annotated[Widths, "widths of the decoder's hidden layers"]
    discriminator_widths: Annotated[Widths, "widths of the discriminator's hidden layers"]
    autoencoder: Annotated[AdamSettings, "reconstruction step: encoder and decoder"]
    discriminator: Annotated[AdamSettings, "discriminator step"]
    generator: Annotated[AdamSettings, "generator step: the encoder against the discriminator"]
    labelled: Labelled = "all"
    posterior: Posterior = "deterministic"


class AAE(Autoencoder):
    """Adversarial autoencoder.

    The `posterior` is one of the three of section 2.1 of the paper:

    - "deterministic": the encoder returns a code.
    - "gaussian": it returns the mean and log-variance of q(z|x). An image has two codes, as a VAE's has: the mean and a
      sample.
    - "universal", the universal approximator: the encoder takes `code_size` numbers of standard normal noise after the
      pixels and returns a code. So q(z|x) may be any distribution that the network can make of the noise. An image has
      two codes: that of the noise 0 and that of random noise. `outputs` has them beside each other.

    The discriminator takes codes and returns the logit of their class: 1 is `prior`, 0 is `encoded`. If it sees labels
    (section 2.3), `label_classes` one-hot columns follow each code. If only some images are labelled, the last of these
    columns means "unlabelled".
    """

    Settings: ClassVar[type] = AAESettings
    discriminator: nn.Sequential
    title = "AAE"
    long_title = "adversarial autoencoder"
    compared_with: ClassVar[str | None] = "vae"
    loss_charts: ClassVar = (
        LossChart("Reconstruction in training", "nats per image", {"reconstruction": ""}),
        LossChart(
            "Discriminator against encoder",
            "cross-entropy in nats, in training",
            {"discriminator": "discriminator", "generator": "encoder"},
            level=("ln 2: undecided", log(2)),
        ),
    )

    def __init__(
        self,
        pixels: int,
        code_size: int,
        encoder_widths: Sequence[int],
        decoder_widths: Sequence[int],
        discriminator_widths: Sequence[int],
        label_classes: int = 0,
        posterior: str = "deterministic",
        decoder_inputs: int | None = None,
    ):
        super().__init__(
            encoder_outputs=2 * code_size if posterior == "gaussian" else code_size,
            decoder_inputs=decoder_inputs,
            encoder_inputs=pixels + code_size if posterior == "universal" else pixels,
            pixels=pixels,
            code_size=code_size,
            encoder_widths=encoder_widths,
            decoder_widths=decoder_widths,
            discriminator_widths=discriminator_widths,
            label_classes=label_classes,
        )
        if posterior != "deterministic":  # left out otherwise, as in snapshots from before there was a choice
            self.sizes["posterior"] = posterior
        self.label_classes, self.posterior = label_classes, posterior
        self.discriminator = mlp(code_size + label_classes, *discriminator_widths, 1)

    @classmethod
    def sizes_of(cls, settings: AAESettings, pixels: int, code_size: int, classes: int) -> dict[str, Any]:
        sizes = super().sizes_of(settings, pixels, code_size, classes)
        label_classes = classes + (settings.labelled != "all") if settings.labels else 0
        return sizes | {"label_classes": label_classes, "posterior": settings.posterior}

    @classmethod
    def prior(cls, settings: AAESettings, code_size: int, classes: int) -> Prior:
        return settings.prior.build(code_size, classes)

    @classmethod
    def check(cls, settings: Any, code_size: int) -> None:
        prior = settings.prior.build(code_size, classes=1)
        if prior.dim != code_size:
            raise InputError(f"prior: {prior.kind} needs code_size {prior.dim}; found {code_size}")
        if settings.labels and not prior.classes:
            raise InputError(f"labels: prior {prior.kind} has no classes; allowed here: false")
        if settings.labelled != "all" and not settings.labels:
            raise InputError(f"labelled: allowed without `labels: true`: all; found {settings.labelled}")

    @classmethod
    def codes_kinds(cls, settings: Any) -> tuple[CodesKind, ...]:
        sampled = {"gaussian": GAUSSIAN_CODES, "universal": UNIVERSAL_CODES}
        return sampled.get(settings.posterior) or super().codes_kinds(settings)

    @property
    def output_size(self) -> int:
        return 2 * self.code_size if self.posterior == "universal" else super().output_size

    def outputs(
        self, images: Tensor, noise: Tensor | None = None, encoder: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        if self.posterior != "universal":
            return super().outputs(images, noise, encoder)
        noises = [images.new_zeros(images.shape[0], self.code_size)] + ([] if noise is None else [noise])
        run = encoder or self.encoder
        return torch.cat([run(torch.cat([images, each], dim=1)) for each in noises], dim=1)

    def codes(self, outputs: Tensor, noise: Tensor) -> dict[str, Tensor]:
        if self.posterior == "universal":
            return {"": outputs[:, : self.code_size], "_sampled": outputs[:, self.code_size :]}
        return gaussian_codes(outputs, noise) if self.posterior == "gaussian" else super().codes(outputs, noise)

    @classmethod
    def divided_rows(cls, settings: Any, batch_size: int) -> dict[str, int] | None:
        return {"half of batch_size": batch_size // 2}

    def trainer(
        self, settings: AAESettings, images: Tensor, labels: Tensor | None, prior: Prior, **training: Any
    ) -> "AAETrainer":
        return AAETrainer(
            self,
            images,
            prior,
            autoencoder=settings.autoencoder,
            discriminator=settings.discriminator,
            generator=settings.generator,
            labels=self.seen_labels(settings, labels, prior, training["seed"]),
            **training,
        )

    def seen_labels(self, settings: Any, labels: Tensor | None, prior: Prior, seed: int) -> Tensor | None:
        """The labels that the discriminator of the run with `seed` sees: int64 [N], or None if it sees none.

        `prior.classes` stands for an unlabelled image. Raises InputError if `settings.labelled` is not possible.
        """
        if labels is None or not settings.labels:
            return None
        return labels if settings.labelled == "all" else partly_hidden(labels, settings.labelled, prior.classes, seed)

    def discriminator_batch(
        self,
        codes: Tensor,
        prior: Prior,
        n_prior: int,
        *,
        labels: Tensor | None,
        out: tuple[Tensor, Tensor] | None = None,
        **draw: Any,
    ) -> tuple[Tensor, Tensor]:
        """`assemble_discriminator_batch` for labels of which some are `prior.classes`, which means unlabelled.

        An unlabelled row has a one in its last column, and no other. If a code is unlabelled, so is the prior row with
        the same number, whose class is drawn as for any row. Unlabelled rows of the prior are therefore samples of the
        whole prior, and as frequent as unlabelled codes. `n_prior` is at most the number of codes.
        """
        if labels is None or self.label_classes == prior.classes:
            return assemble_discriminator_batch(codes, prior, n_prior, labels=labels, out=out, **draw)
        hidden = labels == prior.classes
        batch, targets = assemble_discriminator_batch(
            codes, prior, n_prior, labels=labels.masked_fill(hidden, 0), **draw
        )
        hidden = torch.cat([hidden, hidden[:n_prior]])[:, None]
        batch[:, prior.dim :].masked_fill_(hidden, 0)
        batch = torch.cat([batch, hidden.float()], dim=1)
        if out is None:
            return batch, targets
        return out[0].copy_(batch), out[1].copy_(targets)

    def iteration_flops(self, settings: AAESettings, batch_size: int) -> int:
        encoder, decoder, discriminator = map(layer_sizes, (self.encoder, self.decoder, self.discriminator))
        discriminator_step = batch_size // 2 * forward(encoder) + batch_size * (
            forward(discriminator) + weight_gradients(discriminator) + input_gradients(discriminator)
        )
        generator_step = batch_size * (
            forward(encoder)
            + forward(discriminator)
            + input_gradients(discriminator, to_inputs=True)
            + weight_gradients(encoder)
            + input_gradients(encoder)
        )
        return batch_size * autoencoder_flops(encoder, decoder) + discriminator_step + generator_step


class AAETrainer(SamplingTrainer):
    """The algorithm box of the paper, section 2, with the settings of the post.

    An iteration consists of a reconstruction step, a discriminator step and a generator step, each on its own minibatch
    drawn with replacement. With `labels`, int64 [N], the discriminator sees each code with its label and each sample of
    the prior with its class (section 2.3); the label `prior.classes` stands for an unlabelled image. The other
    arguments are `Trainer`'s.
    """

    losses = ("reconstruction", "discriminator", "generator")

    def __init__(
        self,
        model: AAE,
        images: Tensor,
        prior: Prior,
        *,
        autoencoder: AdamSettings,
        discriminator: AdamSettings,
        generator: AdamSettings,
        labels: Tensor | None = None,
        **training: Any,
    ):
        super().__init__(model, images, **training)
        self.prior, self.labels, self.assemble = prior, labels, model.discriminator_batch
        encoder, decoder, discriminator_network = map(self.add_network, ("encoder", "decoder", "discriminator"))
        self.encoder_adam = self.add_optimizer("encoder_adam", "encoder", autoencoder)
        self.decoder_adam = self.add_optimizer("decoder_adam", "decoder", autoencoder)
        self.discriminator_adam = self.add_optimizer("discriminator_adam", "discriminator", discriminator)
        self.generator_adam = self.add_optimizer("generator_adam", "encoder", generator)

        n, half = self.batch_size, self.batch_size // 2
        self.minibatch = self.new_minibatch(n)  # for the reconstruction step
        self.adversarial_minibatch = self.new_minibatch(half + n)  # for the discriminator, then the generator step
        drawn, indices = self.adversarial_minibatch
        first = self.shards.rows(half)
        self.discriminator_minibatch = drawn[:first], indices[:first]
        self.generator_minibatch = drawn[first:], indices[first:]
        rows, columns, device = 2 * first, model.code_size + model.label_classes, images.device
        self.discriminator_batch = torch.empty(rows, columns, device=device), torch.empty(rows, 1, device=device)
        self.discriminator_parts = list(zip(*map(self.shards.parts, self.discriminator_batch), strict=True))

        self.encoder_pass = self.new_pass(encoder, n)
        self.decoder_pass = self.new_pass(decoder, n)
        self.adversarial_encoder_pass = self.new_pass(encoder, half, n)
        self.discriminator_pass = self.new_pass(discriminator_network, 2 * half)
        self.generator_pass = self.new_pass(discriminator_network, n)  # through the discriminator to the codes

    def iteration(self, step: int | Tensor) -> tuple[Tensor | float, ...]:
        reconstruction = self.reconstruction_step(step)
        for_discriminator, for_generator = self.encode_minibatches(step)
        return (
            reconstruction,
            self.discriminator_step(step, *for_discriminator),
            self.generator_step(step, *for_generator),
        )

    def reconstruction_step(self, step: int | Tensor) -> Tensor | float:
        """Trains encoder and decoder to reconstruct; returns nats per image.

        It minimises the mean over pixels, as in the post, and returns the sum, for comparison with the VAE.
        """
        images, _ = self.draw(self.minibatch, step, Stream.RECONSTRUCTION)
        outputs = self.encoder_pass.forward(self.encoder_inputs(images, step, Stream.RECONSTRUCTION_CODES))
        codes = self.sample_codes(outputs, step, Stream.RECONSTRUCTION_CODES)
        loss, grad_logits = self.cross_entropy(self.decoder_pass.forward(codes), images, images.numel())
        grad_codes = self.decoder_pass.backward(grad_logits, grad_inputs=True)
        self.encoder_pass.backward(self.outputs_gradient(grad_codes, codes, outputs))
        self.decoder_adam.update(step, self.decoder_pass)
        self.encoder_adam.update(step, self.encoder_pass)
        return loss * self.model.pixels

    def encode_minibatches(
        self, step: int | Tensor
    ) -> tuple[tuple[Tensor, Tensor | None], tuple[Tensor, Tensor | None]]:
        """Codes and labels for the discriminator step (half a batch) and for the generator step (a batch).

        Each step has its own minibatch. The discriminator step does not change the encoder, so one pass encodes both.
        """
        self.draw(self.discriminator_minibatch, step, Stream.DISCRIMINATOR)
        self.draw(self.generator_minibatch, step, Stream.GENERATOR)
        images, indices = self.adversarial_minibatch
        sizes = len(self.discriminator_minibatch[0]), len(self.generator_minibatch[0])
        streams = Stream.DISCRIMINATOR_CODES, Stream.GENERATOR_CODES
        if self.model.posterior == "universal":
            parts = zip(images.split(sizes), streams, strict=True)
            images = torch.cat([self.encoder_inputs(part, step, stream) for part, stream in parts])
        for_discriminator, self.generator_outputs = self.adversarial_encoder_pass.forward(images).split(sizes)
        codes = (
            self.sample_codes(for_discriminator, step, streams[0]),
            self.sample_codes(self.generator_outputs, step, streams[1]),
        )
        labels = (None, None) if self.labels is None else self.labels[indices].split(sizes)
        return (codes[0], labels[0]), (codes[1], labels[1])

    def discriminator_step(self, step: int | Tensor, codes: Tensor, labels: Tensor | None) -> Tensor | float:
        """Trains the discriminator to tell `codes` (target 0) from equally many samples of the prior (target 1)."""
        row = self.first_row(len(codes))
        parts = self.shards.parts(codes)
        labels_of = [None] * len(parts) if labels is None else self.shards.parts(labels)
        for part, part_labels, out in zip(parts, labels_of, self.discriminator_parts, strict=True):
            self.assemble(
                part, self.prior, len(part), seed=self.seed, step=step, offset=row, labels=part_labels, out=out
            )
            row += len(part)
        batch, targets = self.discriminator_batch
        loss, grad_logits = self.cross_entropy(self.discriminator_pass.forward(batch), targets, len(batch))
        self.discriminator_pass.backward(grad_logits)
        self.discriminator_adam.update(step, self.discriminator_pass)
        return loss

    def generator_step(self, step: int | Tensor, codes: Tensor, labels: Tensor | None) -> Tensor | float:
        """Trains the encoder so that the discriminator, which does not change, takes `codes` for prior samples."""
        batch = codes
        if labels is not None:
            batch, _ = self.assemble(codes, self.prior, 0, seed=self.seed, step=step, labels=labels)
        loss, grad_logits = self.cross_entropy(self.generator_pass.forward(batch), 1.0, len(batch))
        grad_codes = self.generator_pass.backward(grad_logits, grad_inputs=True)
        if labels is not None:
            grad_codes = grad_codes[:, : self.model.code_size].contiguous()
        self.adversarial_encoder_pass.backward(self.outputs_gradient(grad_codes, codes, self.generator_outputs))
        self.generator_adam.update(step, self.adversarial_encoder_pass)
        return loss


def partly_hidden(labels: Tensor, count: int, classes: int, seed: int) -> Tensor:
    """`labels`, int64 [N], with `classes` in place of all but `count` of them.

    Of each class, the images with the smallest random numbers stay labelled: row i of UniformPrior(1), stream LABELLED,
    step 0. So the run's `seed` selects them. Raises InputError unless each class has count / classes images.
    """
    if count % classes:
        raise InputError(f"labelled: must be a multiple of the {classes} classes or all; found {count}")
    fewest, most = min(torch.bincount(labels, minlength=classes).tolist()), count // classes
    if most > fewest:
        raise InputError(
            f"labelled: must be at most {classes * fewest}, because a class has only {fewest} training images; "
            f"found {count}"
        )
    numbers = sample_prior(UniformPrior(1), len(labels), seed=seed, step=0, stream=Stream.LABELLED).squeeze(1)
    hidden = torch.full_like(labels, classes)
    order = numbers.argsort(stable=True).to(labels.device)
    for label in range(classes):
        chosen = order[labels[order] == label][:most]
        hidden[chosen] = label
    return hidden


MODEL = AAE
