"""The argument checks of `aae.backprop` and `aae.backprop_cpu`. They take microseconds per iteration.

Native passes get addresses, and a wrong one causes a memory fault at best. PyTorch's operations would silently
broadcast.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from aae.op_checks import PLAIN, check_plain, has_memory


def check_rows(name: str, tensor: Tensor, columns: int | None, device: torch.device) -> int:
    """The rows n of `tensor`. Raises TypeError or ValueError unless it is float32 [n, columns], n > 0, contiguous, on
    `device` and in memory. Without `columns`, it may have any number of them.
    """
    try:
        valid = (
            type(tensor) in PLAIN
            and tensor.dtype is torch.float32
            and len(shape := tensor.shape) == 2
            and (columns is None or shape[1] == columns)
            and shape[0] > 0
            and tensor.device == device
            and tensor.is_contiguous()
            and not tensor.is_neg()
            and has_memory(tensor)
        )
    except RuntimeError:  # other layouts lack some of this
        valid = False
    if not valid:
        refuse_rows(name, tensor, columns, device)
    return len(tensor)


def refuse_rows(name: str, tensor: Tensor, columns: int | None, device: torch.device) -> None:
    """Raises what `check_rows` says."""
    check_plain(name, tensor, torch.float32)
    if tensor.dim() != 2 or tensor.shape[1] != (columns or tensor.shape[1]) or len(tensor) == 0:
        raise ValueError(f"{name} must have the shape [n, {columns or 'columns'}], n > 0, got {list(tensor.shape)}")
    if tensor.device != device:
        raise ValueError(f"{name} must be on {device}, where the parameters are, got {tensor.device}")
    if not tensor.is_contiguous():
        raise ValueError(f"{name} must be contiguous, got strides {tensor.stride()}")


def check_count(name: str, count: int) -> None:
    """Raises TypeError or ValueError unless `count` is an int above 0."""
    if not isinstance(count, int):
        raise TypeError(f"{name} must be an int, got {type(count).__name__}")
    if count < 1:
        raise ValueError(f"{name} must be at least 1, got {count}")


def check_still_there(name: str, tensor: Tensor) -> None:
    """Raises ValueError if the memory of a checked tensor was freed since."""
    if not has_memory(tensor):
        check_plain(name, tensor, torch.float32)


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
    check_still_there("x", x)


def check_update(perceptron: Any, passes: Sequence[Any]) -> None:
    """Raises ValueError unless all passes have gradients of `perceptron`, whose parameters are still its module's."""
    if not passes:
        raise ValueError("update needs at least one pass")
    for one in passes:
        if one.perceptron is not perceptron:
            raise ValueError("update needs passes of the perceptron that it updates, got one of another")
        if one.grad_outputs is None:
            raise ValueError("update must come after a backward of each of its passes")
        check_still_there("x", one.x)
        check_still_there("grad_outputs", one.grad_outputs)
    for linear, addresses in zip(perceptron.linears, perceptron.addresses, strict=True):
        if (linear.weight.data_ptr(), linear.bias.data_ptr()) != addresses:
            raise ValueError(
                f"the parameters of {linear} were replaced after its Perceptron was made, which still updates the old "
                "ones; change them in place, for example with copy_"
            )


def linears_of(network: nn.Sequential) -> list[nn.Linear]:
    """The layers of an `mlp` that have parameters. Raises TypeError or ValueError unless these are float32 and in
    memory.
    """
    linears = [layer for layer in network if isinstance(layer, nn.Linear)]
    for i, linear in enumerate(linears):
        for name, parameter in ((f"weight of layer {i}", linear.weight), (f"bias of layer {i}", linear.bias)):
            check_plain(name, parameter, torch.float32)
            if not (parameter.is_cpu or parameter.is_cuda):
                raise ValueError(f"{name} must be on a CPU or CUDA device, got {parameter.device}")
    return linears


def addresses_of(linears: Sequence[nn.Linear]) -> list[tuple[int, int]]:
    """The addresses of each layer's weight and bias."""
    return [(linear.weight.data_ptr(), linear.bias.data_ptr()) for linear in linears]
