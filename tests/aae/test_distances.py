"""Every distance against closed forms, and its response to shifts and scales of known effect."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import chi2, norm, rice

from aae.distances import (
    cell_metrics,
    code_metrics,
    correlation,
    mardia,
    match_metrics,
    moments,
    pair_metrics,
    sliced_wasserstein,
)
from aae.ops import sample_prior
from aae.pairs import self_pair_means
from aae.priors import MixturePrior, NormalPrior, SwissRollPrior, UniformPrior
from aae.targets import build_target

N = 4000
SETTINGS = {"cells": 20, "projections": 128}
TARGET = build_target(NormalPrior(2), N, **SETTINGS)
SHIFT, SCALE = np.array([0.1, 0.0]), 1.05
OTHER_PRIORS = [UniformPrior(1, 2.0), UniformPrior(2), UniformPrior(3), MixturePrior(), SwissRollPrior()]


def normal_target(n: int, d: int = 2, std: float = 1.0):
    return build_target(NormalPrior(d, std), n, **SETTINGS)


@pytest.fixture(scope="module")
def exact():
    """Samples of N(0, I) [N, 2]: codes distributed exactly like the prior."""
    return sample_prior(NormalPrior(2), N, seed=3, step=0).double().numpy()


@pytest.fixture(scope="module")
def before(exact):
    return code_metrics(exact, TARGET)


# --- sliced Wasserstein distance ------------------------------------------------------------------


def test_one_dimension_agrees_with_quadrature():
    x = np.array([-1.7, 0.2, 0.3, 2.5, 0.9])
    squared = sum(
        quad(lambda u, value=value: (value - 0.5 * norm.ppf(u)) ** 2, i / 5, (i + 1) / 5, epsabs=1e-12)[0]
        for i, value in enumerate(np.sort(x))
    )
    raw, centred = sliced_wasserstein(x[:, None], normal_target(5, d=1, std=0.5))
    assert raw == pytest.approx(math.sqrt(squared), rel=1e-7)
    assert centred == pytest.approx(math.sqrt(squared - x.mean() ** 2), rel=1e-7)


def test_a_single_point():
    """All mass is at c. The distance along u is sqrt((c u)² + std²), and the mean of (c u)² is |c|²/2."""
    raw, centred = sliced_wasserstein(np.tile([3.0, 4.0], (50, 1)), normal_target(50, std=2.0))
    assert raw == pytest.approx(math.sqrt(25 / 2 + 2**2), rel=1e-12)
    assert centred == pytest.approx(2, rel=1e-12)


def test_a_shift_of_the_mean_moves_the_raw_distance_alone(exact, before):
    """W2² of x + t exceeds that of x by 2 t mean(x) + t². The mean over the directions is known exactly."""
    raw, centred = sliced_wasserstein(exact + SHIFT, TARGET)
    expected = math.sqrt(before["sliced_wasserstein"] ** 2 + 0.1 * exact[:, 0].mean() + 0.1**2 / 2)
    assert raw == pytest.approx(expected, rel=1e-9)
    assert raw > 2 * before["sliced_wasserstein"]
    assert centred == pytest.approx(before["sliced_wasserstein_centred"], rel=1e-6)


def test_a_scale_error(exact, before):
    """N(0, 1.05² I) is 0.05 away in every direction, and its samples are at most 1.05 `before` away from it."""
    for key, measured in zip(
        ("sliced_wasserstein", "sliced_wasserstein_centred"), sliced_wasserstein(SCALE * exact, TARGET), strict=True
    ):
        assert measured == pytest.approx(0.05, abs=1.05 * before[key])
        assert measured > 1.5 * before[key]


def test_against_a_sampled_prior_it_is_the_distance_of_the_two_samples():
    """On a line, the sorted samples are matched in order. Each code is matched ten times."""
    target = build_target(UniformPrior(1, 2.0), 30, cells=3, projections=1)
    x = np.linspace(-1, 5, 30)[::-1, None] ** 3
    distance = np.repeat(np.sort(x[:, 0]), 10) - np.sort(target.sample[:, 0])
    raw, centred = sliced_wasserstein(x, target)
    assert raw == pytest.approx(math.sqrt((distance**2).mean()))
    assert centred == pytest.approx(distance.std())


# --- cells ----------------------------------------------------------------------------------------


def middles(cells):
    """The probability midpoint of each cell of an axis."""
    return norm.ppf((np.arange(cells) + 0.5) / cells)


def test_one_code_in_each_cell():
    grid = np.stack(np.meshgrid(middles(20), middles(20)), axis=-1).reshape(-1, 2)
    assert cell_metrics(3 * grid, normal_target(400, std=3.0)) == {"empty_cells": 0, "chi2_per_dof": 0}
    assert cell_metrics(middles(400)[:, None], normal_target(400, d=1)) == {"empty_cells": 0, "chi2_per_dof": 0}


def test_all_codes_in_one_cell():
    """Chi² is then n (cells² - 1), also for codes far outside."""
    for place in (0.01, -1e9, 1e9):
        expected = {"empty_cells": 399 / 400, "chi2_per_dof": 50}
        assert cell_metrics(np.full((50, 2), place), normal_target(50)) == pytest.approx(expected)


def test_pairs_of_axes_are_averaged():
    codes = sample_prior(NormalPrior(3), 500, seed=0, step=0).double().numpy() * [1, 1.5, 0.4]
    pairs = [cell_metrics(codes[:, axes], normal_target(500)) for axes in ([0, 1], [0, 2], [1, 2])]
    for key, value in cell_metrics(codes, normal_target(500, d=3)).items():
        assert value == pytest.approx(np.mean([pair[key] for pair in pairs]))


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (0.1, 1.0), (0.0, 1.05), (0.0, 0.8)])
def test_chi2_grows_as_the_cells_probabilities_say(exact, shift, scale):
    """E chi² = Σ (n p_i (1 - p_i) + n² (p_i - p)²) / (n p). Its noncentral variance is about 2 dof + 4 λ."""
    edges = norm.ppf(np.arange(21) / 20)
    p0 = np.diff(norm.cdf((edges - shift) / scale))
    p1 = np.diff(norm.cdf(edges / scale))
    p = np.outer(p0, p1)
    noncentrality = N * ((p - 1 / 400) ** 2 * 400).sum()
    mean = (p * (1 - p) * 400).sum() + noncentrality
    measured = cell_metrics(exact * scale + [shift, 0], TARGET)["chi2_per_dof"] * 399
    assert measured == pytest.approx(mean, abs=5 * math.sqrt(2 * 399 + 4 * noncentrality))


# --- Kolmogorov-Smirnov, moments, correlation -----------------------------------------------------


def test_kolmogorov_smirnov_of_a_shift_and_a_scale(exact, before):
    """It differs from the distance of the distributions by at most the samples' own statistic."""
    x = np.linspace(-5, 5, 100_001)
    own = before["axis_0"]["ks"]
    for shift, scale in [(0.1, 1), (0, SCALE)]:
        expected = np.abs(norm.cdf(x) - norm.cdf((x - shift) / scale)).max()
        assert TARGET.ks(0, exact[:, 0] * scale + shift) == pytest.approx(expected, abs=own + 1e-6)
    assert 2 * norm.cdf(0.05) - 1 > 2 * own, "the shift's 0.04 must be well above the noise"


def test_axes(exact):
    codes = exact * [2, 1] + [0, 0.5]
    metrics = code_metrics(codes, TARGET)
    for j in (0, 1):
        axis = metrics[f"axis_{j}"]
        assert axis["mean"] == pytest.approx(codes[:, j].sum() / N)
        assert axis["std"] ** 2 == pytest.approx((codes[:, j] ** 2).mean() - codes[:, j].mean() ** 2)
        assert axis["ks"] == TARGET.ks(j, codes[:, j])
    assert metrics["ks_max"] == max(metrics["axis_0"]["ks"], metrics["axis_1"]["ks"])


def test_moments_of_a_coin():
    """p = 1/4: skewness (1 - 2p) / sqrt(p (1-p)), excess kurtosis (1 - 6 p (1-p)) / (p (1-p))."""
    x = np.array([0.0, 0, 0, 1] * 5)
    expected = {"mean": 1 / 4, "std": math.sqrt(3 / 16), "skewness": 2 / math.sqrt(3), "excess_kurtosis": -2 / 3}
    assert moments(x) == pytest.approx(expected)


def test_what_is_not_defined_is_none():
    """All codes are the same, as in a VAE that ignores its input."""
    metrics = code_metrics(np.full((50, 2), 0.3), normal_target(50))
    for key in ("mardia_skewness", "mardia_kurtosis", "correlation"):
        assert metrics[key] is None
    assert metrics["axis_0"]["skewness"] is None
    assert correlation(np.arange(5.0)[:, None]) is None


def test_the_correlation_is_that_of_the_closest_pair():
    x, y = np.tile([-1.0, 1, -1, 1], 9), np.repeat([-1.0, 1], 18)
    assert correlation(np.stack([x, y], axis=1)) == pytest.approx(0)
    assert correlation(np.stack([x, y, -0.6 * x + 0.8 * y], axis=1)) == pytest.approx(0.8)
    assert correlation(np.stack([x, y, -0.8 * x + 0.6 * y], axis=1)) == pytest.approx(-0.8)


# --- Mardia ---------------------------------------------------------------------------------------


def test_mardia_by_its_definition():
    x = sample_prior(SwissRollPrior(), 60, seed=1, step=0).double().numpy()
    y = (x - x.mean(axis=0)) @ np.linalg.inv(np.cov(x, rowvar=False, bias=True)) @ (x - x.mean(axis=0)).T
    assert mardia(x) == pytest.approx(
        {"mardia_skewness": (y**3).mean(), "mardia_kurtosis": (np.diag(y) ** 2).mean()}, rel=1e-9
    )


def test_mardia_of_normal_samples(exact):
    """n b1 / 6 is chi² with d (d+1) (d+2) / 6 = 4 degrees of freedom; b2 is normal, mean 8, variance 8 d (d+2) / n."""
    measured = mardia(exact)
    assert N * measured["mardia_skewness"] / 6 < chi2(4).isf(1e-6)
    assert measured["mardia_kurtosis"] == pytest.approx(8, abs=5 * math.sqrt(64 / N))


# --- energy distance and MMD ----------------------------------------------------------------------


def pair_moments(distance: float, variance: float = 2.0) -> tuple[float, float]:
    """E|w| and E k(w) for w ~ N(m, variance I) in two dimensions, |m| = `distance`; k = 4 / (4 + |w|²)."""
    law = rice(distance / math.sqrt(variance), scale=math.sqrt(variance))
    reach = distance + 12 * math.sqrt(variance)
    return law.mean(), quad(lambda r: 4 / (4 + r * r) * law.pdf(r), 0, reach, epsabs=1e-12, limit=200)[0]


def biased_mmd2(codes, mmd2):
    """MMD² including each code's pair with itself. It is a squared distance, so the triangle inequality holds."""
    _, own = self_pair_means(codes, 4.0, distinct=True)
    return mmd2 + (1 - own) / len(codes)


@pytest.mark.parametrize("change", ["shift", "scale"])
def test_energy_distance_and_mmd_of_a_shift_and_a_scale(exact, before, change):
    """Both are squared distances in a Hilbert space. The sample's distance from its law therefore bounds the error."""
    (same_distance, same_kernel) = pair_moments(0.0)
    if change == "shift":
        codes, own_error = exact + SHIFT, 1.0
        (own_distance, own_kernel), (cross_distance, cross_kernel) = (same_distance, same_kernel), pair_moments(0.1)
    else:
        codes, own_error = SCALE * exact, SCALE
        (own_distance, own_kernel) = pair_moments(0.0, 2 * SCALE**2)
        (cross_distance, cross_kernel) = pair_moments(0.0, 1 + SCALE**2)
    energy = 2 * cross_distance - own_distance - same_distance
    measured = pair_metrics(codes, TARGET)
    bound = math.sqrt(own_error * before["energy_distance"])
    assert math.sqrt(measured["energy_distance"]) == pytest.approx(math.sqrt(energy), abs=bound)
    assert measured["energy_distance"] > 2 * before["energy_distance"]

    mmd2 = own_kernel + same_kernel - 2 * cross_kernel
    bound = math.sqrt(biased_mmd2(exact, before["mmd2"]))  # under a wider kernel, a wider cloud is not further away
    assert math.sqrt(biased_mmd2(codes, measured["mmd2"])) == pytest.approx(math.sqrt(mmd2), abs=1.05 * bound)
    assert measured["mmd2"] > 2 * abs(before["mmd2"])


def test_a_shift_moves_the_energy_distance_by_its_potential(exact, before):
    """The codes' distances from each other stay. Only 2 E|x - z| changes; for each code it is a Rice law's mean."""
    change = rice(np.linalg.norm(exact + SHIFT, axis=1)).mean() - rice(np.linalg.norm(exact, axis=1)).mean()
    measured = pair_metrics(exact + SHIFT, TARGET)["energy_distance"] - before["energy_distance"]
    # Sums of N² float32 distances. Each has an error of up to 1e-7, in the worst case all of the same sign.
    assert measured == pytest.approx(2 * change.mean(), abs=4e-7)


def test_mmd_by_its_definition():
    """Compared with a sampled prior, with all pairs in a plain array."""
    target = build_target(MixturePrior(3), 40, cells=3, projections=4)
    x = sample_prior(SwissRollPrior(), 40, seed=1, step=0).double().numpy()
    z = target.sample[:40]

    def kernels(a, b):
        return target.scale / (target.scale + np.linalg.norm(a[:, None] - b[None], axis=-1) ** 2)

    def distinct(values):
        return (values.sum() - np.trace(values)) / (40 * 39)

    expected = distinct(kernels(x, x)) + distinct(kernels(z, z)) - 2 * kernels(x, z).mean()
    assert pair_metrics(x, target)["mmd2"] == pytest.approx(expected, rel=1e-5)


def energy_on_a_line(x: np.ndarray, z: np.ndarray) -> float:
    """The energy distance of two samples on a line: twice the integral of the squared difference of their distribution
    functions, which are step functions (Székely & Rizzo 2013, section 2). It uses no distances of pairs."""
    points = np.sort(np.concatenate([x, z]))
    difference = np.searchsorted(np.sort(x), points, side="right") / len(x)
    difference -= np.searchsorted(np.sort(z), points, side="right") / len(z)
    return float(2 * (difference[:-1] ** 2 * np.diff(points)).sum())


def energy_in_a_plane(x: np.ndarray, z: np.ndarray, directions: int = 2000) -> float:
    """The energy distance of two samples in a plane: |w| is pi/2 times the mean of |u w| over all directions u."""
    angles = (np.arange(directions) + 0.5) * np.pi / directions
    lines = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.pi / 2 * float(np.mean([energy_on_a_line(x @ u, z @ u) for u in lines]))


@pytest.mark.parametrize("n", [2, 30, 200])
def test_energy_distance_on_a_line_by_distribution_functions(n):
    target = build_target(UniformPrior(1), n, cells=3, projections=4)
    x = sample_prior(NormalPrior(1), n, seed=1, step=0).double().numpy()
    expected = energy_on_a_line(x[:, 0], target.sample[:n, 0])
    assert pair_metrics(x, target)["energy_distance"] == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_energy_distance_in_a_plane_by_distribution_functions():
    target = build_target(MixturePrior(3), 40, cells=3, projections=4)
    x = sample_prior(SwissRollPrior(), 40, seed=1, step=0).double().numpy()
    expected = energy_in_a_plane(x, target.sample[:40])
    # The mean over 2000 directions of a function that is smooth except for kinks is good to a few parts in a million.
    assert pair_metrics(x, target)["energy_distance"] == pytest.approx(expected, rel=1e-4)


def test_energy_distance_from_the_normal_prior_by_distribution_functions():
    x = np.sort(sample_prior(UniformPrior(1), 50, seed=1, step=0).double().numpy()[:, 0])

    def squared_difference(t):
        return (np.searchsorted(x, t, side="right") / 50 - ndtr(t)) ** 2

    ends = [-40, *x, 40]
    parts = [quad(squared_difference, a, b, epsabs=1e-12)[0] for a, b in pairwise(ends)]
    measured = pair_metrics(x[:, None], build_target(NormalPrior(1), 50, cells=3, projections=1))["energy_distance"]
    assert measured == pytest.approx(2 * sum(parts), rel=1e-5)


@given(
    prior=st.sampled_from([UniformPrior(2), MixturePrior(3), SwissRollPrior()]), n=st.integers(2, 30), data=st.data()
)
def test_energy_distance_is_never_negative(prior, n, data):
    """Not even for codes that equal the samples that represent the prior."""
    target = build_target(prior, n, cells=2, projections=2)
    codes = target.sample[:n] if data.draw(st.booleans()) else cloud(data.draw(st.integers(0, 2**32)), n)
    # Sums of n² float32 distances below 10. Each has an error of up to 1e-6.
    assert pair_metrics(codes, target)["energy_distance"] >= -4e-6


# --- invariances ----------------------------------------------------------------------------------


def cloud(seed: int, n: int) -> np.ndarray:
    """Codes unlike the prior: a skewed, shifted, stretched sample."""
    x = sample_prior(NormalPrior(2), n, seed=seed, step=1).double().numpy()
    return np.stack([x[:, 0] ** 2 - 0.5, 0.3 * x[:, 0] + x[:, 1]], axis=1)


@given(seed=st.integers(0, 2**32), n=st.integers(3, 60))
def test_the_order_of_the_codes_does_not_matter(seed, n):
    codes = cloud(seed, n)
    shuffled = codes[np.random.default_rng(seed).permutation(n)]
    target = normal_target(n)
    first, second = match_metrics(codes, target), match_metrics(shuffled, target)
    assert first == pytest.approx(second, rel=1e-9)
    assert mardia(codes) == pytest.approx(mardia(shuffled), rel=1e-6)
    assert pair_metrics(codes, target) == pytest.approx(pair_metrics(shuffled, target), abs=1e-6)


@given(seed=st.integers(0, 2**32), n=st.integers(4, 60), angle=st.floats(0, 7))
def test_rotations_do_not_matter(seed, n, angle):
    codes, target = cloud(seed, n), normal_target(n)

    def rotated(angle):
        return codes @ np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])

    assert mardia(codes) == pytest.approx(mardia(rotated(angle)), rel=1e-6)
    assert pair_metrics(codes, target) == pytest.approx(pair_metrics(rotated(angle), target), abs=1e-5)
    onto_directions = round(angle * 128 / math.pi) * math.pi / 128
    assert sliced_wasserstein(codes, target) == pytest.approx(
        sliced_wasserstein(rotated(onto_directions), target), rel=1e-6
    )


@given(
    seed=st.integers(0, 2**32),
    diagonal=st.lists(st.floats(0.2, 5), min_size=2, max_size=2),
    shear=st.floats(-3, 3),
    shift=st.floats(-10, 10),
)
def test_mardia_does_not_know_linear_maps(seed, diagonal, shear, shift):
    codes = cloud(seed, 40)
    mapped = codes @ (np.diag(diagonal) + np.array([[0, shear], [0, 0]])) + shift
    assert mardia(mapped) == pytest.approx(mardia(codes), rel=1e-5)


def test_the_unit_of_the_code_does_not_matter(exact):
    codes = exact * [1.2, 0.7]
    small, large = code_metrics(codes, TARGET), code_metrics(5 * codes, normal_target(N, std=5.0))
    for key in ("sliced_wasserstein", "sliced_wasserstein_centred", "energy_distance"):
        assert large[key] == pytest.approx(5 * small[key], rel=1e-3)
    for key in ("ks_max", "chi2_per_dof", "empty_cells", "mmd2", "mardia_skewness", "mardia_kurtosis", "correlation"):
        assert large[key] == pytest.approx(small[key], rel=1e-3)


# --- samples of the prior -------------------------------------------------------------------------


@pytest.mark.parametrize("prior", [NormalPrior(1), NormalPrior(2, 3.0), NormalPrior(5), *OTHER_PRIORS], ids=str)
def test_samples_of_the_prior_are_near_it(prior):
    """For every prior, each measure is within bounds that chance exceeds about once in a million."""
    n = 2000
    target = build_target(prior, n, cells=8, projections=32)
    codes = sample_prior(prior, n, seed=11, step=5).double().numpy()
    metrics = code_metrics(codes, target)
    spread = math.sqrt(target.scale / 2)  # root of the summed variances
    # With more than two axes, chi² is a mean over pairs, which varies less. Cells cut by samples vary by 1 % more.
    assert metrics["chi2_per_dof"] == pytest.approx(1.01, abs=5.5 * math.sqrt(2 / 63))
    assert metrics["empty_cells"] == 0
    assert metrics["ks_max"] < 2.8 / math.sqrt(n) * math.sqrt(1.1)
    # The mean contributes |mean|²/d to W2², averaged over directions. The shape contributes at most a few times more.
    assert metrics["sliced_wasserstein"] < 8 * spread / math.sqrt(n)
    assert metrics["sliced_wasserstein_centred"] <= metrics["sliced_wasserstein"]
    # A degenerate V-statistic: its mean is E|z - z'| / n, or twice that for a second sample. Its tail is exponential.
    assert abs(metrics["energy_distance"]) < 30 * target.self_distance / n
    assert abs(metrics["mmd2"]) < 30 * (1 - target.self_kernel) / n

    far = code_metrics(2 * codes + spread, target)
    for key in (
        "chi2_per_dof",
        "ks_max",
        "sliced_wasserstein",
        "sliced_wasserstein_centred",
        "energy_distance",
        "mmd2",
    ):
        assert far[key] > 3 * abs(metrics[key]), key
