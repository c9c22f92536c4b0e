"""The checks of an op's arguments. Each passes, or raises a TypeError or ValueError that names op and argument.

They run at every call of a step that takes microseconds. So one expression accepts valid arguments, and only invalid
ones are examined further.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from aae.priors import Prior

Shape = tuple[int | str, ...]


def check_tensor(
    op: str, name: str, tensor: object, dtype: torch.dtype, shape: Shape, device: torch.device | None = None
) -> None:
    """`shape` holds sizes, or a name where any size is allowed. Without `device`, any CPU or CUDA device is allowed."""
    if not (
        isinstance(tensor, Tensor)
        and tensor.dtype is dtype
        and (tensor.shape == shape or _fits(tensor.shape, shape))
        and (tensor.is_cpu or tensor.is_cuda if device is None else tensor.device == device)
        and tensor.is_contiguous()
        and not tensor.requires_grad
    ):
        _refuse_tensor(op, name, tensor, dtype, shape, device)


def _fits(given: Sequence[int], shape: Shape) -> bool:
    if len(given) != len(shape):
        return False
    for there, size in zip(given, shape, strict=True):  # noqa: SIM110
        if there != size and not isinstance(size, str):
            return False
    return True


def _refuse_tensor(
    op: str, name: str, tensor: object, dtype: torch.dtype, shape: Shape, device: torch.device | None
) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{op}: {name} must be a tensor, got {type(tensor).__name__}")
    if tensor.dtype is not dtype:
        raise TypeError(f"{op}: {name} must be {dtype}, got {tensor.dtype}")
    if not _fits(tensor.shape, shape):
        raise ValueError(f"{op}: {name} must be [{', '.join(map(str, shape))}], got {list(tensor.shape)}")
    if device is not None and tensor.device != device:
        raise ValueError(f"{op}: {name} must be on {device}, got {tensor.device}")
    if not (tensor.is_cpu or tensor.is_cuda):
        raise ValueError(f"{op}: {name} must be on a CPU or CUDA device, got {tensor.device}")
    if not tensor.is_contiguous():
        raise ValueError(f"{op}: {name} must be contiguous, got strides {tensor.stride()}")
    raise ValueError(f"{op}: {name} requires a gradient, which would be lost; pass {name}.detach()")


def check_pair(op: str, out: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    if not isinstance(out, (tuple, list)) or len(out) != 2:
        raise TypeError(f"{op}: out must be a tuple of two tensors, got {type(out).__name__}")
    return out


def check_prior(op: str, prior: object) -> None:
    if not isinstance(prior, Prior):
        raise TypeError(f"{op}: prior must be a prior of aae.priors, got {type(prior).__name__}")


def check_labels(op: str, prior: Prior, labels: object, n: int, device: torch.device) -> None:
    if not prior.classes:
        raise ValueError(f"{op}: labels need a prior with classes, got {prior}")
    check_tensor(op, "labels", labels, torch.int64, (n,), device)


def check_range(op: str, name: str, value: object, limit: int) -> None:
    if not isinstance(value, int):
        raise TypeError(f"{op}: {name} must be an int, got {type(value).__name__}")
    if not 0 <= value < limit:
        raise ValueError(f"{op}: {name} must be within [0, 2^{limit.bit_length() - 1}), got {value}")


def check_rows(op: str, n: int, offset: int, dim: int = 1, n_name: str = "n") -> None:
    check_range(op, n_name, n, 2**63)
    check_range(op, "offset", offset, 2**63)
    if (offset + n) * dim >= 2**63:
        raise ValueError(f"{op}: (offset + {n_name}) * dim must be below 2^63, got ({offset} + {n}) * {dim}")


def check_draw(op: str, seed: int, step: int | Tensor, stream: int, device: torch.device) -> tuple[int, Tensor | None]:
    """The step as an int, and as a tensor or None. If there is a tensor, the kernel reads it and ignores the int."""
    check_range(op, "seed", seed, 2**63)
    check_range(op, "stream", stream, 2**15)
    if isinstance(step, Tensor):
        check_tensor(op, "step", step, torch.int64, (1,) if step.dim() else (), device)
        return 0, step
    check_range(op, "step", step, 2**48)
    return step, None
