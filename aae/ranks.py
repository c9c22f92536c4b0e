"""One training on several ranks (processes): minibatches divided into shards, and shards among the ranks.

A minibatch of B rows has `count` shards of B / count adjacent rows, and each of R ranks computes count / R adjacent
shards. Its samples are rows of the minibatches that one process would draw (the ops' `offset`).

The number of ranks changes no bit. A shard's gradient and losses come from the same rows by the same operations on
every rank, and the shards are added in one order, as the leaves of a binary tree. EasyScale (SC'23) gathers all shards
and adds them one by one. In a tree, each rank adds its own shards first and sends a single sum.

The collectives only move data, because NCCL adds in an order that it chooses itself.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

# PyTorch before 2.13 has only the old name, which 2.13 deprecates.
all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor


class LostRankError(RuntimeError):
    """Another rank of the training has ended."""


class Shards:
    """The shards of a training, and those that this rank computes.

    Args:
        count: of the whole minibatch, a power of 2 that the number of ranks divides. With 1, nothing is divided.

    The ranks are those of the default process group of `torch.distributed`; without one, there is a single rank.
    Raises ValueError for any other `count`.
    """

    def __init__(self, count: int = 1):
        joined = dist.is_available() and dist.is_initialized()
        self.rank, self.ranks = (dist.get_rank(), dist.get_world_size()) if joined else (0, 1)
        if count < 1 or count & (count - 1) or count % self.ranks:
            raise ValueError(f"count must be a power of 2 that {self.ranks} ranks divide, got {count}")
        self.count, self.own = count, count // self.ranks

    def rows(self, n: int) -> int:
        """This rank's part of `n` rows. Raises ValueError unless the shards divide them."""
        if n % self.count:
            raise ValueError(f"{self.count} shards do not divide {n} rows")
        return n // self.ranks

    def blocks(self, *sizes: int) -> list[int]:
        """The rows of each own shard, for one after the other of several minibatches of `sizes` rows."""
        return [self.rows(n) // self.own for n in sizes for _ in range(self.own)]

    def parts(self, tensor: Tensor) -> Sequence[Tensor]:
        """The rows of each own shard, for a tensor with this rank's rows."""
        return (tensor,) if self.own == 1 else tensor.split(len(tensor) // self.own)

    def gather(self, tensor: Tensor) -> Tensor:
        """The rows of all ranks, in order, for a tensor with this rank's rows."""
        if self.ranks == 1:
            return tensor
        with lost_rank():
            whole = tensor.new_empty(self.ranks * len(tensor), *tensor.shape[1:])
            all_gather(whole, tensor.contiguous())
        return whole

    def sum_of(self, tensor: Tensor) -> Tensor:
        """The sum [...] over all shards, for a tensor [own shards, ...]."""
        return tree_sum(self.gather(tensor))

    def follow_first(self, step: int, tensors: dict[str, Tensor]) -> tuple[int, dict[str, Tensor]]:
        """The step and the tensors of the first rank, which all ranks have under the same names."""
        if self.ranks == 1:
            return step, tensors
        device = next(iter(tensors.values())).device
        with lost_rank():
            late_step = torch.tensor(step, device=device)
            tensors = {name: tensor.to(device).clone() for name, tensor in tensors.items()}
            for tensor in (late_step, *tensors.values()):
                dist.broadcast(tensor, 0)
        return int(late_step), tensors


class ShardSum:
    """Sums vectors of `size` elements, float32, over all shards. Memory is allocated once."""

    def __init__(self, shards: Shards, size: int, device: torch.device):
        self.shards, self.size = shards, size
        each = -(-size // shards.ranks)  # elements that one rank adds up
        # A sum for every level of the tree over the own shards.
        self.levels = [torch.zeros(each * shards.ranks, device=device) for _ in range(shards.own.bit_length())]
        self.received = torch.zeros(shards.ranks, each, device=device)

    def __call__(self, fill: Callable[[int, Tensor], None]) -> Tensor:
        """The sum [size], which the next call overwrites. `fill(i, out)` writes the vector of own shard i to `out`."""
        self._add(fill, 0, self.shards.own, 0)
        whole = self.levels[0]
        if self.shards.ranks > 1:
            with lost_rank():
                dist.all_to_all_single(self.received.view(-1), whole)
                all_gather(whole, tree_sum(self.received))
        return whole[: self.size]

    def _add(self, fill: Callable[[int, Tensor], None], first: int, count: int, level: int) -> None:
        """Writes the sum of `count` own shards from `first` on to the level."""
        if count == 1:
            return fill(first, self.levels[level][: self.size])
        self._add(fill, first, count // 2, level)
        self._add(fill, first + count // 2, count // 2, level + 1)
        self.levels[level] += self.levels[level + 1]


def tree_sum(rows: Tensor) -> Tensor:
    """The sum [...] of a power of 2 of rows [n, ...]: first of neighbours, then of neighbouring sums, and so on."""
    while len(rows) > 1:
        rows = rows[0::2] + rows[1::2]
    return rows[0]


@contextmanager
def lost_rank() -> Iterator[None]:
    """Raises LostRankError if a collective fails."""
    try:
        yield
    except (dist.DistError, RuntimeError) as error:
        raise LostRankError(str(error)) from error
