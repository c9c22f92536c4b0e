"""What all trainings share: the registry of what is trained, the epochs, and the state to resume from.

Each kind of model has its own trainer, in the same module in `aae/kinds/`, which defines an iteration. Every minibatch
and every sample of an iteration is a function of (seed, stream, step), so an iteration depends only on its number.
"""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from aae import backprop, backprop_cpu
from aae.errors import Diverged
from aae.models import Autoencoder
from aae.ops import Stream, draw_minibatch, sample_prior
from aae.priors import Prior
from aae.ranks import Shards, ShardSum
from aae.schedules import Schedule, value_by_step
from aae.settings import AdamSettings


class Optimizer:
    """Adam for one network, with a learning rate that may follow a schedule."""

    def __init__(self, adam: Any, learning_rate: Callable[[int | Tensor], float | Tensor], shards: Shards):
        self.adam, self.learning_rate, self.shards = adam, learning_rate, shards
        if shards.count > 1:
            parameters = adam.perceptron.parameters
            size = sum(parameter.numel() for parameter in parameters)
            self.sum = ShardSum(shards, size, parameters[0].device)

    def update(self, step: int | Tensor, *passes: Any) -> None:
        """Updates the network with the gradients of the last backward pass of each of `passes`, in iteration `step`."""
        learning_rate = self.learning_rate(step)
        if self.shards.count == 1:
            self.adam.update(*passes, learning_rate=learning_rate)
        else:
            parts = self.shards.own
            gradient = self.sum(lambda part, out: self.adam.gradient(passes, part, parts, out))
            self.adam.apply(gradient, learning_rate=learning_rate)


class Trainer(ABC):
    """One model on its device, its training images, and all that training changes.

    A trainer registers what it trains: networks by their names in the model, optimisers, averages of weights, and any
    other state that one iteration leaves for the next. Snapshots hold the model's networks, with averages in place of
    weights where they exist.

    A minibatch may be divided into shards, see `aae.ranks`. The tensors of an iteration then hold this rank's rows, one
    shard after the other. The arguments of `new_minibatch` and `new_pass` count the rows of all ranks.

    Args:
        model: on the device that trains.
        images: uint8 [N, pixels] on that device.
        seed: of the run.
        batch_size: images in a minibatch, of all ranks together.
        steps: iterations of the whole training; schedules run over them.
        shards: of every minibatch; by default, nothing is divided.
    """

    losses: ClassVar[tuple[str, ...]]  # the names of the losses that `iteration` returns

    def __init__(
        self,
        model: Autoencoder,
        images: Tensor,
        *,
        seed: int,
        batch_size: int,
        steps: int,
        shards: Shards | None = None,
    ):
        self.model, self.images, self.seed = model, images, seed
        self.batch_size, self.steps = batch_size, steps
        self.shards = shards or Shards()
        self.passes = passes_on(images.device)
        self.networks: dict[str, Any] = {}  # Perceptrons
        self.optimizers: dict[str, Optimizer] = {}
        self.averages: dict[str, Any] = {}  # network name -> the average of its weights
        self.tensors: dict[str, Tensor] = {}  # other state that iterations change
        self.step = 0  # iterations done
        self.totals = torch.zeros(len(self.losses), device=images.device)  # sums of the epoch's losses, read at its end

    # --- for subclasses -------------------------------------------------------------------------------

    @abstractmethod
    def iteration(self, step: int | Tensor) -> tuple[Tensor | float, ...]:
        """Trains iteration `step`; returns its losses, in the order of `losses`, without waiting for them.

        If minibatches are divided, each loss is a tensor with a term for each own shard, as `cross_entropy` returns.
        `step` may be an int64 tensor [] on the images' device, which is read when the iteration runs.
        """

    def add_network(self, name: str) -> Any:
        """Registers the model's network `name`; returns its `Perceptron`."""
        sparse = name == "encoder" and sparse_pays(self.images)
        self.networks[name] = self.passes.Perceptron(getattr(self.model, name), sparse_inputs=sparse)
        return self.networks[name]

    def add_optimizer(self, name: str, network: str, settings: AdamSettings) -> Optimizer:
        """Registers an Adam optimiser called `name` for the registered `network`."""
        adam = self.passes.Adam(self.networks[network], settings.betas)
        self.optimizers[name] = Optimizer(adam, self.by_step(settings.learning_rate), self.shards)
        return self.optimizers[name]

    def add_average(self, network: str, decay: float) -> Any:
        """Registers an average of the weights of `network` over the iterations; snapshots hold it in their place.

        Its `update` adds the present weights with the weight 1 - `decay`.
        """
        self.averages[network] = self.passes.Average(self.networks[network], decay)
        return self.averages[network]

    def add_tensor(self, name: str, tensor: Tensor) -> Tensor:
        """Registers a tensor that iterations change in place and read later; returns it."""
        self.tensors[name] = tensor
        return tensor

    def by_step(self, value: float | Schedule) -> Callable[[int | Tensor], float | Tensor]:
        """The value as a function of the step, see `aae.schedules.value_by_step`."""
        return value_by_step(value, self.steps, self.images.device)

    def new_minibatch(self, n: int) -> tuple[Tensor, Tensor]:
        """Tensors for `draw` to fill: this rank's part of `n` images, float32 [n, pixels], and indices, int64 [n]."""
        n = self.shards.rows(n)
        images = torch.empty(n, self.images.shape[1], device=self.images.device)
        return images, torch.empty(n, dtype=torch.int64, device=self.images.device)

    def draw(self, minibatch: tuple[Tensor, Tensor], step: int | Tensor, stream: Stream) -> tuple[Tensor, Tensor]:
        """Fills `minibatch` with images drawn with replacement, this rank's rows of the minibatch, and returns it."""
        n = len(minibatch[0])
        return draw_minibatch(
            self.images, n, seed=self.seed, step=step, stream=stream, offset=self.first_row(n), out=minibatch
        )

    def sample(self, prior: Prior, n: int, step: int | Tensor, stream: Stream, out: Tensor | None = None) -> Tensor:
        """This rank's `n` rows of the prior's samples for a whole minibatch, float32 [n, prior.dim]."""
        if out is None:
            out = torch.empty(n, prior.dim, device=self.images.device)
        return sample_prior(prior, n, seed=self.seed, step=step, stream=stream, offset=self.first_row(n), out=out)

    def first_row(self, n: int) -> int:
        """The row of the whole minibatch with which this rank's `n` rows begin: the ops' `offset`."""
        return self.shards.rank * n

    def new_pass(self, network: Any, *sizes: int) -> Any:
        """A pass through `network`, a Perceptron, for this rank's rows of minibatches of `sizes` rows, one after the
        other.
        """
        blocks = self.shards.blocks(*sizes)
        return self.passes.Pass(network, sum(blocks), blocks if self.shards.count > 1 else None)

    def cross_entropy(self, logits: Tensor, targets: Tensor | float, count: int) -> tuple[Tensor | float, Tensor]:
        """The loss of `logits` [n, outputs] and its gradient in them, which overwrites them, as the passes compute it.

        `count`, the divisor, counts this rank's part of what the whole minibatch has. If minibatches are divided, the
        loss is a tensor with a term for each own shard; their sum over all shards is the loss.
        """
        count *= self.shards.ranks
        if self.shards.count == 1:
            return self.passes.cross_entropy(logits, targets, count)
        parts = self.shards.parts(logits)
        wanted = self.shards.parts(targets) if isinstance(targets, Tensor) else [targets] * len(parts)
        losses = [self.passes.cross_entropy(part, of, count)[0] for part, of in zip(parts, wanted, strict=True)]
        return self.terms(losses), logits

    def terms(self, losses: Sequence[Tensor | float]) -> Tensor:
        """A loss of each own shard as one tensor: float64 on the CPU, where losses are numbers."""
        return torch.stack(
            [torch.as_tensor(loss, dtype=torch.float64 if self.images.is_cpu else None) for loss in losses]
        )

    # --- for the training loop ------------------------------------------------------------------------

    def advance(self, most: int) -> None:
        """Trains the next iteration, a single one of the `most` that are allowed."""
        self.iterate(self.step)
        self.step += 1

    def iterate(self, step: int | Tensor) -> None:
        """Trains iteration `step` and adds its losses to `totals`."""
        losses = self.iteration(step)
        if self.shards.count > 1:  # one exchange for all of them
            losses = self.shards.sum_of(torch.stack([torch.as_tensor(loss) for loss in losses], dim=1)).unbind()
        self.passes.add_losses(self.totals, losses)

    def published(self) -> Autoencoder:
        """The model for a snapshot: the model itself, or a copy with averages in place of weights."""
        if not self.averages:
            return self.model
        model = copy.deepcopy(self.model)
        for name in self.averages:
            self.publish(name, getattr(model, name))
        return model

    def publish(self, name: str, network: nn.Sequential) -> None:
        """Gives `network`, a copy of the model's network `name`, the averages in place of its weights."""
        parameters = self.passes.Perceptron(network).parameters
        for parameter, value in zip(parameters, self.averages[name].parameters, strict=True):
            parameter.copy_(value)

    def encode(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        """The published encoder's outputs [n, outputs], see `Autoencoder.outputs`.

        `images`, float32 [n, pixels], and `noise` [n, code_size] are on the training's device.
        """
        encoder = self.networks["encoder"]
        if "encoder" in self.averages:
            encoder = self.passes.Perceptron(self.published().encoder, sparse_inputs=sparse_pays(self.images))

        def run(inputs: Tensor) -> Tensor:
            return torch.cat([self.passes.Pass(encoder, len(part)).forward(part) for part in inputs.split(1000)])

        return self.model.outputs(images, noise, run)

    def state(self) -> dict[str, Tensor]:
        """Every tensor that training changes, by name. They are not copies."""
        tensors = {"totals": self.totals} | self.tensors
        for kind, networks in (("", self.networks), (".average", self.averages)):
            for name, network in networks.items():
                tensors |= {f"{name}{kind}.{i}": tensor for i, tensor in enumerate(network.parameters)}
        for name, optimizer in self.optimizers.items():
            tensors |= {f"{name}.mean.{i}": tensor for i, tensor in enumerate(optimizer.adam.means)}
            tensors |= {f"{name}.square.{i}": tensor for i, tensor in enumerate(optimizer.adam.squares)}
            tensors |= {f"{name}.steps": optimizer.adam.steps}
        return tensors

    def restore(self, step: int, tensors: dict[str, Tensor]) -> None:
        """Resumes after `step` iterations, with the `tensors` of `state` at that time."""
        for name, tensor in self.state().items():
            tensor.copy_(tensors[name])
        for name, optimizer in self.optimizers.items():
            optimizer.adam.resume(int(tensors[f"{name}.steps"]))
        self.step = step

    def follow_first_rank(self) -> None:
        """Gives all ranks the state of the first one, which may have resumed. All ranks call it."""
        if self.shards.ranks > 1:
            self.restore(*self.shards.follow_first(self.step, self.state()))

    def diverged_networks(self) -> list[str]:
        """The names of networks with a weight that is infinite or NaN."""
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
    `advance(most)` trains at most `most` iterations and counts them in `trainer.step`. The default, `trainer.advance`,
    trains one; `GraphedIterations.advance` trains several. `after_iteration(step)` is called after each advance, when
    `step` iterations of the training are done (on a GPU: queued).
    Raises Diverged if a loss or a weight is not finite, because training cannot recover from that.
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
    """The module with the passes for `device`: the native ones on the CPU, PyTorch's elsewhere."""
    return backprop_cpu if device.type == "cpu" else backprop


def sparse_pays(images: Tensor) -> bool:
    """Whether skipping the pixels that are 0 speeds up the first layer: on the CPU, if less than a third are not 0.

    The limit of a third was measured. The passes of other devices skip nothing.
    """
    return images.is_cpu and images.count_nonzero().item() < images.numel() / 3
