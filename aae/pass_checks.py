"""The argument checks of `aae.backprop` and `aae.backprop_cpu`. They take microseconds per iteration.

Native passes get addresses, and a wrong one causes a memory fault at best. PyTorch's operations would silently
broadcast.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


def check_rows(name: str, tensor: Tensor, columns: int, device: torch.device) -> int:
    """The rows n of `tensor`. Raises TypeError or ValueError unless it is float32 [n, columns], n > 0, contiguous, and
    on `device`.
    """
    if not isinstance(tensor, Tensor) or tensor.dtype is not torch.float32:
        found = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
        raise TypeError(f"{name} must be a tensor of torch.float32, got {found}")
    shape = tensor.shape
    if len(shape) != 2 or shape[1] != columns or shape[0] == 0:
        raise ValueError(f"{name} must have the shape [n, {columns}], n > 0, got {list(shape)}")
    if tensor.device != device:
        raise ValueError(f"{name} must be on {device}, where the parameters are, got {tensor.device}")
    if not tensor.is_contiguous():
        raise ValueError(f"{name} must be contiguous, got strides {tensor.stride()}")
    return shape[0]


def check_minibatch(x: Tensor, columns: int, device: torch.device, rows: int) -> None:
    """Raises TypeError or ValueError unless `x` is a valid input of a pass of `rows` rows."""
    found = check_rows("x", x, columns, device)
    if found != rows:
        raise ValueError(f"x must have the {rows} rows of its pass, got {found}")


def check_gradient(grad_outputs: Tensor, columns: int, device: torch.device, x: Tensor | None) -> None:
    """Raises TypeError or ValueError unless `grad_outputs` fits the outputs for `x`, the last forward's inputs."""
    if x is None:
        raise ValueError("backward must come after a forward of the same pass")
    found = check_rows("grad_outputs", grad_outputs, columns, device)
    if found > x.shape[0]:
        raise ValueError(f"grad_outputs must have at most the last forward's {len(x)} rows, got {found}")


def check_update(perceptron: Any, passes: Sequence[Any]) -> None:
    """Raises ValueError unless all passes have gradients of `perceptron`, whose parameters are still its module's."""
    if not passes:
        raise ValueError("update needs at least one pass")
    for one in passes:
        if one.perceptron is not perceptron:
            raise ValueError("update needs passes of the perceptron that it updates, got one of another")
        if one.grad_outputs is None:
            raise ValueError("update must come after a backward of each of its passes")
    for linear, addresses in zip(perceptron.linears, perceptron.addresses, strict=True):
        if (linear.weight.data_ptr(), linear.bias.data_ptr()) != addresses:
            raise ValueError(
                f"the parameters of {linear} were replaced after its Perceptron was made, which still updates the old "
                "ones; change them in place, for example with copy_"
            )


def linears_of(network: nn.Sequential) -> list[nn.Linear]:
    """The layers of an `mlp` that have parameters. Raises TypeError unless these are float32."""
    linears = [layer for layer in network if isinstance(layer, nn.Linear)]
    for linear in linears:
        for parameter in (linear.weight, linear.bias):
            if parameter.dtype is not torch.float32:
                raise TypeError(f"the parameters of a Perceptron must be torch.float32, got {parameter.dtype}")
    return linears


def addresses_of(linears: Sequence[nn.Linear]) -> list[tuple[int, int]]:
    """The addresses of each layer's weight and bias."""
    return [(linear.weight.data_ptr(), linear.bias.data_ptr()) for linear in linears]
