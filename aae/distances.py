"""How far codes are from the prior: first all measures together, then each one.

`codes` are float64 [n, d]; a `Target` represents the prior. docs/metrics.md has a table of the measures.
"""

from typing import Any

import numpy as np
from scipy.stats import kurtosis, skew

from aae.pairs import self_pair_means
from aae.targets import Target


def code_metrics(codes: np.ndarray, target: Target) -> dict[str, Any]:
    """All measures of `codes` [n, d] against the prior."""
    axes = axis_metrics(codes, target)
    return {
        **match_metrics(codes, target),
        **pair_metrics(codes, target),
        **mardia(codes),
        "correlation": correlation(codes),
        **axes,
    }


def match_metrics(codes: np.ndarray, target: Target) -> dict[str, float]:
    """The measures of `codes` [n, d] that are cheap enough for every epoch.

    `ks_max` is the largest Kolmogorov-Smirnov statistic of the axes.
    """
    raw, centred = sliced_wasserstein(codes, target)
    return {
        "sliced_wasserstein": raw,
        "sliced_wasserstein_centred": centred,
        **cell_metrics(codes, target),
        "ks_max": max(target.ks(j, x) for j, x in enumerate(codes.T)),
    }


def sliced_wasserstein(codes: np.ndarray, target: Target) -> tuple[float, float]:
    """Sliced Wasserstein-2 distance of `codes` from the prior, raw and centred, in units of the code.

    The root mean square over the directions of the Wasserstein-2 distance of the projected codes from the projected
    prior (Bonneel, Rabin, Peyré & Pfister, J. Math. Imaging Vis. 51, 2015). On a line, the i-th smallest of n numbers
    moves to the i-th of n slices of equal probability. With s_i the mean of the prior in slice i, W2² = mean(x²) +
    E z² - 2 mean(x_(i) s_i). This is exact; for a sampled prior it is the exact distance of the two samples. Moving the
    codes' mean onto the prior's subtracts exactly the squared distance of the means. The remaining distance, of the
    shapes alone, is the centred one.
    """
    u, n = target.directions, len(codes)
    projected = np.sort(u @ codes.T, axis=1)  # [k, n]
    moments = ((u @ (codes.T @ codes / n)) * u).sum(axis=1)  # [k]: mean(x²)
    squared = moments + target.squares - 2 * np.einsum("kn,kn->k", projected, target.slices) / n
    centred = squared - (u @ codes.mean(axis=0) - target.means) ** 2
    return float(np.sqrt(max(squared.mean(), 0.0))), float(np.sqrt(max(centred.mean(), 0.0)))


def cell_metrics(codes: np.ndarray, target: Target) -> dict[str, float]:
    """How evenly `codes` fill cells of equal probability under the prior; see `Target.cells`.

    - `chi2_per_dof`: Pearson's chi² of the counts against equal counts, divided by its degrees of freedom (the number
      of cells minus one); for n samples of the prior about 1 ± sqrt(2 / dof).
    - `empty_cells`: the fraction of cells without a code; for samples of the prior about exp(-n / cells²).

    With more than two axes, both are means over the pairs of axes.
    """
    counts = np.stack([cells.counts(codes) for cells in target.cells])  # [pairs of axes, cells²]
    expected = len(codes) / counts.shape[1]
    chi2 = ((counts - expected) ** 2 / expected).sum(axis=1).mean()
    return {"chi2_per_dof": float(chi2 / (counts.shape[1] - 1)), "empty_cells": float((counts == 0).mean())}


def pair_metrics(codes: np.ndarray, target: Target) -> dict[str, float]:
    """Two distances between distributions that are 0 only if the distributions are equal.

    - `energy_distance`: 2 E|x - z| - E|x - x'| - E|z - z'| (Székely & Rizzo, J. Stat. Plan. Inference 143, 2013,
      equation 5), over all pairs of codes and, for a sampled prior, all pairs of its samples. Pairs of a point with
      itself are included, so it is never negative. In units of the code.
    - `mmd2`: the squared maximum mean discrepancy E k(x, x') + E k(z, z') - 2 E k(x, z), unbiased and so possibly
      negative (Gretton et al., JMLR 13, 2012, equation 3), with the inverse multiquadratic kernel
      k = C / (C + |x - z|²) of Tolstikhin et al. (arXiv 1711.01558, section 4), C = `Target.scale`, which for
      N(0, std² I) in d dimensions is 2 d std².

    For the normal prior the expectations over z are exact; for others they are means over n samples.
    """
    n = len(codes)
    cross_distance, cross_kernel = target.cross_means(codes)
    own_distance, own_kernel = self_pair_means(codes, target.scale, distinct=True)
    return {
        "energy_distance": 2 * cross_distance - own_distance * (n - 1) / n - target.self_distance,
        "mmd2": own_kernel + target.self_kernel - 2 * cross_kernel,
    }


def mardia(codes: np.ndarray) -> dict[str, float | None]:
    """Mardia's multivariate skewness b1 and kurtosis b2 (Biometrika 57, 1970), invariant under linear maps.

    Let y be the whitened codes, with mean 0 and covariance I (divisor n). b1 is the mean of (y·y')³ over all pairs,
    which is the sum of the squared third moments of y. b2 is the mean of |y|⁴. A normal distribution has 0 and
    d (d + 2); n samples of it have b1 of about d (d + 1) (d + 2) / n. Both are None if the covariance is singular.
    """
    n, d = codes.shape
    centred = codes - codes.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred / n)
    if values[0] <= 1e-12 * values[-1]:
        return {"mardia_skewness": None, "mardia_kurtosis": None}
    y = centred @ vectors / np.sqrt(values)
    third = np.stack([(y * y[:, [j]]).T @ y for j in range(d)]) / n  # [d, d, d]
    return {
        "mardia_skewness": float((third**2).sum()),
        "mardia_kurtosis": float(((y**2).sum(axis=1) ** 2).mean()),
    }


def axis_metrics(codes: np.ndarray, target: Target) -> dict[str, dict[str, float | None]]:
    """For each axis (`axis_0`, ...) `mean` and `std` (divisor n) in units of the code, `skewness`, `excess_kurtosis`
    (0 for a normal distribution; both None if all codes are equal) and the Kolmogorov-Smirnov statistic `ks` against
    the prior, the largest difference of the distribution functions, in [0, 1]."""
    return {f"axis_{j}": moments(x) | {"ks": target.ks(j, x)} for j, x in enumerate(codes.T)}


def moments(x: np.ndarray) -> dict[str, float | None]:
    """Mean, standard deviation (divisor n), skewness and excess kurtosis of `x` [n]; see `axis_metrics`."""
    std = float(x.std())
    # All values are equal up to rounding: scipy would warn and return noise.
    flat = std <= 1e-7 * np.abs(x).max()
    return {
        "mean": float(x.mean()),
        "std": std,
        "skewness": None if flat else float(skew(x)),
        "excess_kurtosis": None if flat else float(kurtosis(x)),
    }


def correlation(codes: np.ndarray) -> float | None:
    """Pearson's correlation of two axes; with more than two, that of the pair where it is largest.

    None with one axis, or if all codes are equal on an axis.
    """
    d = codes.shape[1]
    if d == 1 or (codes.std(axis=0) <= 1e-7 * np.abs(codes).max(axis=0)).any():
        return None
    pairs = np.corrcoef(codes, rowvar=False)[np.triu_indices(d, 1)]
    return float(pairs[np.abs(pairs).argmax()])
