"""How well a model reconstructs."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from aae.errors import InputError


def reconstruction_metrics(logits: Tensor, images: Tensor) -> dict[str, float]:
    """Errors of the decoder's `logits` against `images` in [0, 1], both [n, pixels].

    - `nats`: binary cross-entropy in nats, summed over an image's pixels, mean over the images. Pixels are grey, so
      its minimum is their entropy, not 0.
    - `mse`: squared error of the pixel values, mean over pixels and images.

    Raises InputError if a logit is not finite.
    """
    cross_entropy = binary_cross_entropy_with_logits(logits, images, reduction="none")
    nats = cross_entropy.sum(dim=1, dtype=torch.float64).mean().item()
    mse = (logits.sigmoid() - images).square().mean(dtype=torch.float64).item()
    if not np.isfinite(nats):
        raise InputError("the decoder's output is not finite: the training diverged")
    return {"nats": nats, "mse": mse}
