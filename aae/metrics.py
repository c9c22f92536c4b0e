"""How well a model reconstructs, and how far its codes are from the prior N(0, std² I).

None of this is a test of significance: the codes of a trained model are never exactly the prior's, and with
enough images every test would say so. To know what each measure would be at best, take it of a sample of the
prior of the same size; the metrics of a run hold that, too, as `prior_sample`.
"""

import numpy as np
import torch
from scipy.stats import ks_1samp, norm
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from aae.errors import InputError
from aae.models import AAE, VAE
from aae.ops import Stream, sample_prior
from aae.priors import NormalPrior

# Steps of the stream EVALUATION: one for each thing that is drawn.
POSTERIOR_NOISE, PRIOR_SAMPLE, DIRECTIONS = range(3)


def model_metrics(model: AAE | VAE, images: Tensor, *, seed: int, **measures) -> dict:
    """Reconstruction and codes of `images` in [0, 1], float32 [n, pixels]; `measures` go to `code_metrics`.

    An image has two codes in a VAE. `codes` are the means of q(z|x), which is what the pictures show;
    `codes_sampled` are samples of q(z|x), one an image, distributed as the aggregated posterior q(z). Each is
    decoded for a reconstruction of its own. An AAE, whose encoder is deterministic, has `codes` alone.
    """
    codes = {"": model.encode(images)}
    if isinstance(model, VAE):
        mean, log_variance = model.posterior(images)
        noise = evaluation_sample(NormalPrior(model.code_size), len(images), seed, POSTERIOR_NOISE)
        codes["_sampled"] = mean + torch.exp(log_variance / 2) * noise
    metrics = {}
    for suffix, z in codes.items():
        metrics[f"reconstruction{suffix}"] = reconstruction_metrics(model.decode(z), images)
        metrics[f"codes{suffix}"] = code_metrics(z.numpy(), **measures)
    return metrics


def prior_sample_metrics(n: int, code_size: int, *, seed: int, std: float, **measures) -> dict:
    """`code_metrics` of `n` samples of the prior: the values of a model whose codes are the prior's."""
    codes = evaluation_sample(NormalPrior(code_size, std), n, seed, PRIOR_SAMPLE)
    return code_metrics(codes.numpy(), std=std, **measures)


def evaluation_sample(prior: NormalPrior, n: int, seed: int, purpose: int) -> Tensor:
    """`n` samples of `prior`, float32 [n, dim], of the stream EVALUATION; `purpose` is the step."""
    return sample_prior(prior, n, seed=seed, step=purpose, stream=Stream.EVALUATION)


def reconstruction_metrics(logits: Tensor, images: Tensor) -> dict[str, float]:
    """Errors of the decoder's `logits` against `images` in [0, 1], both [n, pixels].

    - `nats`: binary cross-entropy in nats, summed over an image's pixels, mean over the images. As pixels are
      grey, its minimum is not 0 but their entropy.
    - `mse`: squared error of the pixels' values, mean over pixels and images.
    """
    cross_entropy = binary_cross_entropy_with_logits(logits, images, reduction="none")
    nats = cross_entropy.sum(dim=1, dtype=torch.float64).mean().item()
    mse = (logits.sigmoid() - images).square().mean(dtype=torch.float64).item()
    if not np.isfinite(nats):
        raise InputError("the decoder's output is not finite: the training diverged")
    return {"nats": nats, "mse": mse}


def code_metrics(codes: np.ndarray, *, std: float, cells: int, projections: int) -> dict:
    """Distances of `codes` [n, d] from N(0, std² I); raises InputError where a code is NaN or infinite.

    - `sliced_wasserstein`: see `sliced_wasserstein`, over `projections` directions; in units of the code.
    - `empty_cells`, `chi2_per_dof`: see `cell_metrics`.
    - `ks_max`: the largest `ks` of the axes.
    - `axis_0`, `axis_1`, ...: on each axis, `mean` and `std` of the codes, in units of the code, and their
      Kolmogorov-Smirnov statistic `ks`, the largest difference of the distribution functions, in [0, 1].
    """
    bad = len(codes) - np.isfinite(codes).all(axis=1).sum()
    if bad:
        raise InputError(f"{bad} of {len(codes)} codes are not finite: the training diverged")
    codes = codes.astype(np.float64)
    axes = {f"axis_{j}": axis_metrics(x, std) for j, x in enumerate(codes.T)}
    return {
        "sliced_wasserstein": sliced_wasserstein(codes, std, directions(codes.shape[1], projections)),
        **cell_metrics(codes, std, cells),
        "ks_max": max(axis["ks"] for axis in axes.values()),
        **axes,
    }


def axis_metrics(x: np.ndarray, std: float) -> dict[str, float]:
    """Mean, standard deviation and Kolmogorov-Smirnov statistic of `x` [n] against N(0, std²)."""
    ks = ks_1samp(x / std, norm.cdf, method="asymp").statistic
    return {"mean": float(x.mean()), "std": float(x.std()), "ks": float(ks)}


def sliced_wasserstein(codes: np.ndarray, std: float, directions: np.ndarray) -> float:
    """Sliced Wasserstein-2 distance of `codes` [n, d] from N(0, std² I), over unit `directions` [k, d].

    The root mean square over the directions of the Wasserstein-2 distance of the projected codes from
    N(0, std²) (Bonneel, Rabin, Peyré & Pfister, J. Math. Imaging Vis. 51, 2015). No sample of the prior is
    needed: the i-th smallest of n numbers moves to the i-th of n slices of equal probability, so that exactly
    W2² = mean(x²) + std² - 2 std Σ x_(i) (φ(Φ⁻¹((i-1)/n)) - φ(Φ⁻¹(i/n))).
    """
    n = len(codes)
    slices = -np.diff(norm.pdf(norm.ppf(np.arange(n + 1) / n)))  # [n]: integral of t φ(t) over each slice
    ordered = np.sort(codes @ directions.T, axis=0)  # [n, k]
    squared = (ordered**2).mean(axis=0) + std**2 - 2 * std * (slices @ ordered)  # [k]
    return float(np.sqrt(max(squared.mean(), 0.0)))


def directions(d: int, k: int) -> np.ndarray:
    """Unit vectors [k, d], always the same: equal angles over a half circle for d = 2, random beyond."""
    if d == 1:
        return np.ones((1, 1))
    if d == 2:
        angles = (np.arange(k) + 0.5) * np.pi / k
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    vectors = evaluation_sample(NormalPrior(d), k, 0, DIRECTIONS).numpy().astype(np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def cell_metrics(codes: np.ndarray, std: float, cells: int) -> dict[str, float]:
    """How evenly `codes` [n, d] fill cells² cells of equal probability under N(0, std² I).

    The cells are the squares between `cells`-quantiles of the prior on two axes. Codes of one dimension are
    counted in cells² intervals instead; those of more than two in the squares of every pair of axes, and the
    measures are means over the pairs.

    - `empty_cells`: the fraction of cells without a code; for n samples of the prior about exp(-n / cells²).
    - `chi2_per_dof`: Pearson's chi² of the counts against equal ones, over its cells² - 1 degrees of freedom;
      for samples of the prior about 1 ± sqrt(2 / (cells² - 1)).
    """
    n, d = codes.shape
    on_axis = cells**2 if d == 1 else cells
    # Beyond 8.3 standard deviations Φ rounds to 1, which would be one cell too far.
    index = np.minimum((norm.cdf(codes / std) * on_axis).astype(np.int64), on_axis - 1).T  # [d, n]
    pairs = [index[0]] if d == 1 else [index[i] * cells + index[j] for i in range(d) for j in range(i + 1, d)]
    counts = np.stack([np.bincount(pair, minlength=cells**2) for pair in pairs])  # [pairs, cells²]
    expected = n / cells**2
    chi2 = ((counts - expected) ** 2 / expected).sum(axis=1).mean()
    return {"empty_cells": float((counts == 0).mean()), "chi2_per_dof": float(chi2 / (cells**2 - 1))}


def flatten(metrics: dict, prefix: str = "") -> dict[str, float]:
    """Nested metrics in one level, with the dotted names of `dvc metrics diff`: `codes.axis_0.ks`."""
    flat = {}
    for key, value in metrics.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
