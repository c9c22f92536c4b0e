"""Around the iterations of a training: epochs, the passes that its device takes, and what it goes on from."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from aae import backprop, backprop_cpu
from aae.errors import Diverged
from aae.ops import Stream, draw_minibatch


class Trainer(ABC):
    """What an interrupted training goes on from: networks, their optimisers' moments, and the losses of the epoch.

    `step` counts the iterations done. `totals`, on the images' device, sums the losses of the current epoch, which are
    not read before its end.
    """

    losses: tuple[str, ...]
    networks: dict[str, Any]  # Perceptrons by name
    optimizers: dict[str, Any]  # Adams by name

    step = 0

    def __init__(self, images: Tensor, seed: int):
        self.images, self.seed = images, seed
        self.passes = passes_on(images.device)
        self.totals = torch.zeros(len(self.losses), device=images.device)

    @abstractmethod
    def iteration(self, step: int | Tensor) -> tuple[Tensor | float, ...]:
        """Trains iteration `step`; returns its losses, in the order of `losses`, without waiting for them.

        `step` may be an int64 tensor [] on the images' device, which is read when the iteration runs.
        """

    def new_minibatch(self, n: int) -> tuple[Tensor, Tensor]:
        """Where `draw` puts `n` images, float32 [n, pixels], and their indices, int64 [n]."""
        images = torch.empty(n, self.images.shape[1], device=self.images.device)
        return images, torch.empty(n, dtype=torch.int64, device=self.images.device)

    def draw(self, minibatch: tuple[Tensor, Tensor], step: int | Tensor, stream: Stream) -> tuple[Tensor, Tensor]:
        """Fills `minibatch` with images drawn with replacement, and returns it."""
        return draw_minibatch(self.images, len(minibatch[0]), seed=self.seed, step=step, stream=stream, out=minibatch)

    def advance(self, most: int) -> None:
        """Trains the next iteration, the first of `most` that may follow."""
        self.passes.add_losses(self.totals, self.iteration(self.step))
        self.step += 1

    def encode(self, images: Tensor) -> Tensor:
        """The encoder's outputs [n, outputs] for `images`, float32 [n, pixels] on the training images' device."""
        encoder = self.networks["encoder"]
        return torch.cat([self.passes.Pass(encoder, len(part)).forward(part) for part in images.split(1000)])

    def state(self) -> dict[str, Tensor]:
        """Every tensor that training changes, by name; not copies."""
        tensors = {"totals": self.totals}
        for name, network in self.networks.items():
            tensors |= {f"{name}.{i}": tensor for i, tensor in enumerate(network.parameters)}
        for name, adam in self.optimizers.items():
            tensors |= {f"{name}.mean.{i}": tensor for i, tensor in enumerate(adam.means)}
            tensors |= {f"{name}.square.{i}": tensor for i, tensor in enumerate(adam.squares)}
        return tensors

    def restore(self, step: int, tensors: dict[str, Tensor]) -> None:
        """Goes on as after `step` iterations, with the `tensors` of `state` at that time."""
        for name, tensor in self.state().items():
            tensor.copy_(tensors[name])
        for adam in self.optimizers.values():
            adam.resume(step)
        self.step = step

    def diverged_networks(self) -> list[str]:
        """The networks with a weight that is infinite or not a number."""
        return [
            name
            for name, network in self.networks.items()
            if not all(tensor.isfinite().all() for tensor in network.parameters)
        ]


def train_epoch(
    trainer: Trainer,
    epoch: int,
    iterations: int,
    after_iteration: Callable[[int], object] | None = None,
    advance: Callable[[int], None] | None = None,
) -> dict[str, float]:
    """Trains epoch `epoch` (counted from 1) of `iterations` iterations; returns the mean of each loss.

    It begins with iteration `trainer.step`, which is in the middle of the epoch if the trainer was restored there.
    `advance(most)` trains iterations, `most` at most, and counts them in `trainer.step`: `trainer.advance`, which is
    taken without it, a single one, and `GraphedIterations.advance` several. `after_iteration(step)` is called after
    each advance, when `step` iterations of the training are done, or on a GPU queued.
    Raises Diverged if a loss or a weight is not finite: training will not come back from there.
    """
    if trainer.step == (epoch - 1) * iterations:
        trainer.totals.zero_()
    advance = advance or trainer.advance
    while trainer.step < epoch * iterations:
        advance(epoch * iterations - trainer.step)
        if after_iteration:
            after_iteration(trainer.step)
    means = dict(zip(trainer.losses, (trainer.totals / iterations).tolist(), strict=True))
    wrong = [f"the {name} loss is {value}" for name, value in means.items() if not math.isfinite(value)]
    wrong += [f"{name} has a weight that is not finite" for name in trainer.diverged_networks()]
    if wrong:
        raise Diverged(f"training diverged in epoch {epoch}: {wrong[0]}")
    return means


def passes_on(device: torch.device) -> ModuleType:
    """Where the passes on `device` are: the native ones on the CPU, PyTorch's elsewhere."""
    return backprop_cpu if device.type == "cpu" else backprop


def sparse_pays(images: Tensor) -> bool:
    """Whether the first layer gains by leaving out the pixels that are 0: on the CPU, below a third of others.

    The third is measured; the passes of other devices leave nothing out.
    """
    return images.is_cpu and images.count_nonzero().item() < images.numel() / 3
