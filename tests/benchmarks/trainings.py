"""The trainings that benchmarks compare, at the sizes of the default experiment. They run on the images' device."""

from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aae.kinds.aae import AAETrainer
from aae.kinds.vae import VAETrainer
from aae.models import build_model
from aae.priors import NormalPrior
from aae.readers.idx import read_idx_folder
from aae.settings import AdamSettings
from aae.trainer import Trainer

ROOT = Path(__file__).parents[2]
MNIST = ROOT / "data/raw/mnist"
EPOCH = 468  # iterations
ADAM = AdamSettings(0.001, [0.9, 0.999])
SIZES = {"pixels": 784, "code_size": 2, "encoder_widths": [512], "decoder_widths": [512]}


def mnist(device: str = "cpu") -> Tensor:
    """The training images, uint8 [60000, 784]."""
    return torch.from_numpy(read_idx_folder(MNIST, classes=10).train_images.reshape(60_000, 784).copy()).to(device)


def our_training(model: str, images: Tensor) -> Trainer:
    """The project's training, from seed 0. The joint AAE uses the settings in params.yaml."""
    if model == "aae_joint":
        from pipeline.params import load_params  # imported here because nothing else here needs its dependencies

        recipe = load_params(ROOT / "params.yaml").recipe(model)
        network = build_model(model, 0, **recipe.sizes(pixels=784, code_size=2, classes=10)).to(images.device)
        labels = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        training = {"seed": 0, "batch_size": 128, "steps": 46_800}
        return network.trainer(recipe.settings, images, labels, NormalPrior(2), **training)
    settings = {"seed": 0, "batch_size": 128, "steps": 46_800, "autoencoder": ADAM}
    if model == "vae":
        return VAETrainer(build_model("vae", 0, **SIZES).to(images.device), images, NormalPrior(2), **settings)
    network = build_model("aae", 0, **SIZES, discriminator_widths=[512]).to(images.device)
    return AAETrainer(network, images, NormalPrior(2), **settings, discriminator=ADAM, generator=ADAM)


def plain_training(model: str, images: Tensor) -> "PlainAAE | PlainVAE":
    """A plain PyTorch training. For the joint AAE it is that of the post's AAE."""
    return PlainVAE(images) if model == "vae" else PlainAAE(images)


# --- a plain translation of the post: backward(), default Adam, images indexed by randint ---------------------


def mlp(*sizes: int) -> nn.Sequential:
    layers = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def draw(images: Tensor, n: int) -> Tensor:
    return images[torch.randint(0, len(images), (n,), device=images.device)].float().div(255)


class PlainAAE:
    def __init__(self, images: Tensor, width: int = 512, batch_size: int = 128):
        self.images, self.batch_size = images, batch_size
        self.encoder = mlp(images.shape[1], width, 2).to(images.device)
        self.decoder = mlp(2, width, images.shape[1]).to(images.device)
        self.discriminator = mlp(2, width, 1).to(images.device)
        self.autoencoder_adam = torch.optim.Adam([*self.encoder.parameters(), *self.decoder.parameters()], lr=0.001)
        self.discriminator_adam = torch.optim.Adam(self.discriminator.parameters(), lr=0.001)
        self.generator_adam = torch.optim.Adam(self.encoder.parameters(), lr=0.001)

    def iteration(self) -> None:
        n, half = self.batch_size, self.batch_size // 2
        images = draw(self.images, n)
        decoded = torch.sigmoid(self.decoder(self.encoder(images)))
        descend(self.autoencoder_adam, F.binary_cross_entropy(decoded, images))

        codes = self.encoder(draw(self.images, half)).detach()
        answers = torch.sigmoid(self.discriminator(torch.cat([codes, torch.randn_like(codes)])))
        targets = torch.cat([torch.zeros_like(answers[:half]), torch.ones_like(answers[half:])])
        descend(self.discriminator_adam, F.binary_cross_entropy(answers, targets))

        answers = torch.sigmoid(self.discriminator(self.encoder(draw(self.images, n))))
        descend(self.generator_adam, F.binary_cross_entropy(answers, torch.ones_like(answers)))


class PlainVAE:
    def __init__(self, images: Tensor, width: int = 512, batch_size: int = 128):
        self.images, self.batch_size = images, batch_size
        self.encoder = mlp(images.shape[1], width, 4).to(images.device)
        self.decoder = mlp(2, width, images.shape[1]).to(images.device)
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
