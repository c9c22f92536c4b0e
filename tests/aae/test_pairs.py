"""Sums over all pairs, for any number of rows, against plain arrays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aae.pairs import pair_means, self_pair_means

# Each coordinate below 16 has a rounding error of at most 2^-21. A difference has twice that, plus its own 2^-20. In
# four dimensions, the error of a distance is at most twice as much, 2^-18. The kernel has a slope below 1, so its error
# is smaller.
CLOSE = {"rel": 0, "abs": 2**-18}


def plain(x, y, scale):
    squared = ((x[:, None] - y[None]) ** 2).sum(axis=-1)
    return np.sqrt(squared), scale / (scale + squared)


@given(n=st.integers(1, 70), m=st.integers(1, 50), d=st.integers(1, 4), seed=st.integers(0, 99))
def test_pair_means(n, m, d, seed):
    random = np.random.default_rng(seed)
    x, y = random.normal(size=(n, d)), random.normal(1, 2, size=(m, d))
    distances, kernels = plain(x, y, 3.0)
    assert pair_means(x, y, 3.0) == pytest.approx((distances.mean(), kernels.mean()), **CLOSE)


@given(n=st.integers(2, 70), d=st.integers(1, 4), seed=st.integers(0, 99))
def test_self_pair_means(n, d, seed):
    x = np.random.default_rng(seed).normal(size=(n, d))
    distances, kernels = plain(x, x, 3.0)
    apart = ~np.eye(n, dtype=bool)
    assert self_pair_means(x, 3.0, distinct=False) == pytest.approx((distances.mean(), kernels.mean()), **CLOSE)
    expected = distances[apart].mean(), kernels[apart].mean()
    assert self_pair_means(x, 3.0, distinct=True) == pytest.approx(expected, **CLOSE)


def test_points_close_together_far_from_the_origin():
    """The sums use differences of coordinates, not of squares, so the distance 0.25 survives at 4096 in float32."""
    x = np.array([[4096.0, 0.0], [4096.25, 0.0]])
    assert self_pair_means(x, 1.0, distinct=True)[0] == 0.25
