"""A CUDA graph's capture and replay on the CPU, where there is no GPU to show what they do.

Capturing runs Python once and the operations not at all. A replay runs the operations with the arguments that they were
captured with: the same tensors, whatever they hold by then, and the same Python numbers.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten
WAITING = {aten._local_scalar_dense, aten.nonzero, aten.equal, aten.is_nonzero}  # for the device, to look at numbers
BRINGING = {aten.lift_fresh, aten.scalar_tensor}  # numbers of Python to the device


class Recording(TorchDispatchMode):
    """The operations on tensors while it is entered, which leave no trace in them."""

    def __init__(self):
        super().__init__()
        self.calls: list[tuple] = []
        self.found: dict[int, tuple[Tensor, Tensor]] = {}  # memory by address, and a copy of what it held

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        assert op.overloadpacket not in WAITING | BRINGING, f"{op} cannot be captured"
        kwargs = kwargs or {}
        for tensor in tensors_in((args, kwargs)):
            if (address := tensor.untyped_storage().data_ptr()) not in self.found:
                memory = whole_memory(tensor)
                self.found[address] = memory, memory.clone()
        result = op(*args, **kwargs)
        self.calls.append((op, args, kwargs, result))
        return result

    def __exit__(self, *exception):
        super().__exit__(*exception)
        for memory, before in self.found.values():
            memory.copy_(before)

    def replay(self) -> None:
        for op, args, kwargs, result in self.calls:
            again = op(*args, **kwargs)
            for old, new in zip(tensors_in(result), tensors_in(again), strict=True):
                if old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class RecordingCapture:
    """Stands in for `aae.cuda_graph.CudaCapture`."""

    def __init__(self):
        self.captured: list[int] = []  # iterations of each graph

    def warm_up(self, work: Callable[[], None]) -> None:
        work()

    def __call__(self, work: Callable[[], None], times: int) -> Callable[[], None]:
        self.captured.append(times)
        with Recording() as recording:
            for _ in range(times):
                work()
        return recording.replay


def tensors_in(tree) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def whole_memory(tensor: Tensor) -> Tensor:
    """All bytes of the memory that `tensor` may be a part of."""
    return torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage())
