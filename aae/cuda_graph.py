"""A trainer's iterations as CUDA graphs.

An iteration on a GPU is some eighty small kernels, and Python takes longer to queue them than the GPU to run them.
A graph holds the kernels of several iterations and is queued at once. What would have to come from Python lies on the
GPU: the step is counted there, and every random number is a function of it; the losses are summed up there, too. So
nothing waits for the GPU before an epoch ends, and the iterations are the very functions that run one by one.
"""

from collections.abc import Callable

import torch

from aae.trainer import Trainer

PER_GRAPH = 36  # divides the 468 iterations of an epoch of MNIST with minibatches of 128
WARM_UP = 3


class CudaCapture:
    """Makes CUDA graphs of functions, on a stream of its own."""

    def __init__(self):
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

    Graphs are made when they are first needed: one of `per_graph` iterations, and one of a single iteration for what
    is left of an epoch. They hold the addresses of the trainer's tensors, which is why training and
    `trainer.restore` change them in place. `capture` makes graphs as `CudaCapture` does.
    """

    def __init__(self, trainer: Trainer, per_graph: int = PER_GRAPH, capture: CudaCapture | None = None):
        self.trainer, self.per_graph = trainer, per_graph
        self.capture = capture or CudaCapture()
        self.step = torch.zeros((), dtype=torch.int64, device=trainer.images.device)
        self.in_step: int | None = None  # what `step` will hold when all that is queued has run
        self.graphs: dict[int, Callable[[], None]] = {}  # by the number of their iterations

    def advance(self, most: int) -> None:
        """Queues the next `per_graph` iterations, or the next one alone if `most` is less than that."""
        times = self.per_graph if most >= self.per_graph else 1
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
