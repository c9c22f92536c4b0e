"""One training on a GPU, timed: the project's, in graphs or one by one, or the plainest PyTorch's. Prints JSON.

`gpu_check.py` runs it, each time in a process of its own, because what makes products deterministic is read once.
"""

import argparse
import hashlib
import json
import statistics
import time
from collections import Counter

import torch
from torch.profiler import ProfilerActivity, profile
from trainings import EPOCH, mnist, our_training, plain_training

from aae.backprop import PRECISIONS, set_products
from aae.cuda_graph import GraphedIterations
from aae.trainer import Trainer, train_epoch


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=("aae", "vae"), default="aae")
    parser.add_argument("--way", choices=("graphs", "one by one", "plain", "kernels"), required=True)
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    parser.add_argument("--deterministic", action="store_true")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60, help="no epoch begins later")
    arguments = parser.parse_args()
    set_products(arguments.precision, arguments.deterministic)
    images = mnist("cuda")
    if arguments.way == "plain":
        result = time_plain(arguments, images)
    elif arguments.way == "kernels":
        result = count_kernels(our_training(arguments.model, images))
    else:
        result = time_ours(arguments, our_training(arguments.model, images))
    print(json.dumps(result))


def time_ours(arguments: argparse.Namespace, trainer: Trainer) -> dict:
    """The seconds of each epoch, those of capturing graphs in the first; its losses and its weights' bits."""
    torch.cuda.synchronize()
    seconds, first = [], {}
    start = time.perf_counter()
    advance = GraphedIterations(trainer).advance if arguments.way == "graphs" else None
    while len(seconds) < arguments.epochs and sum(seconds) < arguments.seconds:
        losses = train_epoch(trainer, len(seconds) + 1, EPOCH, advance=advance)  # waits for the GPU to read the losses
        seconds.append(time.perf_counter() - start - sum(seconds))
        first = first or {"losses": losses, "weights": digest(trainer)}
    return summary(seconds) | {"first": first, "last": {"losses": losses, "weights": digest(trainer)}}


def time_plain(arguments: argparse.Namespace, images: torch.Tensor) -> dict:
    """The seconds of each epoch of the plainest PyTorch."""
    training = plain_training(arguments.model, images)
    torch.cuda.synchronize()
    seconds: list[float] = []
    start = time.perf_counter()
    while len(seconds) < arguments.epochs and sum(seconds) < arguments.seconds:
        for _ in range(EPOCH):
            training.iteration()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start - sum(seconds))
    return summary(seconds)


def summary(seconds: list[float]) -> dict:
    return {
        "epochs": len(seconds),
        "seconds": sum(seconds),
        "first_epoch": seconds[0],
        "median_epoch": statistics.median(seconds[1:] or seconds),
    }


def digest(trainer: Trainer) -> str:
    """The beginning of the SHA-256 of all weights."""
    content = hashlib.sha256()
    for parameter in trainer.model.parameters():
        content.update(parameter.detach().cpu().numpy().tobytes())
    return content.hexdigest()[:12]


def count_kernels(trainer: Trainer, iterations: int = 20) -> dict:
    """What the GPU runs in an iteration: of each kernel, how often and for how many microseconds in all."""
    for _ in range(3):
        trainer.advance(1)
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as trace:
        for _ in range(iterations):
            trainer.advance(1)
        torch.cuda.synchronize()
    calls, microseconds = Counter(), Counter()
    for event in trace.events():
        if event.device_type == torch.autograd.DeviceType.CUDA:
            calls[event.name] += 1 / iterations
            microseconds[event.name] += event.time_range.elapsed_us() / iterations
    return {"kernels": [[name, calls[name], spent] for name, spent in microseconds.most_common()]}


if __name__ == "__main__":
    main()
