"""The checks of an op's arguments. Each passes, or raises a TypeError or ValueError that names op and argument.

They run at every call of a step that takes microseconds. So one expression accepts valid arguments, and only invalid
ones are examined further.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.compiler import is_dynamo_compiling

from aae.priors import Prior

PLAIN = (Tensor, nn.Parameter)
Shape = tuple[int | str, ...]


def check_tensor(
    op: str, name: str, tensor: Any, dtype: torch.dtype, shape: Shape, device: torch.device | None = None
) -> None:
    """`shape` holds sizes, or a name where any size is allowed. Without `device`, any CPU or CUDA device is allowed."""
    try:
        valid = (
            type(tensor) in PLAIN
            and tensor.dtype is dtype
            and (tensor.shape == shape or _fits(tensor.shape, shape))
            and (tensor.is_cpu or tensor.is_cuda if device is None else tensor.device == device)
            and tensor.is_contiguous()
            and not tensor.requires_grad
            # torch.compile cannot trace the rest.
            and (is_dynamo_compiling() or (not tensor.is_neg() and has_memory(tensor)))
        )
    except RuntimeError:  # other layouts, and tensors in transforms, lack some of this
        valid = False
    if not valid:
        _examine(op, name, tensor, dtype, shape, device)


def has_memory(tensor: Tensor) -> bool:
    """Whether a contiguous tensor's storage has all of its elements; raises RuntimeError if there is no storage."""
    begin = tensor.storage_offset() * tensor.itemsize
    return tensor.untyped_storage().nbytes() >= begin + tensor.nbytes


def check_plain(name: str, tensor: object, dtype: torch.dtype) -> None:
    """Raises TypeError or ValueError unless `tensor` is of `dtype` and its values are in memory, as they are.

    Native code reads that memory. While a dispatch mode is active, tensors may be of the mode's own class.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(tensor).__name__}")
    if type(tensor) not in PLAIN and not torch._C._len_torch_dispatch_stack():
        raise TypeError(f"{name} must be a torch.Tensor itself, got its subclass {type(tensor).__name__}")
    if tensor.is_nested or tensor.layout is not torch.strided:
        raise TypeError(f"{name} must be dense, got {'a nested tensor' if tensor.is_nested else tensor.layout}")
    if tensor.dtype is not dtype:
        raise TypeError(f"{name} must be {dtype}, got {tensor.dtype}")
    if is_functorch_wrapped_tensor(tensor):
        raise TypeError(f"{name} is being transformed by torch.func, for example by vmap, which is not supported")
    if tensor.is_neg():
        raise ValueError(f"{name} has its negative bit set; pass {name.split()[-1]}.resolve_neg()")
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    needed = (tensor.storage_offset() + last + 1) * tensor.itemsize if tensor.numel() else 0
    if tensor.untyped_storage().nbytes() < needed:
        has = tensor.untyped_storage().nbytes()
        raise ValueError(f"{name} needs {needed} bytes of its storage, which has {has}; it was resized or freed")


def _fits(given: Sequence[int], shape: Shape) -> bool:
    if len(given) != len(shape):
        return False
    for i, size in enumerate(shape):  # noqa: SIM110  (all() and zip() take twice as long)
        if type(size) is not str and given[i] != size:
            return False
    return True


def _examine(op: str, name: str, tensor: object, dtype: torch.dtype, shape: Shape, device: torch.device | None) -> None:
    if not torch.compiler.is_compiling():
        check_plain(f"{op}: {name}", tensor, dtype)
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
    if tensor.requires_grad:
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
    if not (isinstance(n, int) and isinstance(offset, int) and n >= 0 and offset >= 0 and (offset + n) * dim < 2**63):
        check_range(op, n_name, n, 2**63)
        check_range(op, "offset", offset, 2**63)
        raise ValueError(f"{op}: (offset + {n_name}) * dim must be below 2^63, got ({offset} + {n}) * {dim}")


def check_draw(op: str, seed: int, step: int | Tensor, stream: int, device: torch.device) -> tuple[int, Tensor | None]:
    """The step as an int, and as a tensor or None. If there is a tensor, the kernel reads it and ignores the int."""
    if not (isinstance(seed, int) and isinstance(stream, int) and 0 <= seed < 2**63 and 0 <= stream < 2**15):
        check_range(op, "seed", seed, 2**63)
        check_range(op, "stream", stream, 2**15)
    if isinstance(step, Tensor):
        if type(step) not in PLAIN:
            check_plain(f"{op}: step", step, torch.int64)  # before its class is asked for its shape
        check_tensor(op, "step", step, torch.int64, (1,) if step.dim() else (), device)
        return 0, step
    if not (isinstance(step, int) and 0 <= step < 2**48):
        check_range(op, "step", step, 2**48)
    return step, None


def allocation_error(
    op: str, n_name: str, n: int, error: Exception, device: torch.device | str | None = None
) -> Exception:
    """What to raise for PyTorch's `error` from the allocation of the op's new tensors of `n` rows."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as problem:
        kind = TypeError if isinstance(problem, TypeError) else ValueError
        said = str(problem).partition("\n")[0].partition(". ")[0]
        return kind(f"{op}: device must be the CPU or a GPU that PyTorch can use, got {device!r} ({said})")
    if isinstance(error, torch.OutOfMemoryError):  # of a GPU; callers may want to catch it
        return error
    if "alloc" in str(error) or "overflow" in str(error).lower():
        return ValueError(f"{op}: {n_name} must be a number of rows that fit in memory, got {n}")
    return error
