"""The passes of a perceptron, its loss and Adam in PyTorch's operations, for any device.

They compute what autograd and `torch.optim.Adam` would (the tests compare them), without building a graph that never
changes anew for every step. The parameters are those of the `nn.Module`, updated in place. `aae.backprop_cpu` does the
same faster on the CPU. Nothing here waits for the device or brings numbers to it, so that CUDA graphs can hold it all.
"""

import os
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.adam import adam

PRECISIONS = ("float32", "tf32", "bfloat16")

_dtype = torch.float32  # of the factors of products


def set_products(precision: str, deterministic: bool) -> None:
    """How matrix products on a GPU are computed; comes before the process's first, and before any `Perceptron`.

    Weights, moments and losses are float32 with each `precision`, and sums of products are float32:
    `tf32` rounds the factors to 10 bits behind the point, as the GPU reads them;
    `bfloat16` keeps weights, activations and gradients rounded to 7 bits for the products, and rounds these, too.
    With `deterministic`, the same products on the same kind of GPU with the same libraries have the same bits.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"set_products: precision must be one of {', '.join(PRECISIONS)}, got {precision}")
    global _dtype
    _dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    if deterministic:  # of a fixed workspace, which cuBLAS reads from the environment when it starts
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.use_deterministic_algorithms(deterministic)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a kernel more for every new tensor


class Perceptron:
    """The passes of an `mlp` on minibatches: linear layers with ReLU between them.

    Outputs and the gradients in parameters and inputs are float32 with every precision of the products.
    """

    def __init__(self, network: nn.Sequential, sparse_inputs: bool = False):
        self.dtype = _dtype
        linears = [layer for layer in network if isinstance(layer, nn.Linear)]
        self.parameters = [tensor.detach() for layer in linears for tensor in (layer.weight, layer.bias)]
        self.factors = self.parameters  # what is multiplied
        if self.dtype != torch.float32:
            self.factors = [parameter.to(self.dtype) for parameter in self.parameters]
        self.layers = list(zip(self.factors[::2], self.factors[1::2], strict=True))
        self.inputs: list[Tensor] = []  # of each layer in the last forward pass

    def forward(self, x: Tensor) -> Tensor:
        """The outputs [n, outputs] for inputs `x` [n, inputs], which the backward pass will need unchanged."""
        if self.factors is not self.parameters:
            torch._foreach_copy_(self.factors, self.parameters)
        x = x.to(self.dtype)
        self.inputs = []
        for weight, bias in self.layers[:-1]:
            self.inputs.append(x)
            x = torch._addmm_activation(bias, x, weight.t())  # with ReLU, in one kernel where there is one
        self.inputs.append(x)
        weight, bias = self.layers[-1]
        return torch.addmm(bias, x, weight.t()).float()

    def backward(self, gradient: Tensor, adam: "Adam | None" = None, to_inputs: bool = False) -> Tensor | None:
        """From the loss's `gradient` in the outputs [n, outputs] of the last n rows of the last forward pass.

        `adam` moves the parameters, if it is given. Returns the gradient in the inputs, if that is asked for.
        """
        gradient = gradient.to(self.dtype)
        for i in reversed(range(len(self.layers))):
            x = self.inputs[i][-len(gradient) :]
            if adam and self.dtype == torch.float32:
                torch.mm(gradient.t(), x, out=adam.gradients[2 * i])
            elif adam:
                adam.gradients[2 * i].copy_(gradient.t() @ x)
            if adam:
                torch.sum(gradient, dim=0, dtype=torch.float32, out=adam.gradients[2 * i + 1])
            if i > 0 or to_inputs:
                gradient = gradient @ self.layers[i][0]
            if i > 0:
                torch.ops.aten.threshold_backward.grad_input(gradient, x, 0, grad_input=gradient)
        if adam:
            adam.step()
        return gradient.float() if to_inputs else None


def cross_entropy(logits: Tensor, targets: Tensor | float, count: int) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy in nats of `logits` [n, outputs] against `targets` in [0, 1], and its gradient in them.

    `targets` is float32 [n, outputs] or one number for all. Loss and gradient are of the sum over all elements, divided
    by `count`. The gradient takes the place of the logits.
    """
    if isinstance(targets, float):
        targets = torch.full_like(logits, targets)
    # ln(1 + exp(x)) - t x takes three kernels, F.binary_cross_entropy_with_logits five.
    loss = F.softplus(logits).addcmul_(logits, targets, value=-1).sum() / count
    return loss, logits.sigmoid_().sub_(targets).div_(count)


def add_losses(totals: Tensor, losses: Sequence[Tensor]) -> None:
    """Adds each of an iteration's losses, all [], to its element of `totals`."""
    totals += torch.stack(losses)


def array(tensor: Tensor) -> Tensor:
    """What to do arithmetic on a few values with: here the tensor itself."""
    return tensor


def tensor(array: Tensor) -> Tensor:
    """The way back from `array`."""
    return array


exp = torch.exp


def side_by_side(first: Tensor, second: Tensor) -> Tensor:
    """The columns of both."""
    return torch.cat([first, second], dim=1)


class Adam:
    """Adam (Kingma & Ba, arXiv 1412.6980) over the parameters of one network, fused and in place, epsilon 1e-8.

    `gradients`, in the order of the network's `parameters`, are buffers that a backward pass fills before each `step`.
    """

    def __init__(self, network: Perceptron, learning_rate: float, betas: Sequence[float]):
        self.learning_rate, self.betas = learning_rate, betas
        self.parameters = network.parameters
        self.gradients = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.steps = [torch.zeros((), device=parameter.device) for parameter in self.parameters]

    def resume(self, steps: int) -> None:
        """Goes on as after `steps` steps; the moments are restored apart."""
        for count in self.steps:
            count.fill_(steps)

    def step(self) -> None:
        """Moves every parameter by what `gradients` hold."""
        adam(
            self.parameters, self.gradients, self.means, self.squares, [], self.steps,
            lr=self.learning_rate, beta1=self.betas[0], beta2=self.betas[1], eps=1e-8, weight_decay=0.0,
            amsgrad=False, maximize=False, fused=True,
        )  # fmt: skip
