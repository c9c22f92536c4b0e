"""An adversarial autoencoder with a categorical code beside the style (Makhzani et al., arXiv 1511.05644).

With labels for some images it learns to classify the others (section 5 of the paper), without labels it forms clusters
(section 6). With `code: sum` each category is a point of the plane and the style an offset from it, so the codes are a
picture of the data (section 7).
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor, nn

from aae import batch_norm
from aae.adversary import PENALTY_STEP, Adversary
from aae.errors import InputError
from aae.flops import autoencoder_flops, forward, input_gradients, layer_sizes, weight_gradients
from aae.kinds.aae import partly_hidden
from aae.models import Autoencoder, LossChart, mlp
from aae.ops import Stream, draw_minibatch, sample_prior
from aae.priors import NormalPrior, UniformPrior
from aae.schedules import Schedule
from aae.settings import (
    AdamSettings,
    Beta,
    Count,
    MaskingNoise,
    NonNegative,
    NormalSettings,
    Widths,
    check_masking_noise,
)
from aae.trainer import Optimizer, Trainer


@dataclass(frozen=True)
class CategoricalAAESettings:
    """The settings of a section of kind `aae_categorical`."""

    prior: Annotated[NormalSettings, "the prior of the style, N(0, std² I)"]
    categories: Annotated[int, Ge(2), Le(1000), "number of values of the categorical code, all equally likely"]
    labelled: Annotated[
        Literal["all", "none"] | Count, "how many training images have a label, equally many of each class"
    ]
    code: Annotated[
        Literal["concatenation", "sum"],
        "what is decoded: category and style side by side, or the sum of the category's point and the style",
    ]
    encoder_widths: Annotated[Widths, "widths of the encoder's hidden layers"]
    decoder_widths: Annotated[Widths, "widths of the decoder's hidden layers"]
    discriminator_widths: Annotated[Widths, "widths of the hidden layers of each discriminator"]
    encoder: Annotated[AdamSettings, "encoder"]
    decoder: Annotated[AdamSettings, "decoder"]
    discriminator: Annotated[AdamSettings, "each discriminator"]
    reconstruction_weight: Annotated[NonNegative | Schedule, "weight of the cross-entropy of a pixel"]
    style_weight: Annotated[NonNegative | Schedule, "weight of the encoder's loss against the style's discriminator"]
    category_weight: Annotated[NonNegative | Schedule, "weight of its loss against the category's discriminator"]
    classification_weight: Annotated[NonNegative | Schedule, "weight of the cross-entropy of labelled images"]
    input_noise: Annotated[NonNegative | Schedule, "standard deviation of the noise on the images that are encoded"]
    masking_noise: Annotated[MaskingNoise, "fraction of the pixels that the encoder sees as 0, as in dropout"]
    code_noise: Annotated[NonNegative | Schedule, "standard deviation of the noise on the styles that are decoded"]
    category_noise: Annotated[NonNegative | Schedule, "standard deviation of the noise on the category's logits"]
    discriminator_noise: Annotated[NonNegative | Schedule, "standard deviation of the noise on all that they see"]
    recent_codes: Annotated[Count, "number of recent codes the discriminators see, with as many samples"]
    gradient_penalty: Annotated[NonNegative | Schedule, "weight of each discriminator's squared slope at the codes"]
    batch_norm: Annotated[bool, "batch normalisation of every layer of the encoder, the outputs included"]
    independent: Annotated[bool, "the style's discriminator also sees the category, so both become independent"]
    separation: Annotated[NonNegative, "least distance of two categories' points, for `code: sum`"]
    average: Annotated[Beta, "decay of the averages of encoder and decoder, which snapshots hold"]


class CategoricalAAE(Autoencoder):
    """The encoder returns the style z and the logits of q(y|x); the decoder takes z and the probabilities q(y|x).

    The style is the model's code. Style and category have a discriminator each; if `independent`, that of the style
    takes q(y|x) beside the style. With `code` "sum", `points` maps a category, one-hot or as probabilities, to its
    point in the space of the codes. Codes without an image are decoded with equal probabilities for all categories.
    """

    Settings: ClassVar[type] = CategoricalAAESettings
    title = "Categorical AAE"
    long_title = "adversarial autoencoder with a categorical code"
    loss_charts: ClassVar = (
        LossChart("Reconstruction in training", "nats per image", {"reconstruction": ""}),
        LossChart("Classification in training", "nats per labelled image", {"classification": ""}),
        LossChart(
            "Discriminators against encoder",
            "cross-entropy in nats, in training",
            {
                "style_discriminator": "discriminator of the style",
                "style_generator": "encoder: style",
                "category_discriminator": "discriminator of the category",
                "category_generator": "encoder: category",
            },
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
        categories: int,
        code: str,
        independent: bool,
    ):
        super().__init__(
            encoder_outputs=code_size + categories,
            decoder_inputs=code_size if code == "sum" else code_size + categories,
            pixels=pixels,
            code_size=code_size,
            encoder_widths=encoder_widths,
            decoder_widths=decoder_widths,
            discriminator_widths=discriminator_widths,
            categories=categories,
            code=code,
            independent=independent,
        )
        self.categories, self.sum = categories, code == "sum"
        self.style_discriminator = mlp(code_size + independent * categories, *discriminator_widths, 1)
        self.category_discriminator = mlp(categories, *discriminator_widths, 1)
        if self.sum:
            self.points = mlp(categories, code_size)

    @classmethod
    def sizes_of(cls, settings: CategoricalAAESettings, pixels: int, code_size: int, classes: int) -> dict[str, Any]:
        sizes = super().sizes_of(settings, pixels, code_size, classes)
        names = ("categories", "code", "independent")
        return sizes | {name: getattr(settings, name) for name in names}

    @classmethod
    def prior(cls, settings: CategoricalAAESettings, code_size: int, classes: int) -> NormalPrior:
        return NormalPrior(code_size, settings.prior.std)

    @classmethod
    def check(cls, settings: CategoricalAAESettings, code_size: int) -> None:
        check_masking_noise(settings.masking_noise)

    def codes(self, outputs: Tensor, noise: Tensor) -> dict[str, Tensor]:
        return {"": outputs[:, : self.code_size]}

    def probabilities(self, outputs: Tensor) -> Tensor:
        """q(y|x) [n, categories] from the encoder's `outputs` [n, outputs]."""
        return torch.softmax(outputs[:, self.code_size :].double(), dim=1).float()  # see `gaussian_codes`

    def decoder_inputs(self, codes: Tensor, outputs: Tensor | None = None, labels: Tensor | None = None) -> Tensor:
        if outputs is None:
            category = codes.new_full((codes.shape[0], self.categories), 1 / self.categories)
        else:
            category = self.probabilities(outputs)
        return self.combined(codes, category)

    def combined(self, styles: Tensor, category: Tensor) -> Tensor:
        """The decoder's inputs [n, inputs] for `styles` [n, code_size] and probabilities `category` [n, categories]."""
        return styles + self.points(category) if self.sum else torch.cat([styles, category], dim=1)

    def trainer(
        self,
        settings: CategoricalAAESettings,
        images: Tensor,
        labels: Tensor | None,
        prior: NormalPrior,
        **training: Any,
    ) -> "CategoricalAAETrainer":
        if settings.labelled == "none":
            return CategoricalAAETrainer(self, images, None, prior, settings, **training)
        if labels is None:
            raise InputError(f"labelled: the data (data.path) has no labels; allowed: none; found {settings.labelled}")
        classes = int(labels.max()) + 1
        if classes > self.categories:
            raise InputError(f"categories: must be at least the {classes} classes; found {self.categories}")
        if settings.labelled != "all":
            labels = partly_hidden(labels, settings.labelled, classes, training["seed"])
        seen = labels < classes
        return CategoricalAAETrainer(self, images, (images[seen], labels[seen]), prior, settings, **training)

    def iteration_flops(self, settings: CategoricalAAESettings, batch_size: int) -> int:
        encoder, decoder = layer_sizes(self.encoder), layer_sizes(self.decoder)
        flops = batch_size * autoencoder_flops(encoder, decoder)
        if settings.labelled != "none":
            flops += batch_size * (forward(encoder) + weight_gradients(encoder) + input_gradients(encoder))
        for network in (self.style_discriminator, self.category_discriminator):
            sizes = layer_sizes(network)
            flops += 2 * batch_size * (forward(sizes) + weight_gradients(sizes) + input_gradients(sizes))
            flops += batch_size * (forward(sizes) + input_gradients(sizes, to_inputs=True))
        return flops


class CategoricalAAETrainer(Trainer):
    """One loss for encoder and decoder, with one Adam each, and a discriminator each for style and category.

    The loss is the weighted sum of the reconstruction error, mean over the pixels; the cross-entropies of style and
    category with the target `prior`; the cross-entropy of the labels, on a minibatch of labelled images; and, with
    `code: sum`, separation - |p - q| for each pair of categories' points p, q that are closer (section 7).

    The algorithm box of the paper takes a step for each of these losses, one after the other.

    Args:
        labelled: images, uint8 [N, pixels], and their labels, int64 [N]; or None.
        training: `Trainer`'s arguments.
    """

    losses = (
        "reconstruction",
        "classification",
        "style_discriminator",
        "style_generator",
        "category_discriminator",
        "category_generator",
    )

    def __init__(
        self,
        model: CategoricalAAE,
        images: Tensor,
        labelled: tuple[Tensor, Tensor] | None,
        prior: NormalPrior,
        settings: CategoricalAAESettings,
        **training: Any,
    ):
        super().__init__(model, images, **training)
        self.model: CategoricalAAE = model
        self.labelled, self.prior = labelled, prior
        self.independent, self.separation = settings.independent, settings.separation
        self.weights = {
            name: self.by_step(getattr(settings, f"{name}_weight"))
            for name in ("reconstruction", "style", "category", "classification")
        }
        self.input_noise = self.by_step(settings.input_noise)
        self.masking_noise = self.by_step(settings.masking_noise)
        self.code_noise = self.by_step(settings.code_noise)
        self.category_noise = self.by_step(settings.category_noise)
        self.discriminator_noise = self.by_step(settings.discriminator_noise)
        self.gradient_penalty = self.by_step(settings.gradient_penalty)
        columns = model.code_size + model.categories
        self.directions = NormalPrior(columns, PENALTY_STEP)
        self.one_hot = torch.eye(model.categories, device=images.device)
        self.no_loss = torch.zeros((), device=images.device)  # of labels that there are not

        n, recent, device = self.batch_size, settings.recent_codes, images.device
        # The first recent codes are those of the untrained encoder.
        first, _ = draw_minibatch(images, recent, seed=self.seed, step=0, stream=Stream.DISCRIMINATOR)
        untrained = self.passes.Perceptron(copy.deepcopy(model.encoder))
        outputs = self.passes.Pass(untrained, recent).forward(first)
        codes = torch.cat([outputs[:, : model.code_size], model.probabilities(outputs)], dim=1)
        self.recent_codes = self.add_tensor("recent_codes", codes)

        rows = n if labelled is None else 2 * n
        self.minibatch = self.new_minibatch(rows)  # the labelled images follow the others
        self.inputs, self.uniform = torch.empty_like(self.minibatch[0]), torch.empty_like(self.minibatch[0])
        self.grad_outputs = torch.zeros(rows, columns, device=device)
        self.batch_norm = batch_norm.Perceptron(model.encoder) if settings.batch_norm else None
        if self.batch_norm:
            self.add_batch_norm(self.batch_norm, settings.encoder, rows)
        else:
            self.encoder_pass = self.new_pass(self.add_network("encoder"), rows)
            self.encoder_adam = self.add_optimizer("encoder_adam", "encoder", settings.encoder)
        decoder = self.add_network("decoder")
        self.decoder_pass = self.new_pass(decoder, n)
        self.decoder_adam = self.add_optimizer("decoder_adam", "decoder", settings.decoder)
        names = ["encoder", "decoder"]
        if model.sum:
            names.append("points")
            points = self.add_network("points")
            self.points_adam = self.add_optimizer("points_adam", "points", settings.decoder)
            self.points_pass, self.separation_pass = self.new_pass(points, n), self.new_pass(points, model.categories)
        self.averages_of = [self.add_average(name, settings.average) for name in names]
        self.style = Adversary(self, "style_discriminator", settings.discriminator, recent)
        self.category = Adversary(self, "category_discriminator", settings.discriminator, recent)

    def add_batch_norm(self, perceptron: batch_norm.Perceptron, settings: AdamSettings, rows: int) -> None:
        """Registers the encoder with batch normalisation."""
        self.networks["encoder"] = perceptron
        adam, rate = batch_norm.Adam(perceptron, settings.betas), self.by_step(settings.learning_rate)
        self.encoder_pass = batch_norm.Pass(perceptron, rows)
        self.encoder_adam = self.optimizers["encoder_adam"] = Optimizer(adam, rate, self.shards)
        for i, statistics in enumerate(perceptron.running):
            for name, tensor in zip(("mean", "variance"), statistics, strict=True):
                self.add_tensor(f"encoder.{name}.{i}", tensor)

    def publish(self, name: str, network: nn.Sequential) -> None:
        if name != "encoder" or self.batch_norm is None:
            super().publish(name, network)
            return
        found = batch_norm.folded(self.averages[name].parameters, self.batch_norm.running)
        for parameter, value in zip(network.parameters(), found, strict=True):
            parameter.detach().copy_(value)

    def iteration(self, step: int | Tensor) -> tuple[Tensor | float, ...]:
        n, d = self.batch_size, self.model.code_size
        images, labels = self.draw_images(step)
        outputs = self.encoder_pass.forward(self.noisy(step, images))
        classification = self.no_loss if labels is None else self.classify(step, outputs[n:], labels)
        style, category = outputs[:n, :d].contiguous(), self.noisy_probabilities(step, outputs[:n])
        reconstruction, grad_style, grad_category = self.reconstruct(step, style, category, images[:n])
        codes = torch.cat([style, category], dim=1)
        beside = [category] if self.independent else []
        seen_style, seen_category = self.parts(codes + self.seen_noise(step, n, 0))
        style_generator, grad_seen_style = self.style.oppose(seen_style, beside)
        category_generator, grad_seen_category = self.category.oppose(seen_category)
        self.grad_outputs[:n, :d] = grad_style + grad_seen_style * self.weights["style"](step)
        grad_category = grad_category + grad_seen_category * self.weights["category"](step)
        self.grad_outputs[:n, d:] = softmax_gradient(category, grad_category)
        self.encoder_pass.backward(self.grad_outputs)
        self.decoder_adam.update(step, self.decoder_pass)
        self.encoder_adam.update(step, self.encoder_pass)
        for average in self.averages_of:
            average.update()
        style_discriminator, category_discriminator = self.train_discriminators(step, codes)
        return (
            reconstruction,
            classification,
            style_discriminator,
            style_generator,
            category_discriminator,
            category_generator,
        )

    def draw_images(self, step: int | Tensor) -> tuple[Tensor, Tensor | None]:
        """Images, float32 [rows, pixels]: a minibatch and, if there are labels, one of labelled images with them."""
        n = self.batch_size
        images, indices = self.minibatch
        self.draw((images[:n], indices[:n]), step, Stream.RECONSTRUCTION)
        if self.labelled is None:
            return images, None
        known, labels = self.labelled
        out = images[n:], indices[n:]
        draw_minibatch(known, n, seed=self.seed, step=step, stream=Stream.CLASSIFICATION, out=out)
        return images, labels[indices[n:]]

    def noisy(self, step: int | Tensor, images: Tensor) -> Tensor:
        """The images with noise on each pixel and without random pixels; the others grow, so that the mean remains."""
        noise, fraction = self.input_noise(step), self.masking_noise(step)
        seen = self.sample(NormalPrior(self.model.pixels), len(images), step, Stream.INPUT_NOISE, out=self.inputs)
        seen.mul_(noise).add_(images)
        if isinstance(fraction, float) and fraction == 0:
            return seen
        uniform = self.sample(UniformPrior(self.model.pixels), len(images), step, Stream.MASK, out=self.uniform)
        return seen.mul_(uniform.ge_(2 * fraction - 1)).mul_(1 / (1 - fraction))

    def noisy_probabilities(self, step: int | Tensor, outputs: Tensor) -> Tensor:
        """q(y|x) [n, categories] with noise on the logits, which only probabilities near 0 and 1 withstand."""
        noise = self.sample(NormalPrior(self.model.categories), len(outputs), step, Stream.CATEGORY_NOISE)
        outputs[:, self.model.code_size :] += noise * self.category_noise(step)
        return self.model.probabilities(outputs)

    def reconstruct(
        self, step: int | Tensor, style: Tensor, category: Tensor, images: Tensor
    ) -> tuple[Tensor | float, Tensor, Tensor]:
        """Nats per image, and the gradients of the weighted error per pixel in `style` and `category`.

        Keeps the decoder's gradients, and moves the categories' points.
        """
        noise = self.sample(NormalPrior(self.model.code_size), len(style), step, Stream.NOISE)
        style, added = style + noise * self.code_noise(step), self.model.sum
        inputs = style + self.points_pass.forward(category) if added else torch.cat([style, category], dim=1)
        loss, grad_logits = self.cross_entropy(self.decoder_pass.forward(inputs), images, images.numel())
        grad_inputs = self.decoder_pass.backward(grad_logits, grad_inputs=True) * self.weights["reconstruction"](step)
        nats = loss * self.model.pixels
        if not added:
            return nats, *grad_inputs.split([self.model.code_size, self.model.categories], dim=1)
        grad_category = self.points_pass.backward(grad_inputs, grad_inputs=True)
        points = self.separation_pass.forward(self.one_hot)
        self.separation_pass.backward(separation_gradient(points, self.separation))
        self.points_adam.update(step, self.points_pass, self.separation_pass)
        return nats, grad_inputs, grad_category

    def classify(self, step: int | Tensor, outputs: Tensor, labels: Tensor) -> Tensor:
        """The cross-entropy of `labels` in nats; its weighted gradient goes to the last rows of `grad_outputs`."""
        logits = outputs[:, self.model.code_size :].double()
        difference = torch.softmax(logits, dim=1) - self.one_hot[labels]
        gradient = difference * (self.weights["classification"](step) / len(labels))
        self.grad_outputs[self.batch_size :, self.model.code_size :] = gradient
        return F.cross_entropy(logits, labels).float()

    def train_discriminators(self, step: int | Tensor, codes: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """Trains both on the recent codes, of which `codes` [n, style and category] are the newest; their losses."""
        recent = self.recent_codes
        recent.copy_(torch.cat([recent, codes])[-len(recent) :])
        n, penalised = len(recent), self.style.penalised
        rows = torch.cat([recent, self.samples(step, n)]) + self.seen_noise(step, 2 * n, len(codes))
        directions = self.sample(self.directions, penalised, step, Stream.PENALTY)
        parts = [self.parts(codes) for codes in (rows[:n], rows[n:], recent[-penalised:], directions)]
        penalty = self.gradient_penalty(step)
        beside = [self.parts(recent)[1]] if self.independent else []
        return (
            self.style.train(step, *(style for style, _ in parts), penalty=penalty, beside=beside),
            self.category.train(step, *(category for _, category in parts), penalty=penalty),
        )

    def parts(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Style and category of `codes` [n, style and category]."""
        return codes[:, : self.model.code_size], codes[:, self.model.code_size :]

    def samples(self, step: int | Tensor, n: int) -> Tensor:
        """Samples of both priors, float32 [n, style and category]; categories are one-hot."""
        style = self.sample(self.prior, n, step, Stream.PRIOR)
        drawn = self.sample(UniformPrior(1, 0.5), n, step, Stream.CATEGORY).squeeze(1) + 0.5  # in (0, 1)
        numbers = (drawn * self.model.categories).long().clamp_(max=self.model.categories - 1)
        return torch.cat([style, self.one_hot[numbers]], dim=1)

    def seen_noise(self, step: int | Tensor, n: int, first: int) -> Tensor:
        """The discriminators' noise of `n` rows, from row `first` on, float32 [n, style and category]."""
        return sample_prior(
            NormalPrior(self.recent_codes.shape[1]),
            n,
            seed=self.seed,
            step=step,
            stream=Stream.DISCRIMINATOR_NOISE,
            offset=first,
            device=self.images.device,
        ) * self.discriminator_noise(step)


def softmax_gradient(probabilities: Tensor, gradient: Tensor) -> Tensor:
    """The gradient [n, columns] in the logits of a loss with the `gradient` in their softmax, the `probabilities`."""
    p, gradient = probabilities.double(), gradient.double()  # the order of float32 sums differs between processors
    return (p * (gradient - (p * gradient).sum(dim=1, keepdim=True))).float()


def separation_gradient(points: Tensor, least: float) -> Tensor:
    """The gradient in `points` [n, d] of the sum of `least` - |p - q| over the pairs p, q that are closer."""
    difference = points.double()[:, None] - points.double()
    distance = difference.norm(dim=2)
    close = (distance < least) & (distance > 0)
    unit = difference / distance.clamp(min=1e-12)[..., None]
    return -(unit * close[..., None]).sum(dim=1).float()


MODEL = CategoricalAAE
