"""An iteration of training at the post's sizes: the project's trainers and the plainest PyTorch, in turn.

The two are timed in alternating blocks, because machines drift; what counts is the ratio, block by block.
"""

import statistics
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

from aae.idx import read_idx_folder
from aae.models import build_model
from aae.priors import NormalPrior
from aae.training import AAETrainer, VAETrainer
from tests.benchmarks.plain_pytorch import PlainAAE, PlainVAE

MNIST = Path(__file__).parents[2] / "data/raw/mnist"
BLOCKS, ITERATIONS, EPOCH = 10, 30, 468
ADAM = {"learning_rate": 0.001, "betas": (0.9, 0.999)}
SIZES = {"pixels": 784, "code_size": 2, "encoder_widths": [512], "decoder_widths": [512]}


def images() -> Tensor:
    """MNIST's training images."""
    return torch.from_numpy(read_idx_folder(MNIST, classes=10).train_images.reshape(60_000, 784).copy())


def trainers(model: str):
    pixels = images()
    settings = {"seed": 0, "batch_size": 128, "autoencoder": ADAM}
    if model == "aae":
        network = build_model("aae", 0, **SIZES, discriminator_widths=[512])
        ours = AAETrainer(network, pixels, NormalPrior(2), **settings, discriminator=ADAM, generator=ADAM)
        return ours, PlainAAE(pixels)
    return VAETrainer(build_model("vae", 0, **SIZES), pixels, NormalPrior(2), **settings), PlainVAE(pixels)


@pytest.mark.parametrize("model", ["aae", "vae"])
def test_iteration(benchmark, model):
    ours, plain = trainers(model)
    assert torch.isfinite(ours.iteration(0)).all()
    plain.iteration()
    seconds = {"ours": [], "plain": []}

    def block():
        start = time.perf_counter()
        for step in range(ITERATIONS):
            ours.iteration(step)
        middle = time.perf_counter()
        for _ in range(ITERATIONS):
            plain.iteration()
        seconds["ours"].append(middle - start)
        seconds["plain"].append(time.perf_counter() - middle)

    benchmark.group = f"training: {ITERATIONS} iterations of ours, then of the plainest PyTorch, in turn"
    benchmark.pedantic(block, rounds=BLOCKS, warmup_rounds=1)
    ratios = sorted(b / a for a, b in zip(seconds["ours"][1:], seconds["plain"][1:], strict=True))
    epochs = {name: statistics.median(blocks[1:]) / ITERATIONS * EPOCH for name, blocks in seconds.items()}
    benchmark.extra_info |= {f"{name}, s an epoch": seconds for name, seconds in epochs.items()}
    benchmark.extra_info["plain / ours"] = statistics.median(ratios)
    print(
        f"\n{model}: {epochs['ours']:.2f} s an epoch, plain PyTorch {epochs['plain']:.2f} s; ratio block by block "
        f"{ratios[0]:.2f} to {ratios[-1]:.2f}, median {statistics.median(ratios):.2f}"
    )
