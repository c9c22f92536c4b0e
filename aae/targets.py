"""The prior as the metrics use it: what codes are compared with, computed once for all snapshots of a run.

The normal prior is used in closed form, without samples. Every other prior is represented by a fixed set of samples
(stream EVALUATION, seed 0), so a distance from it is the two-sample form of the exact distance. In a prior with
classes, all classes are equally likely.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import gamma, hyp1f1, ndtr
from scipy.stats import ks_1samp, ks_2samp, norm

from aae.evaluation_samples import DIRECTIONS, REFERENCE, TRAIN_SAMPLE, evaluation_sample
from aae.pairs import pair_means, self_pair_means
from aae.priors import NormalPrior, Prior, UniformPrior

SLICE_ROWS = 10  # samples of the prior per code, for the sliced Wasserstein distance and Kolmogorov-Smirnov
CELL_ROWS = 100  # samples of the prior per code, or per cell if there are more cells, for the cells' edges


@dataclass(frozen=True)
class Cells:
    """Cells of equal probability on one axis or two: `first` [rows - 1] cuts axis `axes[0]` into rows, and
    `second` [rows, columns - 1] cuts each row separately into columns on axis `axes[-1]`."""

    axes: tuple[int, ...]
    first: np.ndarray
    second: np.ndarray

    def counts(self, codes: np.ndarray) -> np.ndarray:
        """The number of `codes` [n, d] in each cell, int64 [rows * columns]."""
        rows = np.searchsorted(self.first, codes[:, self.axes[0]], side="right")
        columns = (codes[:, self.axes[-1], None] >= self.second[rows]).sum(axis=1)
        row_count, column_count = self.second.shape[0], self.second.shape[1] + 1
        return np.bincount(rows * column_count + columns, minlength=row_count * column_count)


class Target(ABC):
    """A prior that `n` codes of dimension d are compared with. Arrays are float64.

    - `directions` [k, d]: the directions of the sliced Wasserstein distance.
    - `slices` [k, n]: the mean of each slice when the prior, projected on each direction, is cut into n slices of equal
      probability; `means` and `squares` [k]: the mean and the mean square of the projected prior.
    - `cells`: cells² intervals for one-dimensional codes, otherwise cells x cells cells on every pair of axes.
    - `scale`: the scale of the MMD kernel, which is the mean squared distance of two samples of the prior.
    - `self_distance`, `self_kernel`: means of |z - z'| and k(z, z') over independent samples z, z' of the prior. If n
      samples represent the prior, `self_distance` is over all pairs of them, including those of a sample with itself.
      The codes are treated likewise, so the energy distance of two samples is never negative.
    """

    n: int
    directions: np.ndarray
    slices: np.ndarray
    means: np.ndarray
    squares: np.ndarray
    cells: list[Cells]
    scale: float
    self_distance: float
    self_kernel: float

    @abstractmethod
    def ks(self, axis: int, x: np.ndarray) -> float:
        """Kolmogorov-Smirnov statistic of `x` [n] against the prior on `axis`."""

    @abstractmethod
    def cross_means(self, codes: np.ndarray) -> tuple[float, float]:
        """Means of |x - z| and k(x, z) over the `codes` x [n, d] and samples z of the prior."""


def build_target(prior: Prior, n: int, *, cells: int, projections: int) -> Target:
    """The target for `n` codes, with `cells` cells per axis and `projections` directions."""
    along = directions(prior.dim, projections)
    if isinstance(prior, NormalPrior):
        return NormalTarget(prior, n, cells, along)
    return SampledTarget(prior, n, cells, along)


class NormalTarget(Target):
    """N(0, std² I), exactly."""

    def __init__(self, prior: NormalPrior, n: int, cells: int, directions: np.ndarray):
        self.n, self.std, self.dim, self.directions = n, float(prior.std), prior.dim, directions
        # The i-th slice of n has mean n std (φ(Φ⁻¹((i-1)/n)) - φ(Φ⁻¹(i/n))), in every direction.
        slices = -n * self.std * np.diff(norm.pdf(norm.ppf(np.arange(n + 1) / n)))
        self.slices = np.broadcast_to(slices, (len(directions), n))
        self.means = np.zeros(len(directions))
        self.squares = np.full(len(directions), self.std**2)
        self.scale = 2 * self.dim * self.std**2
        self.cells = normal_cells(self.dim, self.std, cells)
        self.self_distance = float(2 * self.std * gamma((self.dim + 1) / 2) / gamma(self.dim / 2))
        self.self_kernel = float(self.kernel_potential(np.zeros(1), variance=2.0)[0])

    def ks(self, axis: int, x: np.ndarray) -> float:
        return float(ks_1samp(x / self.std, ndtr, method="asymp").statistic)

    def cross_means(self, codes: np.ndarray) -> tuple[float, float]:
        q = (codes**2).sum(axis=1) / self.std**2
        # The mean of the noncentral chi distribution of |x - z| / std.
        d = self.dim
        distances = self.std * np.sqrt(2) * gamma((d + 1) / 2) / gamma(d / 2) * hyp1f1(-0.5, d / 2, -q / 2)
        return float(distances.mean()), float(self.kernel_potential(q).mean())

    def kernel_potential(self, q: np.ndarray, variance: float = 1.0) -> np.ndarray:
        """The mean of k(x, z) over z ~ N(0, variance std² I), for q = |x|²/std² [n].

        k = scale / (scale + r²) is a mixture of Gaussians, ∫ exp(-t) exp(-t r²/scale) dt, whose means under a
        normal distribution are known. The integral over t is a trapezoidal sum in log t. Its error is below 1e-9, for
        distant codes as for near ones.
        """
        t = np.exp(np.arange(-26, 4, 0.4))
        weights = 0.4 * t * np.exp(-t)
        t = t / self.dim  # 2 t std² / scale
        spread = 1 + t * variance
        return (weights * spread ** (-self.dim / 2) * np.exp(-q[:, None] * (t / spread / 2))).sum(axis=1)


class SampledTarget(Target):
    """A prior that is represented by samples."""

    def __init__(self, prior: Prior, n: int, cells: int, directions: np.ndarray):
        self.n, self.directions = n, directions
        sample = evaluation_sample(prior, CELL_ROWS * max(n, cells**2), 0, REFERENCE)
        self.cells = sampled_cells(sample, cells)
        self.scale = float(2 * sample.var(axis=0).sum())
        self.sample = sample[: SLICE_ROWS * n]
        self.slices = np.empty((len(directions), n))
        self.squares = np.empty(len(directions))
        for i, direction in enumerate(directions):
            projected = np.sort(self.sample @ direction)
            self.slices[i] = projected.reshape(n, SLICE_ROWS).mean(axis=1)
            self.squares[i] = (projected**2).mean()
        self.means = self.slices.mean(axis=1)

    @cached_property
    def self_means(self) -> tuple[float, float]:
        return self_pair_means(self.sample[: self.n], self.scale, distinct=True)

    @property
    def self_distance(self) -> float:  # type: ignore[override]  # computed on first use
        return self.self_means[0] * (self.n - 1) / self.n

    @property
    def self_kernel(self) -> float:  # type: ignore[override]  # as above
        return self.self_means[1]

    def ks(self, axis: int, x: np.ndarray) -> float:
        return float(ks_2samp(x, self.sample[:, axis], method="asymp").statistic)

    def cross_means(self, codes: np.ndarray) -> tuple[float, float]:
        return pair_means(codes, self.sample[: self.n], self.scale)


def normal_cells(d: int, std: float, cells: int) -> list[Cells]:
    """The rectangles between the `cells`-quantiles of N(0, std²) on each pair of axes."""
    if d == 1:
        return [Cells((0,), std * norm.ppf(np.arange(1, cells**2) / cells**2), np.empty((cells**2, 0)))]
    edges = std * norm.ppf(np.arange(1, cells) / cells)
    return [Cells((i, j), edges, np.tile(edges, (cells, 1))) for i in range(d) for j in range(i + 1, d)]


def sampled_cells(sample: np.ndarray, cells: int) -> list[Cells]:
    """Cells with equal parts of `sample` [m, d]: rows between the quantiles of one axis, each cut into columns at the
    quantiles of the other axis in that row, because the axes of a prior need not be independent."""
    d = sample.shape[1]
    if d == 1:
        return [Cells((0,), edges_between(np.sort(sample[:, 0]), cells**2), np.empty((cells**2, 0)))]
    found = []
    for i in range(d):
        order = np.argsort(sample[:, i], kind="stable")
        rows = np.array_split(sample[order], cells)
        for j in range(i + 1, d):
            second = np.stack([edges_between(np.sort(row[:, j]), cells) for row in rows])
            found.append(Cells((i, j), edges_between(sample[order, i], cells), second))
    return found


def edges_between(ordered: np.ndarray, parts: int) -> np.ndarray:
    """The values [parts - 1] midway between equal parts of `ordered` [m]."""
    ends = np.cumsum([len(part) for part in np.array_split(ordered, parts)])[:-1]
    return (ordered[ends - 1] + ordered[ends]) / 2


def directions(d: int, k: int) -> np.ndarray:
    """Unit vectors [k, d], always the same: equal angles over a half circle for d = 2, random beyond."""
    if d == 1:
        return np.ones((1, 1))
    if d == 2:
        angles = (np.arange(k) + 0.5) * np.pi / k
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    vectors = evaluation_sample(NormalPrior(d), k, 0, DIRECTIONS)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def training_sample(images: int, n: int) -> np.ndarray:
    """The indices of the `n` training images that are measured like n test images, int64 [n] in ascending order.

    They are drawn without replacement, the same for every run: the images with the smallest random numbers. `images` is
    the number of training images.
    """
    numbers = evaluation_sample(UniformPrior(1), images, 0, TRAIN_SAMPLE)[:, 0]
    return np.sort(np.argsort(numbers, kind="stable")[:n])
