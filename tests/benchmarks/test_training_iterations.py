"""An iteration of training at the post's sizes: the project's trainers and the plainest PyTorch, in turn.

The two are timed in alternating blocks, because machines drift; what counts is the ratio, block by block.
"""

import statistics
import time
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aae.idx import read_idx_folder
from aae.models import build_model
from aae.priors import NormalPrior
from aae.training import AAETrainer, VAETrainer

MNIST = Path(__file__).parents[2] / "data/raw/mnist"
BLOCKS, ITERATIONS, EPOCH = 10, 30, 468
ADAM = {"learning_rate": 0.001, "betas": (0.9, 0.999)}
SIZES = {"pixels": 784, "code_size": 2, "encoder_widths": [512], "decoder_widths": [512]}


# --- the plainest PyTorch: backward(), unfused Adam, images indexed by randint --------------------------------


def mlp(*sizes: int) -> nn.Sequential:
    layers = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def draw(images: Tensor, n: int) -> Tensor:
    return images[torch.randint(0, len(images), (n,))].float().div(255)


class PlainAAE:
    def __init__(self, images: Tensor, width: int = 512, batch_size: int = 128):
        self.images, self.batch_size = images, batch_size
        self.encoder = mlp(images.shape[1], width, 2)
        self.decoder = mlp(2, width, images.shape[1])
        self.discriminator = mlp(2, width, 1)
        self.autoencoder_adam = torch.optim.Adam([*self.encoder.parameters(), *self.decoder.parameters()], lr=0.001)
        self.discriminator_adam = torch.optim.Adam(self.discriminator.parameters(), lr=0.001)
        self.generator_adam = torch.optim.Adam(self.encoder.parameters(), lr=0.001)

    def iteration(self) -> None:
        n, half = self.batch_size, self.batch_size // 2
        images = draw(self.images, n)
        decoded = torch.sigmoid(self.decoder(self.encoder(images)))
        descend(self.autoencoder_adam, F.binary_cross_entropy(decoded, images))

        codes = self.encoder(draw(self.images, half)).detach()
        answers = torch.sigmoid(self.discriminator(torch.cat([codes, torch.randn(half, 2)])))
        targets = torch.cat([torch.zeros(half, 1), torch.ones(half, 1)])
        descend(self.discriminator_adam, F.binary_cross_entropy(answers, targets))

        answers = torch.sigmoid(self.discriminator(self.encoder(draw(self.images, n))))
        descend(self.generator_adam, F.binary_cross_entropy(answers, torch.ones(n, 1)))


class PlainVAE:
    def __init__(self, images: Tensor, width: int = 512, batch_size: int = 128):
        self.images, self.batch_size = images, batch_size
        self.encoder = mlp(images.shape[1], width, 4)
        self.decoder = mlp(2, width, images.shape[1])
        self.adam = torch.optim.Adam([*self.encoder.parameters(), *self.decoder.parameters()], lr=0.001)

    def iteration(self) -> None:
        images = draw(self.images, self.batch_size)
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        codes = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
        reconstruction = F.binary_cross_entropy(torch.sigmoid(self.decoder(codes)), images, reduction="sum")
        kl = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum()
        descend(self.adam, (reconstruction + kl) / self.batch_size)


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


# --- the benchmark --------------------------------------------------------------------------------------------


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
