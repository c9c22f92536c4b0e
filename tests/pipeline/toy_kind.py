"""A new kind of model for tests, which copy this file to aae/kinds/toy.py of a repository.

It is a plain autoencoder with the penalty |z|²/2, which pulls its codes towards N(0, I). It uses every way in which
models may differ: the encoder has an output that is not part of the code, the decoder reads it together with the code,
two losses share the encoder, a weight and a learning rate follow schedules, and snapshots hold an average of the
decoder's weights.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from aae.flops import autoencoder_flops, layer_sizes
from aae.models import Autoencoder, LossChart
from aae.ops import Stream
from aae.priors import NormalPrior, Prior
from aae.schedules import Schedule
from aae.settings import AdamSettings, Positive, Widths
from aae.trainer import Trainer


@dataclass(frozen=True)
class ToySettings:
    """The settings in a section of the kind `toy`."""

    encoder_widths: Annotated[Widths, "widths of the encoder's hidden layers"]
    decoder_widths: Annotated[Widths, "widths of the decoder's hidden layers"]
    adam: Annotated[AdamSettings, "encoder and decoder"]
    penalty: Annotated[Positive | Schedule, "weight of the penalty"]


class Toy(Autoencoder):
    """An autoencoder whose encoder has one output in addition to the code. The decoder reads it too."""

    Settings = ToySettings
    title = "Toy"
    long_title = "toy autoencoder"
    loss_charts: ClassVar = (
        LossChart("Reconstruction in training", "nats per image", {"reconstruction": ""}),
        LossChart("Penalty", "in training", {"penalty": ""}),
    )

    def __init__(self, pixels: int, code_size: int, encoder_widths: list[int], decoder_widths: list[int]):
        super().__init__(
            encoder_outputs=code_size + 1,
            decoder_inputs=code_size + 1,
            pixels=pixels,
            code_size=code_size,
            encoder_widths=encoder_widths,
            decoder_widths=decoder_widths,
        )

    @classmethod
    def prior(cls, settings: ToySettings, code_size: int, classes: int) -> Prior:
        return NormalPrior(code_size)

    def codes(self, outputs: Tensor, noise: Tensor) -> dict[str, Tensor]:
        return {"": outputs[:, : self.code_size].contiguous()}

    def decoder_inputs(self, codes: Tensor, outputs: Tensor | None = None, labels: Tensor | None = None) -> Tensor:
        extra = codes.new_ones(codes.shape[0], 1) if outputs is None else outputs[:, self.code_size :]
        return torch.cat([codes, extra], dim=1)

    def trainer(
        self, settings: ToySettings, images: Tensor, labels: Tensor | None, prior: Prior, **training: Any
    ) -> Trainer:
        return ToyTrainer(self, images, settings, **training)

    def iteration_flops(self, settings: ToySettings, batch_size: int) -> int:
        return batch_size * autoencoder_flops(layer_sizes(self.encoder), layer_sizes(self.decoder))


class ToyTrainer(Trainer):
    """Reconstructs one minibatch and penalises another, in one step of the encoder's Adam."""

    losses = ("reconstruction", "penalty")

    def __init__(self, model: Toy, images: Tensor, settings: ToySettings, **training: Any):
        super().__init__(model, images, **training)
        encoder, decoder = self.add_network("encoder"), self.add_network("decoder")
        self.encoder_adam = self.add_optimizer("encoder_adam", "encoder", settings.adam)
        self.decoder_adam = self.add_optimizer("decoder_adam", "decoder", settings.adam)
        self.average = self.add_average("decoder", decay=0.9)
        self.weight = self.by_step(settings.penalty)
        self.minibatches = self.new_minibatch(self.batch_size), self.new_minibatch(self.batch_size)
        self.encode_images, self.encode_penalised = (self.passes.Pass(encoder, self.batch_size) for _ in range(2))
        self.decode_codes = self.passes.Pass(decoder, self.batch_size)

    def iteration(self, step: int | Tensor) -> tuple[Tensor | float, ...]:
        images, _ = self.draw(self.minibatches[0], step, Stream.RECONSTRUCTION)
        logits = self.decode_codes.forward(self.encode_images.forward(images))
        reconstruction, grad_logits = self.passes.cross_entropy(logits, images, len(images))
        self.encode_images.backward(self.decode_codes.backward(grad_logits, grad_inputs=True))

        images, _ = self.draw(self.minibatches[1], step, Stream.GENERATOR)
        outputs = self.encode_penalised.forward(images)
        self.encode_penalised.backward(outputs * (self.weight(step) / len(images)))

        self.encoder_adam.update(step, self.encode_images, self.encode_penalised)
        self.decoder_adam.update(step, self.decode_codes)
        self.average.update()
        return reconstruction, outputs.square().sum() / (2 * len(images))


MODEL = Toy
