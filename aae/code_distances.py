"""Differentiable distances of a minibatch's codes from N(0, I), with which autoencoders are trained without a
discriminator.

Each function returns the distance (a scalar tensor) and its gradient in the codes, both on the codes' device, and waits
for nothing there. The sums' order is PyTorch's, so the last bits depend on the processor.
"""

import math

import torch
from torch import Tensor

MMD_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # of the kernel, times 2 d


def mmd(codes: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
    """The squared maximum mean discrepancy of `codes` from `samples` of the prior, both float [n, d], n > 1.

    It is unbiased, so it may be negative (Tolstikhin et al., arXiv 1711.01558, algorithm 2). The kernel is the sum of
    inverse multiquadratic kernels C / (C + |x - y|²) with C = 2 d times each of `MMD_SCALES`, as in the authors' code.
    """
    n, d = codes.shape
    own, own_slope = imq_kernel(codes, codes, 2 * d)
    cross, cross_slope = imq_kernel(codes, samples, 2 * d)
    prior, _ = imq_kernel(samples, samples, 2 * d)
    pairs = n * (n - 1)
    # A point is at distance 0 from itself; each kernel is 1 there.
    of_itself = n * len(MMD_SCALES)
    distance = (own.sum() + prior.sum() - 2 * of_itself) / pairs - 2 * cross.mean()
    own_gradient = codes * own_slope.sum(dim=1, keepdim=True) - own_slope @ codes
    cross_gradient = codes * cross_slope.sum(dim=1, keepdim=True) - cross_slope @ samples
    return distance, own_gradient * (4 / pairs) - cross_gradient * (4 / n**2)


def imq_kernel(x: Tensor, y: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """The sum of the kernels [n, m] between the rows of `x` [n, d] and `y` [m, d], and its derivative in |x - y|²."""
    squared = squared_distances(x, y)
    kernel, slope = torch.zeros_like(squared), torch.zeros_like(squared)
    for factor in MMD_SCALES:
        inverse = (squared + scale * factor).reciprocal_()
        kernel += inverse * (scale * factor)
        slope -= inverse.square_().mul_(scale * factor)
    return kernel, slope


def sliced_wasserstein(codes: Tensor, samples: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """The squared sliced Wasserstein-2 distance of `codes` from `samples` of the prior, both float [n, d].

    It is the mean over the `directions` [k, d], which need not have length 1 (Kolouri et al., arXiv 1804.01947,
    algorithm 1).
    """
    directions = directions / directions.norm(dim=1, keepdim=True)
    ordered, order = (torch.stack([codes, samples]) @ directions.T).sort(dim=1)  # one sort is faster than two
    difference = ordered[0] - ordered[1]
    gradient = torch.empty_like(difference).scatter_(0, order[0], difference)
    return difference.square().mean(), gradient @ directions * (2 / difference.numel())


def log_cramer_wold(codes: Tensor) -> tuple[Tensor, Tensor]:
    """The logarithm of the squared Cramér-Wold distance of `codes`, float [n, d], d > 1, from N(0, I).

    In the closed form with the asymptotic of phi_d (Knop et al., JMLR 21, 2020, section 4), which is an approximation:
    it is not 0 for N(0, I) itself.
    """
    n, d = codes.shape
    gamma, width = (4 / (3 * n)) ** 0.4, 2 * d - 3
    own = (squared_distances(codes, codes) / width + gamma).rsqrt_()
    centred = (codes.square().sum(dim=1) / width + (gamma + 0.5)).rsqrt_()
    distance = (own.mean() + 1 / math.sqrt(1 + gamma) - 2 * centred.mean()) / (2 * math.sqrt(math.pi))
    own_slope = own.pow(3)  # times -1 / (2 width) the derivative in the squared distance
    own_gradient = codes * own_slope.sum(dim=1, keepdim=True) - own_slope @ codes
    gradient = centred.pow(3)[:, None] * codes * (2 / n) - own_gradient * (2 / n**2)
    return distance.log(), gradient / (distance * (2 * math.sqrt(math.pi) * width))


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """|x - y|² [n, m] between the rows of `x` [n, d] and `y` [m, d]; 0 if rounding makes it negative."""
    squared = torch.addmm(y.square().sum(dim=1)[None], x, y.T, alpha=-2)
    return squared.add_(x.square().sum(dim=1, keepdim=True)).clamp_(min=0)
