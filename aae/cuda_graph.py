"""A trainer's iterations as CUDA graphs.

An iteration on a GPU is some eighty small kernels, and Python takes longer to queue them than the GPU to run them.
A graph holds the kernels of several iterations and is queued at once. What would have to come from Python lies on the
GPU: the step is counted there, and every random number is a function of it; the losses are summed up there, too. So
nothing waits for the GPU before an epoch ends, and the iterations are the very functions that run one by one.
"""

from collections.abc import Callable

import torch

from aae.trainer import Trainer

MAX_LENGTH = 36  # of a graph, in iterations; longer ones take longer to capture and save little
WARM_UP = 3


def graph_length(iterations: int) -> int:
    """How many iterations a graph holds: the length with which an epoch of `iterations` queues the fewest graphs.

    The remainder of an epoch runs in graphs of one. Of lengths with equally many graphs the one with the smallest
    remainder is taken. 468 iterations give the divisor 36 (13 graphs), 100 the divisor 25 (4 graphs), and 467, a prime,
    31 (15 graphs and two of one iteration).
    """
    return min(range(1, MAX_LENGTH + 1), key=lambda length: (sum(divmod(iterations, length)), iterations % length))


class CudaCapture:
    """Makes CUDA graphs of functions, on a stream of its own."""

    def __init__(self) -> None:
        self.stream = torch.cuda.Stream()

    def warm_up(self, work: Callable[[], None]) -> None:
        """Runs `work` a few times, because libraries set themselves up in their first calls, which a graph cannot."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            for _ in range(WARM_UP):
                work()
        torch.cuda.current_stream().wait_stream(self.stream)

    def __call__(self, work: Callable[[], None], times: int) -> Callable[[], None]:
        """What queues the kernels of `times` calls of `work`, which are recorded and not run.

        The graph reads and writes the memory that `work` does now; what `work` allocates is the graph's own.
        """
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream):
            for _ in range(times):
                work()
        return graph.replay


class GraphedIterations:
    """Trains what `trainer.advance` would, to the same bits where products are deterministic, in graphs.

    Graphs are made when they are first needed: one of `length` iterations, as suits epochs of `iterations`, and one of
    a single iteration for what is left of an epoch. They hold the addresses of the trainer's tensors, which is why
    training and `trainer.restore` change them in place. `capture` makes graphs as `CudaCapture` does.
    """

    def __init__(self, trainer: Trainer, iterations: int, capture: CudaCapture | None = None):
        self.trainer, self.length = trainer, graph_length(iterations)
        self.capture = capture or CudaCapture()
        self.step = torch.zeros((), dtype=torch.int64, device=trainer.images.device)
        self.in_step: int | None = None  # what `step` will hold when all that is queued has run
        self.graphs: dict[int, Callable[[], None]] = {}  # by the number of their iterations

    def advance(self, remaining: int) -> None:
        """Queues the next `length` iterations, or a single one if fewer are `remaining` in the epoch."""
        times = self.length if remaining >= self.length else 1
        if not self.graphs:
            self.warm_up()
        if times not in self.graphs:
            self.graphs[times] = self.capture(self.iterate, times)
        if self.in_step != self.trainer.step:  # the trainer was restored, or has advanced by itself
            self.step.fill_(self.trainer.step)
        self.graphs[times]()
        self.trainer.step += times
        self.in_step = self.trainer.step

    def iterate(self) -> None:
        """One iteration with all that it changes on the device."""
        self.trainer.passes.add_losses(self.trainer.totals, self.trainer.iteration(self.step))
        self.step += 1

    def warm_up(self) -> None:
        """Runs some iterations and takes them back."""
        before = {name: tensor.clone() for name, tensor in self.trainer.state().items()}
        self.capture.warm_up(self.iterate)
        self.trainer.restore(self.trainer.step, before)
