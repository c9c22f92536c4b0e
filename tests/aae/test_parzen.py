"""The Parzen window estimate against known answers and against a direct computation."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from aae.ops import Stream, sample_prior
from aae.parzen import GOODFELLOW_SIGMAS, log_density, parzen_likelihood
from aae.priors import NormalPrior


def normal(n: int, d: int, std: float = 1.0, step: int = 0) -> torch.Tensor:
    return sample_prior(NormalPrior(d, std), n, seed=0, step=step, stream=Stream.SAMPLE)


def test_a_single_sample_is_one_gaussian():
    points, centre = normal(50, 7), torch.full((1, 7), 0.25)
    found = log_density(points, [centre], [0.5, 2.0])
    for row, sigma in zip(found, (0.5, 2.0), strict=True):
        expected = norm.logpdf(points.double(), 0.25, sigma).sum(axis=1)
        np.testing.assert_allclose(row, expected, rtol=1e-5)


def test_it_is_the_direct_computation_however_the_samples_are_divided():
    points, samples = normal(40, 20), normal(5_000, 20, step=1)
    distances = torch.cdist(points.double(), samples.double(), compute_mode="donot_use_mm_for_euclid_dist") ** 2
    for blocks in ([samples], samples.split(7), [samples[:1], samples[1:4_001], samples[4_001:], samples[:0]]):
        found = log_density(points, blocks, [0.1, 1.0])
        for row, sigma in zip(found, (0.1, 1.0), strict=True):
            direct = torch.logsumexp(-distances / (2 * sigma**2), dim=1) - math.log(len(samples))
            np.testing.assert_allclose(row, direct - 10 * math.log(2 * math.pi * sigma**2), rtol=1e-4)


def test_many_samples_of_a_normal_give_its_density():
    """Samples of N(0, s²) under kernels of width w estimate N(0, s² + w²). The error of the mean of k kernel values is
    that of a Monte Carlo estimate; five times its largest value over these points is the tolerance."""
    points, samples = torch.linspace(-2, 2, 9)[:, None], normal(200_000, 1, std=0.75)
    found = log_density(points, samples.split(30_000), [1.0])[0]
    kernels = norm.pdf(points.numpy(), samples[:2000].T.numpy(), 1.0)
    tolerance = 5 * (kernels.std(axis=1) / kernels.mean(axis=1)).max() / math.sqrt(len(samples))
    np.testing.assert_allclose(found, norm.logpdf(points[:, 0], 0, 1.25), atol=tolerance)


def test_far_points_underflow_nothing():
    found = log_density(torch.full((1, 784), 1.0), [torch.zeros(3, 784)], [0.1])
    assert found.item() == pytest.approx(-784 / 0.02 - 784 * math.log(0.1 * math.sqrt(2 * math.pi)), rel=1e-6)


def test_the_width_is_chosen_on_the_validation_images_alone():
    samples = normal(2_000, 2)
    wide, narrow = normal(500, 2, std=2.0, step=1), samples[:500]
    for validation, expected in ((wide, max), (narrow, min)):
        found = parzen_likelihood(lambda: [samples], validation, wide, sigmas=[0.01, 1.0])
        assert found.sigma == expected(0.01, 1.0)
        density = log_density(wide, [samples], [found.sigma])[0]
        assert found.mean == pytest.approx(density.mean().item())
        assert found.standard_error == pytest.approx(density.std(correction=0).item() / math.sqrt(500))


def test_the_grid_is_the_published_one():
    assert [round(sigma, 4) for sigma in GOODFELLOW_SIGMAS[:3]] == [0.1, 0.1292, 0.1668]
    assert len(GOODFELLOW_SIGMAS) == 10
    assert GOODFELLOW_SIGMAS[-1] == 1


@pytest.mark.parametrize(("samples", "sigmas"), [([], [1.0]), ([torch.zeros(0, 3)], [1.0]), ([torch.zeros(1, 3)], [])])
def test_nothing_to_estimate_from_is_an_error(samples, sigmas):
    with pytest.raises(ValueError, match="must not be empty"):
        log_density(torch.zeros(2, 3), samples, sigmas)
