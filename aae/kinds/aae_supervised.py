"""The supervised adversarial autoencoder (Makhzani et al., arXiv 1511.05644, section 4): a code without the label.

The decoder gets the label of an image beside its code. What is left for the code is the style, if it is independent of
the label.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from aae.errors import InputError
from aae.kinds.aae_joint import JointAAE, JointAAESettings, JointAAETrainer
from aae.ops import assemble_discriminator_batch
from aae.priors import Prior
from aae.settings import NormalSettings, UniformSettings


@dataclass(frozen=True)
class SupervisedAAESettings(JointAAESettings):
    """The settings of a section of kind `aae_supervised`."""

    prior: Annotated[NormalSettings | UniformSettings, "the prior p(z), the same for every class"]
    labels: Annotated[bool, "the discriminator sees labels, and matches the codes of each class with the prior"]
    labelled: Annotated[Literal["all"], "the decoder takes the label of every image"] = "all"


class SupervisedAAE(JointAAE):
    """The joint AAE with a decoder that takes the label, as `classes` one-hot columns after the code.

    The discriminator of the paper sees codes alone, so it matches the codes of all classes together with the prior, and
    nothing keeps a class from having a part of its own. A discriminator that also sees the labels (`labels: true`)
    matches the codes of each class with the prior. They are then independent of the label.
    """

    Settings: ClassVar[type] = SupervisedAAESettings
    title = "Supervised AAE"
    long_title = "supervised adversarial autoencoder"
    compared_with = None  # the post's models reconstruct without the label

    def __init__(
        self,
        pixels: int,
        code_size: int,
        encoder_widths: Sequence[int],
        decoder_widths: Sequence[int],
        discriminator_widths: Sequence[int],
        classes: int,
        label_classes: int = 0,
        posterior: str = "deterministic",
    ):
        super().__init__(
            pixels,
            code_size,
            encoder_widths,
            decoder_widths,
            discriminator_widths,
            label_classes,
            posterior,
            decoder_inputs=code_size + classes,
        )
        self.sizes["classes"] = self.decoder_classes = classes

    @classmethod
    def sizes_of(cls, settings: Any, pixels: int, code_size: int, classes: int) -> dict[str, Any]:
        return super().sizes_of(settings, pixels, code_size, classes) | {"classes": classes}

    @classmethod
    def check(cls, settings: SupervisedAAESettings, code_size: int) -> None:
        super().check(replace(settings, labels=False), code_size)  # the prior needs no classes

    def decoder_inputs(self, codes: Tensor, outputs: Tensor | None = None, labels: Tensor | None = None) -> Tensor:
        """See `Autoencoder.decoder_inputs`; an unknown label is the uniform distribution over the classes."""
        if labels is None:
            columns = codes.new_full((codes.shape[0], self.decoder_classes), 1 / self.decoder_classes)
        else:
            columns = one_hot(labels, self.decoder_classes)
        return torch.cat([codes, columns], dim=1)

    def trainer(
        self,
        settings: SupervisedAAESettings,
        images: Tensor,
        labels: Tensor | None,
        prior: Prior,
        **training: Any,
    ) -> "SupervisedAAETrainer":
        if labels is None:
            raise InputError("kind: aae_supervised needs labels, but the data (data.path) has none")
        return SupervisedAAETrainer(self, images, labels, prior, settings, **training)

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
        """`assemble_discriminator_batch` in which each row of the prior has the label of the code with its number.

        So each label is as frequent among samples of the prior as among codes. `n_prior` is at most the number of
        codes.
        """
        if labels is None:
            return assemble_discriminator_batch(codes, prior, n_prior, labels=None, out=out, **draw)
        rows, targets = assemble_discriminator_batch(codes, prior, n_prior, labels=None, **draw)
        columns = one_hot(torch.cat([labels, labels[:n_prior]]), self.label_classes)
        if out is None:
            return torch.cat([rows, columns], dim=1), targets
        torch.cat([rows, columns], dim=1, out=out[0])
        return out[0], out[1].copy_(targets)


class SupervisedAAETrainer(JointAAETrainer):
    """The decoder gets the label of each image; `labels` is int64 [N]. See `JointAAETrainer` for the rest."""

    model: SupervisedAAE

    def __init__(
        self,
        model: SupervisedAAE,
        images: Tensor,
        labels: Tensor,
        prior: Prior,
        settings: SupervisedAAESettings,
        **training: Any,
    ):
        super().__init__(model, images, labels if settings.labels else None, prior, settings, **training)
        self.image_labels = labels

    def decoder_inputs(self, codes: Tensor, indices: Tensor) -> Tensor:
        return self.model.decoder_inputs(codes, labels=self.image_labels[indices])


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """`labels`, int64 [n], as float32 [n, classes]; PyTorch's own function cannot be captured in a CUDA graph."""
    return torch.zeros(labels.shape[0], classes, device=labels.device).scatter_(1, labels[:, None], 1.0)


MODEL = SupervisedAAE
