"""Times one training on a GPU: the project's, in graphs or one by one, or a plain PyTorch version. Prints JSON.

`gpu_check.py` runs it in a separate process each time, because the setting for deterministic products is read once.
"""

import argparse
import hashlib
import json
import statistics
import time

import torch
from torch import nn
from trainings import EPOCH, mnist, our_training, plain_training

from aae.backprop import PRECISIONS, set_products
from aae.cuda_graph import GraphedIterations
from aae.trainer import train_epoch


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=("aae", "aae_joint", "vae"), default="aae")
    parser.add_argument("--way", choices=("graphs", "one by one", "plain"), required=True)
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    parser.add_argument("--deterministic", action="store_true")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60, help="no epoch begins later")
    arguments = parser.parse_args()
    set_products(arguments.precision, arguments.deterministic)
    images = mnist("cuda")
    training = (plain_training if arguments.way == "plain" else our_training)(arguments.model, images)
    seconds, weights = [], ""
    torch.cuda.synchronize()
    start = time.perf_counter()  # the first epoch includes capturing the graphs
    advance = GraphedIterations(training, EPOCH).advance if arguments.way == "graphs" else None
    while len(seconds) < arguments.epochs and sum(seconds) < arguments.seconds:
        if arguments.way == "plain":
            for _ in range(EPOCH):
                training.iteration()
        else:
            train_epoch(training, len(seconds) + 1, EPOCH, advance=advance)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start - sum(seconds))
        if arguments.way != "plain" and not weights:
            weights = digest(training.model)
    result = {"epochs": len(seconds), "first_epoch": seconds[0], "weights": weights}
    print(json.dumps(result | {"median_epoch": statistics.median(seconds[1:] or seconds)}))


def digest(model: nn.Module) -> str:
    """The first digits of the SHA-256 of all weights."""
    content = hashlib.sha256()
    for parameter in model.parameters():
        content.update(parameter.detach().cpu().numpy().tobytes())
    return content.hexdigest()[:12]


if __name__ == "__main__":
    main()
