"""The log-likelihood of images under a Parzen window (kernel density) estimate from a model's samples.

It follows the protocol of Goodfellow et al. (arXiv 1406.2661, section 5; their code is `parzen_ll.py`). In 784
dimensions, the estimate says little about a model: averages of ten training images, which are blurred, score higher
than training images themselves (compare Theis, van den Oord & Bethge, arXiv 1511.01844, section 3.2). It is here for
comparison with published figures.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

GOODFELLOW_SIGMAS = tuple(np.logspace(-1, 0, 10).tolist())  # the published grid: 0.1, 0.129, 0.167, ... 1
BLOCK = 2_000  # samples in a block of distances: 80 MB for 10,000 images


@dataclass(frozen=True)
class ParzenLikelihood:
    """The log-likelihood of the test images in nats per image, and the kernels' width."""

    mean: float
    standard_error: float  # over the test images: their standard deviation (divisor n) / sqrt(n)
    sigma: float
    validation_mean: float  # log-likelihood of the validation images with that sigma


def parzen_likelihood(
    samples: Callable[[], Iterable[Tensor]],
    validation: Tensor,
    test: Tensor,
    sigmas: Sequence[float] = GOODFELLOW_SIGMAS,
) -> ParzenLikelihood:
    """The likelihood of `test` under Gaussian kernels on the samples.

    Args:
        samples: returns the samples, blocks of float32 [any, pixels] in [0, 1], on each call the same.
        validation: float32 [n, pixels]; the kernels' standard deviation is the one of `sigmas` that is best for them.
        test: float32 [m, pixels].
        sigmas: the candidates, in units of the pixel values.

    Raises ValueError if there are no samples or no `sigmas`.
    """
    means = log_density(validation, samples(), sigmas).mean(dim=1)
    best = int(means.argmax())
    density = log_density(test, samples(), [sigmas[best]])[0]
    error = density.std(correction=0).item() / math.sqrt(len(density))
    return ParzenLikelihood(density.mean().item(), error, sigmas[best], means[best].item())


def log_density(points: Tensor, samples: Iterable[Tensor], sigmas: Sequence[float]) -> Tensor:
    """ln of the mean over the samples of N(point; sample, sigma² I), in nats, for each sigma: float64 [sigmas, points].

    Args:
        points: float32 [n, d].
        samples: blocks of float32 [any, d]. The memory does not depend on the number of samples.
        sigmas: standard deviations of the kernels.

    Raises ValueError if there are no samples or no `sigmas`.
    """
    if not sigmas:
        raise ValueError("log_density: sigmas must not be empty")
    scales = torch.tensor([1 / (2 * sigma**2) for sigma in sigmas], dtype=torch.float64)[:, None]
    # Sums of exp(-(distance - nearest) / 2 sigma²): with the smallest squared distance so far, no term overflows.
    nearest = torch.full((len(points),), math.inf, dtype=torch.float64)
    sums, count = torch.zeros(len(sigmas), len(points), dtype=torch.float64), 0
    norms = points.square().sum(dim=1)
    for block in samples:
        for part in block.split(BLOCK) if len(block) else ():
            distances = torch.addmm(part.square().sum(dim=1)[None], points, part.t(), alpha=-2)  # without |point|²
            distances += norms[:, None]
            least = torch.minimum(nearest, distances.amin(dim=1).double())
            sums *= torch.exp((least - nearest) * scales)
            nearest = least
            distances -= nearest.float()[:, None]
            for row, scale in zip(sums, scales[:, 0].tolist(), strict=True):
                row += torch.exp(distances * -scale).sum(dim=1)
            count += len(part)
    if not count:
        raise ValueError("log_density: samples must not be empty")
    normalisers = torch.tensor([points.shape[1] * math.log(sigma * math.sqrt(2 * math.pi)) for sigma in sigmas])
    return sums.log() - nearest * scales - math.log(count) - normalisers.double()[:, None]
