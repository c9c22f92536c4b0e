"""The networks: the adversarial autoencoder and the variational autoencoder it is compared with.

Both are multilayer perceptrons on flattened images. `encode` and `decode` mean the same in both, so that
evaluation and rendering need not know which they hold.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers of the given sizes with ReLU between them; the last layer is linear."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def to_inputs(images: np.ndarray) -> Tensor:
    """Images uint8 [n, height, width] as a model takes them: float32 [n, pixels] in [0, 1]."""
    return torch.from_numpy(images.reshape(len(images), -1).astype("float32") / 255)


class Autoencoder(nn.Module):
    """An encoder and a decoder. `sizes` are the arguments that build the same model again."""

    def __init__(self, sizes: dict, encoder_outputs: int):
        super().__init__()
        self.sizes = sizes
        self.pixels, self.code_size = sizes["pixels"], sizes["code_size"]
        self.encoder = mlp(self.pixels, *sizes["encoder_widths"], encoder_outputs)
        self.decoder = mlp(self.code_size, *sizes["decoder_widths"], self.pixels)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [n, code_size] to the logits of the pixels [n, pixels]."""
        return self.decoder(codes)


class AAE(Autoencoder):
    """Adversarial autoencoder (Makhzani et al., arXiv 1511.05644, section 2) with a deterministic encoder.

    The discriminator takes codes, each followed by `label_classes` one-hot columns of its label (section 2.3), if any,
    and gives the logit of their class: 1 is `prior`, 0 is `encoded`.
    """

    def __init__(
        self,
        pixels: int,
        code_size: int,
        encoder_widths: Sequence[int],
        decoder_widths: Sequence[int],
        discriminator_widths: Sequence[int],
        label_classes: int = 0,
    ):
        sizes = {
            "pixels": pixels,
            "code_size": code_size,
            "encoder_widths": list(encoder_widths),
            "decoder_widths": list(decoder_widths),
            "discriminator_widths": list(discriminator_widths),
            "label_classes": label_classes,
        }
        super().__init__(sizes, encoder_outputs=code_size)
        self.discriminator = mlp(code_size + label_classes, *discriminator_widths, 1)

    def encode(self, images: Tensor) -> Tensor:
        """Images in [0, 1], float [n, pixels], to codes [n, code_size]."""
        return self.encoder(images)


class VAE(Autoencoder):
    """Variational autoencoder (Kingma & Welling, arXiv 1312.6114): q(z|x) is a Gaussian with diagonal covariance."""

    def __init__(self, pixels: int, code_size: int, encoder_widths: Sequence[int], decoder_widths: Sequence[int]):
        sizes = {
            "pixels": pixels,
            "code_size": code_size,
            "encoder_widths": list(encoder_widths),
            "decoder_widths": list(decoder_widths),
        }
        super().__init__(sizes, encoder_outputs=2 * code_size)

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), each [n, code_size], for images in [0, 1], float [n, pixels]."""
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        return mean, log_variance

    def encode(self, images: Tensor) -> Tensor:
        """The means of q(z|x) [n, code_size]."""
        return self.posterior(images)[0]


MODELS: dict[str, type[AAE] | type[VAE]] = {"aae": AAE, "vae": VAE}


def build_model(name: str, seed: int, **sizes) -> AAE | VAE:
    """The model `name` (`aae` or `vae`) with PyTorch's initialisation from `seed`, the same on every machine.

    It is made on the CPU, whatever device it goes to, and leaves the global generator as it found it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MODELS[name](**sizes)
