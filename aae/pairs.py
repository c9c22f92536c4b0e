"""Means over all pairs of two sets of points: the O(n²) part of the energy distance and of MMD.

Both need the same distances, so one pass computes both. Distances are computed from differences of coordinates in
float32, a few rows at a time. Sums are in float64, in an order that does not depend on the machine's load.
"""

import numpy as np

# With one thread, 8 to 128 are equally fast. When several threads compute pairs, each step must be long enough for
# Python to switch between them.
ROWS = 64


def pair_means(x: np.ndarray, y: np.ndarray, scale: float) -> tuple[float, float]:
    """Means of |x - y| and of the kernel scale / (scale + |x - y|²) over all pairs of `x` [n, d] and `y` [m, d]."""
    distance, kernel = np.zeros(len(y)), np.zeros(len(y))
    x, y = x.astype(np.float32), y.T.astype(np.float32)
    buffers = np.empty((2, ROWS * y.shape[1]), np.float32)
    for start in range(0, len(x), ROWS):
        for total, values in zip(
            (distance, kernel), pair_values(x[start : start + ROWS], y, scale, buffers), strict=True
        ):
            total += values.sum(axis=0)
    pairs = len(x) * y.shape[1]
    return float(distance.sum()) / pairs, float(kernel.sum()) / pairs


def self_pair_means(x: np.ndarray, scale: float, *, distinct: bool) -> tuple[float, float]:
    """The same over all pairs of `x` [n, d] with itself; `distinct` excludes the pairs of a point with itself.

    Each pair of different points is computed once.
    """
    n = len(x)
    distance, kernel = np.zeros(n), np.zeros(n)
    rows, columns = x.astype(np.float32), x.T.astype(np.float32)
    buffers = np.empty((2, ROWS * n), np.float32)
    for start in range(0, n, ROWS):
        block = pair_values(rows[start : start + ROWS], columns[:, start:], scale, buffers)
        for total, values in zip((distance, kernel), block, strict=True):
            total[start:] += 2 * values.sum(axis=0)
            total[start : start + ROWS] -= values[:, :ROWS].sum(axis=0)
    diagonal, pairs = (n, n * (n - 1)) if distinct else (0, n * n)
    return float(distance.sum()) / pairs, float(kernel.sum() - diagonal) / pairs


def pair_values(x: np.ndarray, y: np.ndarray, scale: float, buffers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances and kernel values, float32 [rows, m] each, of `x` [rows, d] and `y` [d, m], stored in `buffers`."""
    shape = len(x), y.shape[1]
    squared, other = (buffer[: shape[0] * shape[1]].reshape(shape) for buffer in buffers)
    np.subtract(x[:, :1], y[0], out=squared)
    np.square(squared, out=squared)
    for j in range(1, len(y)):
        np.subtract(x[:, j : j + 1], y[j], out=other)
        np.square(other, out=other)
        np.add(squared, other, out=squared)
    np.add(squared, np.float32(scale), out=other)
    np.divide(np.float32(scale), other, out=other)
    return np.sqrt(squared, out=squared), other
