"""Batch normalisation (Ioffe & Szegedy, arXiv 1502.03167) of every layer of a perceptron, in PyTorch's operations.

It matters in training alone. Afterwards each normalisation is a fixed scale and offset, which `folded` multiplies into
the weights, so snapshots hold a plain `mlp`. The interface is that of `aae.backprop`.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from aae import backprop
from aae.pass_checks import addresses_of, check_gradient, check_minibatch, linears_of

EPSILON = 1e-5  # added to the variances
MOMENTUM = 0.1  # weight of the present minibatch in the running means and variances


class Perceptron:
    """The parameters of an `mlp` whose linear layers, the last one included, are followed by batch normalisation.

    A layer's outputs are gain * (W x - mean) / deviation + bias, with the mean and the deviation of the minibatch. The
    weights and biases are those of the network. `running` holds the running means and variances of the layers.
    """

    def __init__(self, network: nn.Sequential):
        self.linears = linears_of(network)
        self.addresses = addresses_of(self.linears)
        self.sizes = [self.linears[0].in_features, *(linear.out_features for linear in self.linears)]
        self.layers = []  # weight, bias and gain of each layer
        self.running = []
        for linear in self.linears:
            gain = torch.ones_like(linear.bias).detach()
            self.layers.append((linear.weight.detach(), linear.bias.detach(), gain))
            self.running.append((torch.zeros_like(gain), torch.ones_like(gain)))
        self.parameters = [tensor for layer in self.layers for tensor in layer]


class Pass:
    """A minibatch of `rows` rows on its way through a normalised perceptron and back."""

    def __init__(self, perceptron: Perceptron, rows: int):
        self.perceptron, self.rows = perceptron, rows
        self.device = perceptron.parameters[0].device
        self.x: Tensor | None = None  # of the last forward
        self.grad_outputs: Tensor | None = None  # of the backward after it
        self.inputs: list[Tensor] = []  # of each layer in the last forward
        self.products: list[tuple[Tensor, Tensor, Tensor]] = []  # W x, and mean and 1 / deviation of its columns
        self.gradients: list[Tensor] = []  # in each of the perceptron's parameters, of the last backward

    def forward(self, x: Tensor) -> Tensor:
        """The outputs [rows, outputs] for inputs `x` [rows, inputs], float32, contiguous; moves the running statistics.

        The caller must not change `x` before the update. Raises TypeError or ValueError for any other `x`.
        """
        check_minibatch(x, self.perceptron.sizes[0], self.device, self.rows)
        self.x, self.grad_outputs = x, None
        self.inputs, self.products = [], []
        layers = zip(self.perceptron.layers, self.perceptron.running, strict=True)
        for i, ((weight, bias, gain), (mean, variance)) in enumerate(layers):
            if i > 0:
                x = x.relu_()
            self.inputs.append(x)
            product = x @ weight.t()
            x, average, inverse = torch.native_batch_norm(product, gain, bias, mean, variance, True, MOMENTUM, EPSILON)
            self.products.append((product, average, inverse))
        return x

    def backward(self, grad_outputs: Tensor) -> None:
        """Computes the gradients in all parameters; changes none.

        `grad_outputs` [rows, outputs] is the loss's gradient in the last forward's outputs. Raises TypeError or
        ValueError for any other `grad_outputs`, or if there was no forward.
        """
        perceptron = self.perceptron
        check_gradient(grad_outputs, perceptron.sizes[-1], self.device, self.x)
        if len(grad_outputs) != self.rows:
            raise ValueError(f"grad_outputs must have the {self.rows} rows of its pass, got {len(grad_outputs)}")
        self.grad_outputs, self.gradients = grad_outputs, []
        gradient = grad_outputs
        for i in reversed(range(len(perceptron.layers))):
            weight, _, gain = perceptron.layers[i]
            product, mean, inverse = self.products[i]
            grad_product, grad_gain, grad_bias = torch.ops.aten.native_batch_norm_backward(
                gradient, product, gain, *perceptron.running[i], mean, inverse, True, EPSILON, [True] * 3
            )
            self.gradients = [grad_product.t() @ self.inputs[i], grad_bias, grad_gain, *self.gradients]
            if i > 0:
                gradient = (grad_product @ weight) * (self.inputs[i] > 0)


class Adam(backprop.Adam):
    """Adam over the parameters of one normalised perceptron."""

    def update(self, *passes: Any, learning_rate: float | Tensor) -> None:
        """Updates the parameters with the gradients from the last backward of a single pass."""
        (one,) = passes
        self._step(one.gradients, learning_rate)


def folded(parameters: Sequence[Tensor], running: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """Weight and bias of each layer of the plain `mlp` that normalises by the `running` means and variances.

    `parameters` and `running` are those of a `Perceptron`, or averages of them.
    """
    found = []
    for i, (mean, variance) in enumerate(running):
        weight, bias, gain = parameters[3 * i : 3 * i + 3]
        scale = gain / (variance + EPSILON).sqrt()
        found += [weight * scale[:, None], bias - scale * mean]
    return found
