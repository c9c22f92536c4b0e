"""A discriminator and the encoder's loss against it, for trainers with more than one discriminator."""

from collections.abc import Sequence

import torch
from torch import Tensor

from aae.settings import AdamSettings
from aae.trainer import Trainer

PENALTY_STEP = 0.05  # in units of the code


class Adversary:
    """A discriminator of one part of the encoder's outputs, with the encoder's loss against it.

    It learns from the last `recent` codes. A penalty on its slope at the newest of them, at most a minibatch, keeps it
    smooth; see `aae.kinds.aae_joint`.
    """

    def __init__(self, trainer: Trainer, network: str, adam: AdamSettings, recent: int):
        self.trainer = trainer
        perceptron, n = trainer.add_network(network), trainer.batch_size
        self.adam = trainer.add_optimizer(f"{network}_adam", network, adam)
        self.penalised = min(n, recent)
        self.discriminator_pass = trainer.new_pass(perceptron, 2 * recent + 2 * self.penalised)
        self.generator_pass = trainer.new_pass(perceptron, n)
        self.targets = torch.cat([torch.zeros(recent, 1), torch.ones(recent, 1)]).to(trainer.images.device)

    def oppose(self, codes: Tensor, beside: Sequence[Tensor] = ()) -> tuple[Tensor | float, Tensor]:
        """The cross-entropy of `codes` [n, columns] with the target `prior`, and its gradient in them.

        The discriminator also sees the columns `beside` them, which get no gradient.
        """
        batch = torch.cat([codes, *beside], dim=1)
        loss, grad_logits = self.trainer.cross_entropy(self.generator_pass.forward(batch), 1.0, len(codes))
        return loss, self.generator_pass.backward(grad_logits, grad_inputs=True)[:, : codes.shape[1]]

    def train(
        self,
        step: int | Tensor,
        codes: Tensor,
        samples: Tensor,
        newest: Tensor,
        directions: Tensor,
        *,
        penalty: float | Tensor,
        beside: Sequence[Tensor] = (),
    ) -> Tensor | float:
        """Trains the discriminator to tell `codes` (target 0) from `samples` (target 1); both are [recent, columns].

        `penalty` is the weight of the squared slope at the `newest` codes in the `directions`, [penalised, columns]
        each. The same columns `beside` [recent, others] go with codes and samples; the last rows are the newest ones'.
        """
        last = [columns[-self.penalised :] for columns in beside]
        to_sides = (newest + directions, newest - directions)
        parts = [[part, *beside] for part in (codes, samples)] + [[side, *last] for side in to_sides]
        logits = self.discriminator_pass.forward(torch.cat([torch.cat(part, dim=1) for part in parts]))
        told = len(self.targets)
        loss, _ = self.trainer.cross_entropy(logits[:told], self.targets, told)
        penalise(logits[told:], penalty)
        self.discriminator_pass.backward(logits)  # overwritten by their gradient
        self.adam.update(step, self.discriminator_pass)
        return loss


def penalise(logits: Tensor, penalty: float | Tensor, count: int | None = None) -> None:
    """Overwrites `logits` with the gradient of `penalty` / 2 times a discriminator's mean squared slope.

    The first half of `logits` [2 n, 1] is PENALTY_STEP ahead of n points, the other half behind them. The mean is over
    `count` points, by default n.
    """
    ahead, behind = logits.chunk(2)
    gradient = (ahead - behind) * penalty * (1 / (4 * PENALTY_STEP**2 * (count or len(ahead))))
    ahead.copy_(gradient)
    behind.copy_(-gradient)
