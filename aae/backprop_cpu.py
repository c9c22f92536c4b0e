"""The passes of a perceptron, the losses and Adam on the CPU, by the native loops of csrc/perceptron.h and losses.h.

The interface is that of `aae.backprop`. The bits depend only on the networks and minibatches, not on the width of the
processor's vectors, the number of threads or a BLAS library. Where most inputs are 0, as MNIST's pixels are, the first
layer skips them.
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

from aae.op_checks import check_plain
from aae.pass_checks import (
    addresses_of,
    check_count,
    check_gradient,
    check_minibatch,
    check_rows,
    check_update,
    linears_of,
)

CPU = torch.device("cpu")
HUGE_PAGE = 2 << 20  # bytes


def zeros(shapes: Iterable[Sequence[int]]) -> list[Tensor]:
    """Float32 tensors of zeros in private memory, with huge pages where the system has them.

    Every iteration reads and writes all parameters and moments. With pages of 4 KiB, the processor would look most of
    them up in the page tables; huge pages make an iteration at MNIST's size 4 to 9 % shorter. A gap of a few cache
    lines between the tensors keeps the addresses of a parameter and its moments from differing by a multiple of 4 KiB:
    a processor takes two such addresses for the same when it writes one and reads the other.
    """
    shapes = [tuple(shape) for shape in shapes]
    apart = 17 * 64
    places = [0, *itertools.accumulate(-(-math.prod(shape) * 4 // 64) * 64 + apart for shape in shapes)]
    size, start = places[-1], 0
    huge = size >= HUGE_PAGE // 2
    if huge:  # whole pages, and room to start at the beginning of one
        size = -(-size // HUGE_PAGE) * HUGE_PAGE + HUGE_PAGE
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if huge:
        start = -torch.frombuffer(memory, dtype=torch.uint8).data_ptr() % HUGE_PAGE
        if hasattr(mmap, "MADV_HUGEPAGE"):
            with contextlib.suppress(OSError):  # the kernel has none
                memory.madvise(mmap.MADV_HUGEPAGE)
    return [
        torch.frombuffer(memory, dtype=torch.float32, count=math.prod(shape), offset=start + place).view(shape)
        for shape, place in zip(shapes, places[:-1], strict=True)
    ]


class Perceptron:
    """The parameters of an `mlp`: linear layers with ReLU between them.

    The weights move to a new layout: each is the transpose of a contiguous matrix [inputs, outputs]. The network uses
    the same memory.
    """

    def __init__(self, network: nn.Sequential, sparse_inputs: bool = False):
        self.linears = linears_of(network)
        shapes = [shape for layer in self.linears for shape in (layer.weight.shape[::-1], layer.bias.shape)]
        self.parameters = zeros(shapes)  # weight [inputs, outputs] and bias [outputs] of each layer
        layers = []
        for linear, weight, bias in zip(self.linears, self.parameters[::2], self.parameters[1::2], strict=True):
            weight.copy_(linear.weight.detach().t())
            bias.copy_(linear.bias.detach())
            linear.weight.data, linear.bias.data = weight.t(), bias
            inputs, outputs = weight.shape
            layers.append(aae_native.Linear(inputs, outputs, weight.data_ptr(), bias.data_ptr()))
        self.addresses = addresses_of(self.linears)
        self.sparse_inputs = sparse_inputs
        self.native = aae_native.Perceptron(layers, sparse_inputs)
        self.sizes = [self.parameters[0].shape[0], *(len(bias) for bias in self.parameters[1::2])]


class Pass:
    """A minibatch of `rows` rows on its way through a perceptron and back, in buffers that are allocated once.

    `blocks`, which other devices need, have no effect: the bits of a row do not depend on the other rows. Raises
    TypeError or ValueError unless `rows` is an int above 0 and the memory holds the buffers.
    """

    def __init__(self, perceptron: Perceptron, rows: int, blocks: Sequence[int] | None = None):
        self.perceptron, self.rows = perceptron, rows
        layers = len(perceptron.linears)
        check_count("rows", rows)
        try:
            memory = zeros([(rows, size) for size in (*perceptron.sizes[1:], *perceptron.sizes[:-1])])
        except (OSError, OverflowError) as error:
            raise ValueError(f"rows must be a number of rows that fit in memory, got {rows}") from error
        self.outputs, self.grad_inputs = memory[:layers], memory[layers:]  # of each layer
        addresses = ([tensor.data_ptr() for tensor in tensors] for tensors in (self.outputs, self.grad_inputs))
        self.native = aae_native.Pass(perceptron.native, rows, *addresses)
        self.x: Tensor | None = None  # of the last forward
        self.grad_outputs: Tensor | None = None  # of the backward after it

    def forward(self, x: Tensor) -> Tensor:
        """The outputs [rows, outputs] for inputs `x` [rows, inputs], float32, contiguous.

        The caller must not change `x` before the update. The next forward overwrites the outputs. Raises TypeError or
        ValueError for any other `x`.
        """
        check_minibatch(x, self.perceptron.sizes[0], CPU, self.rows)
        self.x, self.grad_outputs = x, None
        self.native.forward(x.data_ptr())
        return self.outputs[-1]

    def backward(self, grad_outputs: Tensor, *, grad_inputs: bool = False) -> Tensor | None:
        """Computes the gradients at every layer; changes no parameter.

        `grad_outputs` [n, outputs] is the loss's gradient in the last n rows of the last forward's outputs. The caller
        must not change it before the update. Returns the gradient in the inputs [n, inputs] if `grad_inputs`; the next
        backward overwrites it. Raises TypeError or ValueError for any other `grad_outputs`, or if there was no forward.
        """
        check_gradient(grad_outputs, self.perceptron.sizes[-1], CPU, self.x)
        self.grad_outputs, n = grad_outputs, len(grad_outputs)
        self.native.backward(grad_outputs.data_ptr(), n, grad_inputs)
        return self.grad_inputs[0][:n] if grad_inputs else None

    def layer_rows(self, layer: int) -> tuple[Tensor, Tensor]:
        """A layer's inputs and the gradient in its outputs, in the rows of the last backward."""
        assert self.x is not None
        assert self.grad_outputs is not None
        n, last = len(self.grad_outputs), layer == len(self.outputs) - 1
        x = self.x if layer == 0 else self.outputs[layer - 1]
        return x[-n:], self.grad_outputs if last else self.grad_inputs[layer + 1][:n]


def forward(network: nn.Sequential, x: Tensor, sparse_inputs: bool = False) -> Tensor:
    """The outputs [n, outputs] of an `mlp` for `x` [n, inputs], float32.

    They are bit for bit those of training, on every processor; PyTorch's products would differ in the last bits. The
    network does not change. With `sparse_inputs`, inputs that are mostly 0, as images are, take less than half the
    time.
    """
    check_plain("x", x, torch.float32)
    if x.dim() != 2:
        raise ValueError(f"x must have the shape [n, inputs], got {list(x.shape)}")
    perceptron = Perceptron(copy.deepcopy(network), sparse_inputs)
    # A few rows at a time: the hidden layers of all rows would fill the memory.
    return torch.cat([Pass(perceptron, len(part)).forward(part) for part in x.contiguous().split(10_000)])


class Adam:
    """Adam (Kingma & Ba, arXiv 1412.6980) over the parameters of one network, with epsilon 1e-8."""

    def __init__(self, perceptron: Perceptron, betas: Sequence[float]):
        self.perceptron, self.betas = perceptron, betas
        shapes = [parameter.shape for parameter in perceptron.parameters]
        memory = zeros(shapes * 2)
        self.means, self.squares = memory[: len(shapes)], memory[len(shapes) :]
        moments = [
            aae_native.Moments(*(tensor.data_ptr() for tensor in (*layer[::2], *layer[1::2])))
            for layer in zip(self.means[::2], self.means[1::2], self.squares[::2], self.squares[1::2], strict=True)
        ]
        self.native = aae_native.Adam(perceptron.native, betas[0], betas[1], moments)

    @property
    def steps(self) -> Tensor:
        """The number of updates so far, int64 []; a copy."""
        return torch.tensor(self.native.steps)

    def resume(self, steps: int) -> None:
        """Continues as after `steps` updates; the caller restores the moments."""
        self.native.steps = steps

    def update(self, *passes: Pass, learning_rate: float) -> None:
        """Updates the parameters with the sum of the gradients from the last backward of each of `passes`.

        Several passes give the bits of one pass over their rows, stacked in this order. Raises ValueError for a pass of
        another network or without gradients, and if the network's parameters were replaced by other tensors.
        """
        check_update(self.perceptron, passes)
        self.native.update([one.native for one in passes], learning_rate)

    def gradient(self, passes: Sequence[Pass], part: int, parts: int, out: Tensor) -> None:
        """Writes a part of the gradients from the last backward of each of `passes` to `out` [all parameters].

        It is the gradient of part number `part` of `parts` equal parts of each pass's rows. Raises ValueError as
        `update` does.
        """
        check_update(self.perceptron, passes)
        address = out.data_ptr()
        for i, linear in enumerate(self.perceptron.linears):
            rows = [[tensor.chunk(parts)[part] for tensor in one.layer_rows(i)] for one in passes]
            x, gradient = rows[0] if len(rows) == 1 else map(torch.cat, zip(*rows, strict=True))
            inputs, outputs = linear.in_features, linear.out_features
            sparse, bias = i == 0 and self.perceptron.sparse_inputs, address + 4 * inputs * outputs
            aae_native.layer_gradient(x.data_ptr(), gradient.data_ptr(), len(x), inputs, outputs, sparse, address, bias)
            address = bias + 4 * outputs

    def apply(self, gradient: Tensor, *, learning_rate: float) -> None:
        """Updates the parameters with `gradient` [all parameters], in the order of `gradient`'s `out`."""
        self.native.steps += 1
        address = gradient.data_ptr()
        for tensors in zip(self.perceptron.parameters, self.means, self.squares, strict=True):
            parameter, mean, square = (tensor.data_ptr() for tensor in tensors)
            count = tensors[0].numel()
            aae_native.apply_adam(
                parameter, mean, square, address, count, learning_rate, self.betas[0], self.betas[1], self.native.steps
            )
            address += 4 * count


class Average:
    """An exponential moving average of a network's parameters. It starts at their present values."""

    def __init__(self, perceptron: Perceptron, decay: float):
        self.perceptron, self.decay = perceptron, decay
        self.parameters = zeros(parameter.shape for parameter in perceptron.parameters)
        for average, parameter in zip(self.parameters, perceptron.parameters, strict=True):
            average.copy_(parameter)

    def update(self) -> None:
        """average += (1 - decay) (parameter - average), with one fma: the same bits on every processor."""
        for average, parameter in zip(self.parameters, self.perceptron.parameters, strict=True):
            aae_native.move_average(average.data_ptr(), parameter.data_ptr(), parameter.numel(), 1 - self.decay)


def cross_entropy(logits: Tensor, targets: Tensor | float, count: int) -> tuple[float, Tensor]:
    """Binary cross-entropy in nats of `logits` [n, outputs] against `targets` in [0, 1], and its gradient in them.

    `targets` is float32 [n, outputs] or one number for all. The loss is the sum over all elements, divided by `count`.
    The gradient overwrites the logits. Raises TypeError or ValueError for other arrays.
    """
    check_rows("logits", logits, None, CPU)
    if isinstance(targets, float):
        address, target = 0, targets
    else:
        check_rows("targets", targets, logits.shape[1], CPU)
        if len(targets) != len(logits):
            raise ValueError(f"targets must have the {len(logits)} rows of the logits, got {len(targets)}")
        address, target = targets.data_ptr(), 0.0
    n, outputs = logits.shape
    loss = aae_native.cross_entropy(logits.data_ptr(), address, target, n, outputs, 1 / count)
    return loss / count, logits


def sample_posterior(posterior: Tensor, noise: Tensor) -> Tensor:
    """Codes [n, code_size] from Gaussians with diagonal covariance: mean + std noise.

    `posterior` [n, 2 code_size] has the means and then the log-variances, `noise` is [n, code_size]; all are float32.
    Raises TypeError or ValueError for other arrays.
    """
    check_posterior(posterior, noise)
    codes = torch.empty_like(noise)
    aae_native.sample_posterior(posterior.data_ptr(), noise.data_ptr(), codes.data_ptr(), *codes.shape)
    return codes


def kl_to_normal(posterior: Tensor, noise: Tensor, grad_codes: Tensor, std: float) -> tuple[np.float32, Tensor]:
    """KL(posterior || N(0, std² I)) in nats, mean over the n rows (arXiv 1312.6114, appendix B), and a gradient.

    The gradient [n, 2 code_size] in `posterior` is that of this divergence plus the loss whose gradient in the codes of
    `sample_posterior(posterior, noise)` is `grad_codes` [n, code_size].
    """
    check_posterior(posterior, noise, grad_codes)
    kl, grad_posterior = np.empty(noise.shape, np.float32), torch.empty_like(posterior)
    aae_native.posterior_gradient(
        posterior.data_ptr(), noise.data_ptr(), grad_codes.data_ptr(), std, kl.ctypes.data, grad_posterior.data_ptr(),
        *noise.shape,
    )  # fmt: skip
    return 0.5 * kl.sum() / len(kl), grad_posterior


def check_posterior(posterior: Tensor, *codes: Tensor) -> None:
    """Raises TypeError or ValueError unless `codes` are [n, code_size] each and `posterior` is [n, 2 code_size]."""
    check_rows("noise and grad_codes", codes[0], None, CPU)
    check_rows("posterior", posterior, 2 * codes[0].shape[1], CPU)
    for tensor in codes:
        check_rows("noise and grad_codes", tensor, posterior.shape[1] // 2, CPU)
        if len(tensor) != len(posterior):
            raise ValueError(f"noise and grad_codes must have {len(posterior)} rows, got {len(tensor)}")


def add_losses(totals: Tensor, losses: Sequence[Tensor | float]) -> None:
    """Adds each of an iteration's losses to its element of `totals`, with less overhead than PyTorch's addition."""
    values = totals.numpy()
    for i, loss in enumerate(losses):
        values[i] += float(loss)
