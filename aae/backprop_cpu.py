"""The passes of a perceptron, its loss and Adam on the CPU, by the native loops of csrc/perceptron.h.

The interface is that of `aae.backprop`. The bits depend on the networks and minibatches alone, not on the width of the
processor's vectors, the number of threads or a library of matrix products. Where most inputs are 0, as MNIST's pixels
are, the first layer leaves them out.
"""

import contextlib
import copy
import itertools
import math
import mmap
from collections.abc import Iterable, Sequence

import aae_native
import numpy as np
import torch
from torch import Tensor, nn


def zeros(shapes: Iterable[Sequence[int]]) -> list[Tensor]:
    """Tensors of zeros, float32, in memory of large pages where the system has them.

    Every iteration goes through all parameters and moments, and with pages of 4 KiB a processor would look most of
    them up in the page tables. A few cache lines between the tensors keep what belongs together from having addresses
    that differ by a multiple of 4 KiB, which processors mistake for the same when one is written and the other read.
    """
    shapes = [tuple(shape) for shape in shapes]
    apart = 17 * 64
    places = [0, *itertools.accumulate(-(-math.prod(shape) * 4 // 64) * 64 + apart for shape in shapes)]
    memory = mmap.mmap(-1, places[-1])
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return [
        torch.frombuffer(memory, dtype=torch.float32, count=math.prod(shape), offset=place).view(shape)
        for shape, place in zip(shapes, places[:-1], strict=True)
    ]


class Perceptron:
    """The passes of an `mlp` on minibatches: linear layers with ReLU between them.

    The weights are laid out anew, each the transpose of a contiguous matrix [inputs, outputs], and stay the network's.
    """

    def __init__(self, network: nn.Sequential, sparse_inputs: bool = False):
        linears = [layer for layer in network if isinstance(layer, nn.Linear)]
        shapes = [shape for layer in linears for shape in (layer.weight.shape[::-1], layer.bias.shape)]
        self.parameters = zeros(shapes)  # weight [inputs, outputs] and bias [outputs] of each layer
        layers = []
        for linear, weight, bias in zip(linears, self.parameters[::2], self.parameters[1::2], strict=True):
            weight.copy_(linear.weight.detach().t())
            bias.copy_(linear.bias.detach())
            linear.weight.data, linear.bias.data = weight.t(), bias
            layers.append(aae_native.Linear(*weight.shape, weight.data_ptr(), bias.data_ptr()))
        self.native = aae_native.Perceptron(layers, sparse_inputs)
        self.sizes = [self.parameters[0].shape[0], *(len(bias) for bias in self.parameters[1::2])]
        self.activations: dict[int, Rows] = {}  # for each n: what every layer gives, [n, outputs]
        self.gradients: dict[int, Rows] = {}  # for each n: in what every layer takes, [n, inputs]
        self.inputs: Tensor | None = None  # of the last forward pass

    def forward(self, x: Tensor) -> Tensor:
        """The outputs [n, outputs] for inputs `x` [n, inputs], contiguous, which the backward pass needs unchanged.

        They stay as they are until the next forward pass of `n` rows.
        """
        n = len(x)
        if n not in self.activations:
            self.activations[n] = Rows(n, self.sizes[1:])
        self.inputs = x
        self.native.forward(x.data_ptr(), n, self.activations[n].addresses)
        return self.activations[n].tensors[-1]

    def backward(self, gradient: Tensor, adam: "Adam | None" = None, to_inputs: bool = False) -> Tensor | None:
        """From the loss's `gradient` in the outputs [n, outputs] of the last n rows of the last forward pass.

        `adam` moves the parameters, if it is given. Returns the gradient in the inputs, if that is asked for.
        """
        n = len(gradient)
        if n not in self.gradients:
            self.gradients[n] = Rows(n, self.sizes[:-1])
        rows = self.gradients[n]
        self.native.backward(gradient.data_ptr(), n, rows.addresses, adam and adam.native, to_inputs)
        return rows.tensors[0] if to_inputs else None


def forward(network: nn.Sequential, x: Tensor) -> Tensor:
    """The outputs [n, outputs] of an `mlp` for `x` [n, inputs], float32: in the bits of training on every processor,
    which PyTorch's products differ in. The network is left as it is.
    """
    return Perceptron(copy.deepcopy(network)).forward(x.contiguous())


class Rows:
    """Tensors of `n` rows, float32, and where they lie."""

    def __init__(self, n: int, sizes: Sequence[int]):
        self.tensors = [torch.empty(n, size) for size in sizes]
        self.addresses = [tensor.data_ptr() for tensor in self.tensors]


def cross_entropy(logits: Tensor, targets: Tensor | float, count: int) -> tuple[float, Tensor]:
    """Binary cross-entropy in nats of `logits` [n, outputs] against `targets` in [0, 1], and its gradient in them.

    `targets` is float32 [n, outputs] or one number for all. Loss and gradient are of the sum over all elements, divided
    by `count`. The gradient takes the place of the logits.
    """
    address, target = (0, targets) if isinstance(targets, float) else (targets.data_ptr(), 0.0)
    loss = aae_native.cross_entropy(logits.data_ptr(), address, target, *logits.shape, 1 / count)
    return loss / count, logits


def add_losses(totals: Tensor, losses: Sequence[Tensor | float]) -> None:
    """Adds each of an iteration's losses to its element of `totals`, with less ado than PyTorch's addition."""
    values = totals.numpy()
    for i, loss in enumerate(losses):
        values[i] += float(loss)


def array(tensor: Tensor) -> np.ndarray:
    """The same values for arithmetic on a few of them, in which NumPy takes a fraction of PyTorch's time."""
    return tensor.numpy()


def tensor(array: np.ndarray) -> Tensor:
    """The way back from `array`."""
    return torch.from_numpy(array)


def exp(x: np.ndarray) -> np.ndarray:
    """e^x for contiguous float32, the same bits on every processor, unlike PyTorch's and NumPy's.

    The numbers stay in float32's normal range: below -87 it is e^-87, and from 88.5 on infinity.
    """
    y = np.empty_like(x)
    aae_native.exponential(x.ctypes.data, y.ctypes.data, x.size)
    return y


def side_by_side(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The columns of both."""
    return np.concatenate([first, second], axis=1)


class Adam:
    """Adam (Kingma & Ba, arXiv 1412.6980) over the parameters of one network, with epsilon 1e-8."""

    def __init__(self, network: Perceptron, learning_rate: float, betas: Sequence[float]):
        shapes = [parameter.shape for parameter in network.parameters]
        memory = zeros(shapes * 2)
        self.means, self.squares = memory[: len(shapes)], memory[len(shapes) :]
        moments = [
            aae_native.Moments(*(tensor.data_ptr() for tensor in (*layer[::2], *layer[1::2])))
            for layer in zip(self.means[::2], self.means[1::2], self.squares[::2], self.squares[1::2], strict=True)
        ]
        self.native = aae_native.Adam(learning_rate, *betas, moments)

    def resume(self, steps: int) -> None:
        """Goes on as after `steps` steps; the moments are restored apart."""
        self.native.steps = steps
