"""The targets that codes are compared with: the normal prior in closed form, other priors as samples."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import chi, ncx2, norm

from aae.ops import sample_prior
from aae.priors import MixturePrior, NormalPrior, SwissRollPrior, UniformPrior
from aae.targets import build_target, directions


@pytest.mark.parametrize("d", [1, 2, 3, 7])
def test_directions(d):
    u = directions(d, 64)
    assert np.linalg.norm(u, axis=1) == pytest.approx(1)
    assert np.array_equal(u, directions(d, 64))
    if d > 1:
        assert u.shape == (64, d)
        # For uniform directions, a component's mean square is 1/d, with variance 2 (d - 1) / (d² (d + 2)).
        assert (u**2).mean(axis=0) == pytest.approx(1 / d, abs=5 * math.sqrt(2 * (d - 1) / (d * d * (d + 2)) / 64))


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("far", [0.0, 0.3, 3.0, 40.0])
def test_means_over_the_normal_prior_agree_with_quadrature(d, far):
    """|x - z|² / std² is noncentral chi² with d degrees of freedom."""
    std = 1.5
    target = build_target(NormalPrior(d, std), 4, cells=2, projections=4)
    codes = np.zeros((1, d))
    codes[0, 0] = far * std
    reach = far + 10

    def mean(function):
        if far == 0:
            law = chi(d)
            return quad(lambda r: function(r * std) * law.pdf(r), 0, reach, epsabs=1e-12, limit=400)[0]
        law = ncx2(d, far**2)
        low = max(far - 10, 0)
        return quad(lambda r: function(r * std) * law.pdf(r * r) * 2 * r, low, reach, epsabs=1e-12, limit=400)[0]

    distance, kernel = target.cross_means(codes)
    scale = 2 * d * std**2
    assert target.scale == scale
    assert distance == pytest.approx(mean(lambda r: r), rel=1e-7)
    assert kernel == pytest.approx(mean(lambda r: scale / (scale + r * r)), abs=1e-8)


@pytest.mark.parametrize("d", [1, 2, 5])
def test_two_samples_of_the_normal_prior(d):
    """z - z' is normal with twice the variance."""
    target, law = build_target(NormalPrior(d, 1.5), 4, cells=2, projections=4), chi(d, scale=1.5 * math.sqrt(2))
    assert target.self_distance == pytest.approx(law.mean(), rel=1e-9)
    kernel = quad(lambda r: target.scale / (target.scale + r * r) * law.pdf(r), 0, 40, epsabs=1e-12, limit=400)[0]
    assert target.self_kernel == pytest.approx(kernel, abs=1e-8)


def test_slices_of_the_normal_prior():
    """The mean of N(0, std²) between its quartiles, from quadrature."""
    target = build_target(NormalPrior(1, 2.0), 4, cells=2, projections=1)
    edges = norm.ppf(np.arange(5) / 4)
    expected = [4 * quad(lambda t: 2 * t * norm.pdf(t), a, b)[0] for a, b in pairwise(edges)]
    assert target.slices[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    "prior", [UniformPrior(1), UniformPrior(2), UniformPrior(3), MixturePrior(), SwissRollPrior()], ids=str
)
def test_cells_of_a_sampled_prior_are_equally_probable(prior):
    """Samples other than those that define the cells fall evenly into them."""
    target = build_target(prior, 500, cells=6, projections=3)
    sample = sample_prior(prior, 20_000, seed=5, step=0).double().numpy()
    pairs = 1 if prior.dim < 3 else 3
    assert len(target.cells) == pairs
    for cells in target.cells:
        counts = cells.counts(sample)
        assert counts.shape == (36,)
        assert counts.sum() == 20_000
        # 50,000 rows define the cells, so a count varies by its own 1 / 20,000 and by the cells' 1 / 50,000.
        deviation = math.sqrt(20_000 / 36 * (1 + 20_000 / 50_000))
        assert np.abs(counts - 20_000 / 36).max() < 5 * deviation


def test_a_target_is_the_same_each_time():
    first, second = (build_target(MixturePrior(), 50, cells=4, projections=4) for _ in range(2))
    assert np.array_equal(first.slices, second.slices)
    assert np.array_equal(first.sample, second.sample)
