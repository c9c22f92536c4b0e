"""The networks: the adversarial autoencoder and the variational autoencoder it is compared with.

Both are multilayer perceptrons on flattened images. `encode` and `decode` mean the same in both, so that
evaluation and rendering need not know which they hold.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers of the given sizes with ReLU between them; the last layer is linear."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class AAE(nn.Module):
    """Adversarial autoencoder (Makhzani et al., arXiv 1511.05644, section 2) with a deterministic encoder."""

    def __init__(
        self,
        pixels: int,
        code_size: int,
        encoder_widths: Sequence[int],
        decoder_widths: Sequence[int],
        discriminator_widths: Sequence[int],
    ):
        super().__init__()
        self.pixels, self.code_size = pixels, code_size
        self.sizes = {
            "pixels": pixels,
            "code_size": code_size,
            "encoder_widths": list(encoder_widths),
            "decoder_widths": list(decoder_widths),
            "discriminator_widths": list(discriminator_widths),
        }
        self.encoder = mlp(pixels, *encoder_widths, code_size)
        self.decoder = mlp(code_size, *decoder_widths, pixels)
        self.discriminator = mlp(code_size, *discriminator_widths, 1)

    def encode(self, images: Tensor) -> Tensor:
        """Images in [0, 1], float [n, pixels], to codes [n, code_size]."""
        return self.encoder(images)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [n, code_size] to the logits of the pixels [n, pixels]."""
        return self.decoder(codes)

    def discriminate(self, codes: Tensor) -> Tensor:
        """Codes [n, code_size] to the logit [n, 1] of their class: 1 is `prior`, 0 is `encoded`."""
        return self.discriminator(codes)


class VAE(nn.Module):
    """Variational autoencoder (Kingma & Welling, arXiv 1312.6114): q(z|x) is a Gaussian with diagonal covariance."""

    def __init__(self, pixels: int, code_size: int, encoder_widths: Sequence[int], decoder_widths: Sequence[int]):
        super().__init__()
        self.pixels, self.code_size = pixels, code_size
        self.sizes = {
            "pixels": pixels,
            "code_size": code_size,
            "encoder_widths": list(encoder_widths),
            "decoder_widths": list(decoder_widths),
        }
        self.encoder = mlp(pixels, *encoder_widths, 2 * code_size)
        self.decoder = mlp(code_size, *decoder_widths, pixels)

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), each [n, code_size], for images in [0, 1], float [n, pixels]."""
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        return mean, log_variance

    def encode(self, images: Tensor) -> Tensor:
        """The means of q(z|x) [n, code_size]."""
        return self.posterior(images)[0]

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [n, code_size] to the logits of the pixels [n, pixels]."""
        return self.decoder(codes)


MODELS: dict[str, type[AAE] | type[VAE]] = {"aae": AAE, "vae": VAE}


def build_model(name: str, seed: int, **sizes) -> AAE | VAE:
    """The model `name` (`aae` or `vae`) with PyTorch's initialisation from `seed`, the same on every machine.

    It is made on the CPU, whatever device it goes to, and leaves the global generator as it found it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MODELS[name](**sizes)
