"""A trainer's iterations as CUDA graphs.

An iteration on a GPU consists of some eighty small kernels, and Python takes longer to queue them than the GPU to run
them. A graph holds the kernels of several iterations and is queued in one call. The GPU counts the step, from which
every random number follows, and sums the losses. So nothing has to come from Python, and nothing waits for the GPU
before an epoch ends. The iterations are the same functions that otherwise run one by one.
"""

from collections.abc import Callable

import torch

from aae.trainer import Trainer

MAX_LENGTH = 36  # iterations per graph; longer graphs take longer to capture and save little
WARM_UP = 3


def graph_length(iterations: int) -> int:
    """The number of iterations per graph with which an epoch of `iterations` queues the fewest graphs.

    The remainder of an epoch runs in graphs of one iteration. If several lengths queue equally many graphs, the one
    with the smallest remainder is taken. 468 iterations give 36, a divisor (13 graphs); 100 give 25, a divisor
    (4 graphs); 467, a prime, give 31 (15 graphs and two of one iteration).
    """
    return min(range(1, MAX_LENGTH + 1), key=lambda length: (sum(divmod(iterations, length)), iterations % length))


class CudaCapture:
    """Makes CUDA graphs of functions, on a separate stream."""

    def __init__(self) -> None:
        self.stream = torch.cuda.Stream()

    def warm_up(self, work: Callable[[], None]) -> None:
        """Runs `work` a few times: libraries set themselves up in their first calls, and a graph cannot hold that."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            for _ in range(WARM_UP):
                work()
        torch.cuda.current_stream().wait_stream(self.stream)

    def __call__(self, work: Callable[[], None], times: int) -> Callable[[], None]:
        """Records `times` calls of `work` without running them; returns a function that queues their kernels.

        The graph reads and writes the same memory as `work` does now. Memory that `work` allocates belongs to the
        graph.
        """
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream):
            for _ in range(times):
                work()
        return graph.replay


class GraphedIterations:
    """Trains as `trainer.advance` does, but in graphs; the bits are the same if products are deterministic.

    Graphs are made when they are first needed: one of `graph_length(iterations)` iterations, and one of a single
    iteration for the rest of an epoch. They hold the addresses of the trainer's tensors, so training and
    `trainer.restore` change these in place. `capture` makes graphs as `CudaCapture` does.
    """

    def __init__(self, trainer: Trainer, iterations: int, capture: CudaCapture | None = None):
        self.trainer, self.length = trainer, graph_length(iterations)
        self.capture = capture or CudaCapture()
        self.step = torch.zeros((), dtype=torch.int64, device=trainer.images.device)
        self.in_step: int | None = None  # the value of `step` once everything that is queued has run
        self.graphs: dict[int, Callable[[], None]] = {}  # number of iterations -> graph

    def advance(self, remaining: int) -> None:
        """Queues the next `length` iterations, or a single one if fewer are `remaining` in the epoch."""
        times = self.length if remaining >= self.length else 1
        if not self.graphs:
            self.warm_up()
        if times not in self.graphs:
            self.graphs[times] = self.capture(self.iterate, times)
        if self.in_step != self.trainer.step:  # the trainer was restored or advanced without graphs
            self.step.fill_(self.trainer.step)
        self.graphs[times]()
        self.trainer.step += times
        self.in_step = self.trainer.step

    def iterate(self) -> None:
        """One iteration, with its step and losses, on the device."""
        self.trainer.iterate(self.step)
        self.step += 1

    def warm_up(self) -> None:
        """Runs a few iterations and undoes them."""
        before = {name: tensor.clone() for name, tensor in self.trainer.state().items()}
        self.capture.warm_up(self.iterate)
        self.trainer.restore(self.trainer.step, before)
