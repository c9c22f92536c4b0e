"""A discriminator and the encoder's loss against it, for trainers with more than one discriminator."""

from collections.abc import Sequence

import torch
from torch import Tensor

from aae.settings import AdamSettings
from aae.trainer import Trainer


class Adversary:
    """A discriminator of one part of the encoder's outputs, with the encoder's loss against it."""

    def __init__(self, trainer: Trainer, network: str, adam: AdamSettings):
        self.trainer = trainer
        perceptron, n = trainer.add_network(network), trainer.batch_size
        self.adam = trainer.add_optimizer(f"{network}_adam", network, adam)
        self.discriminator_pass = trainer.new_pass(perceptron, 2 * n)
        self.generator_pass = trainer.new_pass(perceptron, n)
        self.targets = torch.cat([torch.zeros(n, 1), torch.ones(n, 1)]).to(trainer.images.device)

    def oppose(self, codes: Tensor, beside: Sequence[Tensor] = ()) -> tuple[Tensor | float, Tensor]:
        """The cross-entropy of `codes` [n, columns] with the target `prior`, and its gradient in them.

        The discriminator also sees the columns `beside` them, which get no gradient.
        """
        batch = torch.cat([codes, *beside], dim=1)
        loss, grad_logits = self.trainer.cross_entropy(self.generator_pass.forward(batch), 1.0, len(codes))
        return loss, self.generator_pass.backward(grad_logits, grad_inputs=True)[:, : codes.shape[1]]

    def train(
        self, step: int | Tensor, codes: Tensor, samples: Tensor, beside: Sequence[Tensor] = ()
    ) -> Tensor | float:
        """Trains the discriminator to tell `codes` (target 0) from `samples` (target 1); both are [n, columns].

        The same columns `beside` go with both.
        """
        batch = torch.cat([torch.cat([part, *beside], dim=1) for part in (codes, samples)])
        logits = self.discriminator_pass.forward(batch)
        loss, grad_logits = self.trainer.cross_entropy(logits, self.targets, len(self.targets))
        self.discriminator_pass.backward(grad_logits)
        self.adam.update(step, self.discriminator_pass)
        return loss
