"""The metrics against closed forms, and against shifts and scales whose effect is known."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm

from aae.errors import InputError
from aae.metrics import (
    cell_metrics,
    code_metrics,
    directions,
    flatten,
    model_metrics,
    prior_sample_metrics,
    reconstruction_metrics,
    sliced_wasserstein,
)
from aae.models import build_model
from aae.ops import sample_prior
from aae.priors import NormalPrior

MEASURES = {"std": 1.0, "cells": 20, "projections": 128}
N = 10_000


@pytest.fixture(scope="module")
def exact():
    """Samples of N(0, I) [N, 2]: codes that are the prior's."""
    return sample_prior(NormalPrior(2), N, seed=3, step=0).double().numpy()


# --- sliced Wasserstein distance ------------------------------------------------------------------


def test_one_dimension_agrees_with_quadrature():
    x = np.array([-1.7, 0.2, 0.3, 2.5, 0.9])
    squared = sum(
        quad(lambda u, value=value: (value - 0.5 * norm.ppf(u)) ** 2, i / 5, (i + 1) / 5, epsabs=1e-12)[0]
        for i, value in enumerate(np.sort(x))
    )
    assert sliced_wasserstein(x[:, None], 0.5, directions(1, 9)) == pytest.approx(math.sqrt(squared), rel=1e-7)


def test_a_single_point():
    """All mass at c: along u the distance is sqrt((c u)² + std²), and (c u)² is |c|²/2 on average."""
    codes = np.tile([3.0, 4.0], (50, 1))
    expected = math.sqrt(25 / 2 + 2**2)
    assert sliced_wasserstein(codes, 2.0, directions(2, 128)) == pytest.approx(expected, rel=1e-12)


def test_the_shift_of_the_mean(exact):
    """W2² of x + t exceeds that of x by 2 t mean(x) + t²: the mean over the directions is known exactly."""
    measured = code_metrics(exact + np.array([0.1, 0]), **MEASURES)["sliced_wasserstein"]
    before = code_metrics(exact, **MEASURES)["sliced_wasserstein"]
    expected = math.sqrt(before**2 + 0.1 * exact[:, 0].mean() + 0.1**2 / 2)
    assert measured == pytest.approx(expected, rel=1e-9)
    assert measured > 0.06


def test_a_scale_error(exact):
    """N(0, 1.05² I) is 0.05 away in every direction, and samples of it lie 1.05 `before` from it at most."""
    before = code_metrics(exact, **MEASURES)["sliced_wasserstein"]
    measured = code_metrics(1.05 * exact, **MEASURES)["sliced_wasserstein"]
    assert measured == pytest.approx(0.05, abs=1.05 * before)
    assert measured > 2 * before


@pytest.mark.parametrize("d", [1, 2, 3, 7])
def test_directions(d):
    u = directions(d, 64)
    assert np.linalg.norm(u, axis=1) == pytest.approx(1)
    assert np.array_equal(u, directions(d, 64))
    if d > 1:
        assert u.shape == (64, d)
        # For uniform directions a component's mean square is 1/d, with variance 2 (d - 1) / (d² (d + 2)).
        assert (u**2).mean(axis=0) == pytest.approx(1 / d, abs=5 * math.sqrt(2 * (d - 1) / (d * d * (d + 2)) / 64))


# --- cells ----------------------------------------------------------------------------------------


def middles(cells):
    """The points between the prior's quantiles, one in each cell of an axis."""
    return norm.ppf((np.arange(cells) + 0.5) / cells)


def test_one_code_in_each_cell():
    grid = np.stack(np.meshgrid(middles(20), middles(20)), axis=-1).reshape(-1, 2)
    assert cell_metrics(3 * grid, 3.0, 20) == {"empty_cells": 0, "chi2_per_dof": 0}
    assert cell_metrics(middles(400)[:, None], 1.0, 20) == {"empty_cells": 0, "chi2_per_dof": 0}


def test_all_codes_in_one_cell():
    """Chi² is then n (cells² - 1), also where the normal distribution function rounds to 1."""
    for place in (0.01, -1e9, 1e9):
        assert cell_metrics(np.full((50, 2), place), 1.0, 20) == pytest.approx(
            {"empty_cells": 399 / 400, "chi2_per_dof": 50}
        )


def test_pairs_of_axes_are_averaged():
    codes = sample_prior(NormalPrior(3), 500, seed=0, step=0).double().numpy() * [1, 1.5, 0.4]
    pairs = [cell_metrics(codes[:, axes], 1.0, 6) for axes in ([0, 1], [0, 2], [1, 2])]
    for key, value in cell_metrics(codes, 1.0, 6).items():
        assert value == pytest.approx(np.mean([pair[key] for pair in pairs]))


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (0.1, 1.0), (0.0, 1.05), (0.0, 0.8)])
def test_chi2_grows_as_the_cells_probabilities_say(exact, shift, scale):
    """E chi² = Σ (n p_i (1 - p_i) + n² (p_i - p)²) / (n p), its variance about 2 dof + 4 λ, noncentral."""
    edges = norm.ppf(np.arange(21) / 20)
    p0 = np.diff(norm.cdf((edges - shift) / scale))
    p1 = np.diff(norm.cdf(edges / scale))
    p = np.outer(p0, p1)
    noncentrality = N * ((p - 1 / 400) ** 2 * 400).sum()
    mean = (p * (1 - p) * 400).sum() + noncentrality
    measured = cell_metrics(exact * scale + [shift, 0], 1.0, 20)["chi2_per_dof"] * 399
    assert measured == pytest.approx(mean, abs=5 * math.sqrt(2 * 399 + 4 * noncentrality))


# --- axes -----------------------------------------------------------------------------------------


def test_axes(exact):
    codes = exact * [2, 1] + [0, 0.5]
    metrics = code_metrics(codes, **MEASURES)
    for j in (0, 1):
        assert metrics[f"axis_{j}"]["mean"] == pytest.approx(codes[:, j].sum() / N)
        assert metrics[f"axis_{j}"]["std"] ** 2 == pytest.approx((codes[:, j] ** 2).mean() - codes[:, j].mean() ** 2)
    assert metrics["ks_max"] == max(metrics["axis_0"]["ks"], metrics["axis_1"]["ks"])


def test_kolmogorov_smirnov_of_a_shift_and_a_scale(exact):
    """It differs from that of the distributions themselves by at most the samples' own statistic."""
    x = np.linspace(-5, 5, 100_001)
    own = code_metrics(exact, **MEASURES)["axis_0"]["ks"]
    for shift, scale in [(0.1, 1), (0, 1.05)]:
        expected = np.abs(norm.cdf(x) - norm.cdf((x - shift) / scale)).max()
        measured = code_metrics(exact * scale + shift, **MEASURES)["axis_0"]["ks"]
        assert measured == pytest.approx(expected, abs=own + 1e-6)
    assert 2 * norm.cdf(0.05) - 1 > 2 * own, "the shift's own 0.04 must stand out of the noise"


def test_the_unit_of_the_code_does_not_matter(exact):
    codes = exact * [1.2, 0.7]
    small, large = code_metrics(codes, **MEASURES), code_metrics(5 * codes, **(MEASURES | {"std": 5.0}))
    assert large["sliced_wasserstein"] == pytest.approx(5 * small["sliced_wasserstein"])
    assert large["chi2_per_dof"] == pytest.approx(small["chi2_per_dof"], rel=0.01)
    assert large["ks_max"] == pytest.approx(small["ks_max"])


@pytest.mark.parametrize("d", [1, 2, 5])
def test_samples_of_the_prior(d):
    """What the measures are at best: each within what chance allows at one in a million or so."""
    metrics = prior_sample_metrics(N, d, seed=0, std=2.0, cells=20, projections=128)
    assert metrics["chi2_per_dof"] == pytest.approx(1, abs=5 * math.sqrt(2 / 399))
    assert metrics["ks_max"] < 2.7 / math.sqrt(N)
    assert metrics["sliced_wasserstein"] < 2 * 0.05
    assert metrics["empty_cells"] == 0
    assert len([key for key in metrics if key.startswith("axis_")]) == d
    assert prior_sample_metrics(N, d, seed=1, std=2.0, cells=20, projections=128) != metrics


def test_codes_that_are_not_finite(exact):
    codes = exact.copy()
    codes[3, 0], codes[7, 1] = np.nan, np.inf
    with pytest.raises(InputError, match="2 of 10000 codes are not finite: the training diverged"):
        code_metrics(codes, **MEASURES)


# --- reconstruction and models --------------------------------------------------------------------


def test_reconstruction_of_an_undecided_decoder():
    images = torch.tensor([[0.0, 1.0, 0.5], [0.25, 0.0, 0.0]])
    metrics = reconstruction_metrics(torch.zeros(2, 3), images)
    assert metrics["nats"] == pytest.approx(3 * math.log(2))
    assert metrics["mse"] == pytest.approx((4 * 0.25 + 0.0625) / 6)


def test_reconstruction_of_known_logits():
    logits, images = torch.tensor([[2.0, -1.0]]), torch.tensor([[1.0, 0.25]])
    p, q = 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(1))
    metrics = reconstruction_metrics(logits, images)
    assert metrics["nats"] == pytest.approx(-math.log(p) - 0.25 * math.log(q) - 0.75 * math.log(1 - q), rel=1e-6)
    assert metrics["mse"] == pytest.approx(((1 - p) ** 2 + (0.25 - q) ** 2) / 2, rel=1e-6)


def test_a_decoder_that_is_not_finite():
    with pytest.raises(InputError, match="the decoder's output is not finite"):
        reconstruction_metrics(torch.tensor([[math.nan]]), torch.tensor([[0.5]]))


def small_model(name):
    widths = {"encoder_widths": [8], "decoder_widths": [8]}
    widths |= {"discriminator_widths": [8]} if name == "aae" else {}
    return build_model(name, 0, pixels=6, code_size=2, **widths).requires_grad_(False)


IMAGES = torch.linspace(0, 1, 6 * N).reshape(N, 6)


def test_an_aae_has_one_kind_of_codes():
    metrics = model_metrics(small_model("aae"), IMAGES, seed=0, **MEASURES)
    assert list(metrics) == ["reconstruction", "codes"]


def test_a_vae_that_ignores_its_input():
    """q(z|x) = N(0, I) for every x: the means are all one point, the samples are the prior's."""
    vae = small_model("vae")
    for parameter in vae.encoder.parameters():
        parameter.zero_()
    metrics = model_metrics(vae, IMAGES, seed=0, **MEASURES)
    assert list(metrics) == ["reconstruction", "codes", "reconstruction_sampled", "codes_sampled"]
    assert metrics["codes"]["sliced_wasserstein"] == pytest.approx(1)
    assert metrics["codes"]["chi2_per_dof"] == pytest.approx(N)
    assert metrics["codes_sampled"]["chi2_per_dof"] == pytest.approx(1, abs=5 * math.sqrt(2 / 399))
    other_seed = model_metrics(vae, IMAGES, seed=1, **MEASURES)
    assert other_seed["codes_sampled"] != metrics["codes_sampled"]
    assert model_metrics(vae, IMAGES, seed=0, **MEASURES) == metrics


def test_a_vae_with_one_posterior():
    """q(z|x) = N((1, -2), 3² I) for every x, and so q(z); means and deviations of N samples to five sigma."""
    vae = small_model("vae")
    for parameter in vae.encoder.parameters():
        parameter.zero_()
    vae.encoder[-1].bias.copy_(torch.tensor([1.0, -2.0, math.log(9), math.log(9)]))
    codes = model_metrics(vae, IMAGES, seed=0, **MEASURES)["codes_sampled"]
    for axis, mean in (("axis_0", 1), ("axis_1", -2)):
        assert codes[axis]["mean"] == pytest.approx(mean, abs=5 * 3 / math.sqrt(N))
        assert codes[axis]["std"] == pytest.approx(3, abs=5 * 3 / math.sqrt(2 * N))


def test_a_vae_that_is_certain():
    """Log-variances of -60: the samples are the means, and so are their reconstructions."""
    vae = small_model("vae")
    vae.encoder[-1].weight[2:] = 0
    vae.encoder[-1].bias[2:] = -60
    metrics = model_metrics(vae, IMAGES, seed=0, **MEASURES)
    for part in ("reconstruction", "codes"):
        assert flatten(metrics[f"{part}_sampled"]) == pytest.approx(flatten(metrics[part]), rel=1e-6)


def test_flatten():
    nested = {"epoch": 3, "codes": {"ks_max": 0.5, "axis_0": {"ks": 0.25}}}
    assert flatten(nested) == {"epoch": 3, "codes.ks_max": 0.5, "codes.axis_0.ks": 0.25}
