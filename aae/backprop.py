"""The passes of a perceptron, the losses and Adam in PyTorch's operations, for any device.

They compute what autograd and `torch.optim.Adam` would (the tests compare them), but do not rebuild the graph, which
never changes, at every step. The parameters are those of the `nn.Module`, updated in place. `aae.backprop_cpu` does the
same faster on the CPU. Nothing here waits for the device or copies numbers to it, so CUDA graphs can hold all of it.
"""

import math
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aae.pass_checks import addresses_of, check_gradient, check_minibatch, check_update, linears_of

PRECISIONS = ("float32", "tf32", "bfloat16")

_dtype = torch.float32  # of the factors of products


def set_products(precision: str, deterministic: bool) -> None:
    """Selects how a GPU computes matrix products. Call it before the first product and before making a `Perceptron`.

    Weights, moments, losses and sums of products are float32 with every `precision`:
    `tf32` rounds the factors to 10 fraction bits as the GPU reads them;
    `bfloat16` rounds weights, activations and gradients to 7 fraction bits for the products, and the products, too.
    With `deterministic`, the same products have the same bits on the same kind of GPU with the same libraries.

    Raises ValueError for another `precision`.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"set_products: precision must be one of {', '.join(PRECISIONS)}, got {precision}")
    global _dtype
    _dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    if deterministic:  # needs a fixed workspace; cuBLAS reads it from the environment when it starts
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.use_deterministic_algorithms(deterministic)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # one more kernel per new tensor


class Perceptron:
    """The parameters of an `mlp`: linear layers with ReLU between them. They are float32 with every precision.

    `sparse_inputs` has no effect here.
    """

    def __init__(self, network: nn.Sequential, sparse_inputs: bool = False):
        self.dtype = _dtype
        self.linears = linears_of(network)
        self.addresses = addresses_of(self.linears)
        self.parameters = [tensor.detach() for layer in self.linears for tensor in (layer.weight, layer.bias)]
        self.sizes = [self.linears[0].in_features, *(linear.out_features for linear in self.linears)]
        self.factors = self.parameters  # of the products
        if self.dtype != torch.float32:
            self.factors = [parameter.to(self.dtype) for parameter in self.parameters]
        self.layers = list(zip(self.factors[::2], self.factors[1::2], strict=True))


class Pass:
    """A minibatch of `rows` rows on its way through a perceptron and back.

    Outputs and gradients in inputs are float32, whatever the precision of the products. A library chooses the order of
    a product's sums by its shape. With `blocks`, numbers of rows, each product has the rows of one block, so the bits
    of a row do not depend on how many blocks a pass has.
    """

    def __init__(self, perceptron: Perceptron, rows: int, blocks: Sequence[int] | None = None):
        self.perceptron, self.rows, self.blocks = perceptron, rows, blocks
        self.device = perceptron.parameters[0].device
        self.x: Tensor | None = None  # of the last forward
        self.grad_outputs: Tensor | None = None  # of the backward after it
        self.inputs: list[Tensor] = []  # of each layer in the last forward
        self.gradients: list[Tensor] = []  # in each layer's outputs, of the last backward

    def forward(self, x: Tensor) -> Tensor:
        """The outputs [rows, outputs] for inputs `x` [rows, inputs], float32, contiguous.

        The caller must not change `x` before the update. Raises TypeError or ValueError for any other `x`.
        """
        perceptron = self.perceptron
        check_minibatch(x, perceptron.sizes[0], self.device, self.rows)
        self.x, self.grad_outputs = x, None
        if perceptron.factors is not perceptron.parameters:
            torch._foreach_copy_(perceptron.factors, perceptron.parameters)
        x = x.to(perceptron.dtype)
        self.inputs = []
        for weight, bias in perceptron.layers[:-1]:
            self.inputs.append(x)
            # With ReLU, fused into one kernel where possible.
            x = by_blocks(partial(torch._addmm_activation, bias, mat2=weight.t()), x, self.blocks)
        self.inputs.append(x)
        weight, bias = perceptron.layers[-1]
        return by_blocks(partial(torch.addmm, bias, mat2=weight.t()), x, self.blocks).float()

    def backward(self, grad_outputs: Tensor, *, grad_inputs: bool = False) -> Tensor | None:
        """Computes the gradients at every layer; changes no parameter.

        `grad_outputs` [n, outputs] is the loss's gradient in the last n rows of the last forward's outputs. The caller
        must not change it before the update. Returns the gradient in the inputs [n, inputs] if `grad_inputs`. Raises
        TypeError or ValueError for any other `grad_outputs`, or if there was no forward.
        """
        perceptron = self.perceptron
        check_gradient(grad_outputs, perceptron.sizes[-1], self.device, self.x)
        self.grad_outputs = grad_outputs
        gradient = grad_outputs.to(perceptron.dtype)
        blocks = self.blocks and last_blocks(self.blocks, len(grad_outputs))
        self.gradients = [gradient]
        for i in reversed(range(len(perceptron.layers))):
            if i > 0 or grad_inputs:
                gradient = by_blocks(partial(torch.mm, mat2=perceptron.layers[i][0]), gradient, blocks)
            if i > 0:
                torch.ops.aten.threshold_backward.grad_input(gradient, self.layer_inputs(i), 0, grad_input=gradient)
                self.gradients.insert(0, gradient)
        return gradient.float() if grad_inputs else None

    def layer_inputs(self, layer: int) -> Tensor:
        """The inputs of a layer in the rows of the last backward."""
        assert self.grad_outputs is not None
        return self.inputs[layer][-len(self.grad_outputs) :]


def by_blocks(product: Callable[[Tensor], Tensor], x: Tensor, blocks: Sequence[int] | None) -> Tensor:
    """`product` of the rows `x`, computed for each block of rows separately."""
    if blocks is None:
        return product(x)
    return torch.cat([product(aligned(part)) for part in x.split(list(blocks))])


def last_blocks(blocks: Sequence[int], n: int) -> Sequence[int]:
    """The last blocks, which have `n` rows. Raises ValueError if these begin within a block."""
    first = next((i for i in range(len(blocks)) if sum(blocks[i:]) == n), None)
    if first is None:
        raise ValueError(f"grad_outputs must have the rows of the last of the blocks {list(blocks)}, got {n}")
    return blocks[first:]


def aligned(x: Tensor) -> Tensor:
    """`x`, or a copy at an address on which cuBLAS chooses as for any other: it looks at multiples up to 256 bytes."""
    return x if x.data_ptr() % 256 == 0 else x.clone()


def cross_entropy(logits: Tensor, targets: Tensor | float, count: int) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy in nats of `logits` [n, outputs] against `targets` in [0, 1], and its gradient in them.

    `targets` is float32 [n, outputs] or one number for all. The loss is the sum over all elements, divided by `count`.
    The gradient overwrites the logits.
    """
    if isinstance(targets, float):
        targets = torch.full_like(logits, targets)
    # ln(1 + exp(x)) - t x takes three kernels, F.binary_cross_entropy_with_logits five.
    loss = F.softplus(logits).addcmul_(logits, targets, value=-1).sum() / count
    return loss, logits.sigmoid_().sub_(targets).div_(count)


def add_losses(totals: Tensor, losses: tuple[Tensor, ...]) -> None:
    """Adds each of an iteration's losses (scalar tensors) to its element of `totals`."""
    totals += torch.stack(losses)


def sample_posterior(posterior: Tensor, noise: Tensor) -> Tensor:
    """Codes [n, code_size] from Gaussians with diagonal covariance: mean + std noise.

    `posterior` [n, 2 code_size] has the means and then the log-variances, `noise` is [n, code_size].
    """
    mean, log_variance = posterior.chunk(2, dim=1)
    return torch.addcmul(mean, noise, (0.5 * log_variance).exp())


def kl_to_normal(posterior: Tensor, noise: Tensor, grad_codes: Tensor, std: float) -> tuple[Tensor, Tensor]:
    """KL(posterior || N(0, std² I)) in nats, mean over the n rows (arXiv 1312.6114, appendix B), and a gradient.

    The gradient [n, 2 code_size] in `posterior` is that of this divergence plus the loss whose gradient in the codes of
    `sample_posterior(posterior, noise)` is `grad_codes` [n, code_size].
    """
    n = len(posterior)
    mean, log_variance = posterior.chunk(2, dim=1)
    variance, deviation = log_variance.exp(), noise * (0.5 * log_variance).exp()
    kl = 0.5 * ((mean * mean + variance) / std**2 - log_variance + 2 * math.log(std) - 1).sum() / n
    grad_mean = grad_codes + mean / (n * std**2)
    grad_log_variance = 0.5 * grad_codes * deviation + (variance / std**2 - 1) / (2 * n)
    return kl, torch.cat([grad_mean, grad_log_variance], dim=1)


class Adam:
    """Adam (Kingma & Ba, arXiv 1412.6980) over the parameters of one network, fused and in place, epsilon 1e-8."""

    def __init__(self, perceptron: Any, betas: Sequence[float]):
        self.perceptron, self.betas = perceptron, betas
        self.gradients = [torch.zeros_like(parameter) for parameter in perceptron.parameters]
        self.means = [torch.zeros_like(parameter) for parameter in perceptron.parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in perceptron.parameters]
        self.steps = torch.zeros((), device=perceptron.parameters[0].device)  # of all parameters

    def resume(self, steps: int) -> None:
        """Continues as after `steps` steps; the caller restores the moments."""
        self.steps.fill_(steps)

    def update(self, *passes: Pass, learning_rate: float | Tensor) -> None:
        """Updates the parameters with the sum of the gradients from the last backward of each of `passes`.

        `learning_rate` may be a float32 tensor [] on the device. It is read when the update runs, so a CUDA graph
        follows it. Raises ValueError for a pass of another network or without gradients, and if the network's
        parameters were replaced by other tensors.
        """
        check_update(self.perceptron, passes)
        for i in range(len(self.perceptron.layers)):
            x = stacked([one.layer_inputs(i) for one in passes])
            gradient = stacked([one.gradients[i] for one in passes])
            if self.perceptron.dtype == torch.float32:
                torch.mm(gradient.t(), x, out=self.gradients[2 * i])
            else:
                self.gradients[2 * i].copy_(gradient.t() @ x)
            torch.sum(gradient, dim=0, dtype=torch.float32, out=self.gradients[2 * i + 1])
        self._step(self.gradients, learning_rate)

    def gradient(self, passes: Sequence[Pass], part: int, parts: int, out: Tensor) -> None:
        """Writes a part of the gradients from the last backward of each of `passes` to `out` [all parameters].

        It is the gradient of part number `part` of `parts` equal parts of each pass's rows. Raises ValueError as
        `update` does.
        """
        check_update(self.perceptron, passes)
        to = self._split(out)
        for i in range(len(self.perceptron.layers)):
            x = stacked([one.layer_inputs(i).chunk(parts)[part] for one in passes])
            gradient = aligned(stacked([one.gradients[i].chunk(parts)[part] for one in passes]))
            to[2 * i].copy_(gradient.t() @ aligned(x))
            torch.sum(gradient, dim=0, dtype=torch.float32, out=to[2 * i + 1])

    def apply(self, gradient: Tensor, *, learning_rate: float | Tensor) -> None:
        """Updates the parameters with `gradient` [all parameters], in the order of `gradient`'s `out`."""
        self._step(self._split(gradient), learning_rate)

    def _split(self, flat: Tensor) -> list[Tensor]:
        """Views of a vector [all parameters] with the shapes of the parameters."""
        parts = flat.split([parameter.numel() for parameter in self.perceptron.parameters])
        return [part.view_as(of) for part, of in zip(parts, self.perceptron.parameters, strict=True)]

    def _step(self, gradients: list[Tensor], learning_rate: float | Tensor) -> None:
        self.steps += 1
        torch._fused_adam_(
            self.perceptron.parameters, gradients, self.means, self.squares, [],
            [self.steps] * len(gradients), lr=learning_rate, beta1=self.betas[0], beta2=self.betas[1],
            eps=1e-8, weight_decay=0.0, amsgrad=False, maximize=False,
        )  # fmt: skip


def stacked(tensors: list[Tensor]) -> Tensor:
    """The rows of all tensors in one; a single tensor is returned without a copy."""
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


class Average:
    """An exponential moving average of a network's parameters. It starts at their present values."""

    def __init__(self, perceptron: Perceptron, decay: float):
        self.perceptron, self.decay = perceptron, decay
        self.parameters = [parameter.clone() for parameter in perceptron.parameters]

    def update(self) -> None:
        """average += (1 - decay) (parameter - average)."""
        torch._foreach_lerp_(self.parameters, self.perceptron.parameters, 1 - self.decay)
