"""The floor: measures of prior samples, whose distributions are known."""

import math

import pytest
from scipy.stats import kstwo

from aae.floor import floor_metrics
from aae.priors import MixturePrior, NormalPrior
from aae.targets import build_target

N, SAMPLES = 400, 200


@pytest.fixture(scope="module")
def floor():
    return floor_metrics(NormalPrior(2), build_target(NormalPrior(2), N, cells=4, projections=16), SAMPLES)


def test_means_and_ranges_of_what_is_known(floor):
    """With 200 samples, a mean is good to 5/sqrt(200) standard deviations, an end of the middle 95 % to about one."""
    for name, mean, deviation in (
        ("axis_0.mean", 0, 1 / math.sqrt(N)),
        ("axis_1.std", 1, 1 / math.sqrt(2 * N)),
        ("axis_0.skewness", 0, math.sqrt(6 / N)),
        ("correlation", 0, 1 / math.sqrt(N)),
        ("chi2_per_dof", 1, math.sqrt(2 / 15)),
    ):
        assert floor[name]["mean"] == pytest.approx(mean, abs=5 * deviation / math.sqrt(SAMPLES)), name
        for end, sign in (("low", -1), ("high", 1)):
            assert floor[name][end] == pytest.approx(mean + 1.96 * sign * deviation, abs=deviation), name
    law = kstwo(N)
    assert floor["axis_0.ks"]["mean"] == pytest.approx(law.mean(), abs=5 * law.std() / math.sqrt(SAMPLES))
    assert law.ppf(0.93) < floor["axis_0.ks"]["high"] < law.ppf(0.998)


def test_the_mean_energy_distance_is_that_of_its_pairs_with_themselves(floor):
    """E of the V-statistic is E|z - z'| / n = sqrt(pi) / n. As a weighted chi² sum, it deviates by at most as much."""
    expected = math.sqrt(math.pi) / N
    assert floor["energy_distance"]["mean"] == pytest.approx(expected, rel=5 * math.sqrt(2 / SAMPLES))
    assert floor["mmd2"]["low"] < 0 < floor["mmd2"]["high"]


def test_a_second_time_the_same():
    prior = MixturePrior()
    floors = [floor_metrics(prior, build_target(prior, 50, cells=3, projections=4), 6) for _ in range(2)]
    assert floors[0] == floors[1]


def test_what_the_dimension_does_not_have_is_left_out():
    floor = floor_metrics(NormalPrior(1), build_target(NormalPrior(1), 50, cells=3, projections=4), 4)
    assert "correlation" not in floor
    assert "axis_1.ks" not in floor
    assert floor["axis_0.ks"]["low"] <= floor["axis_0.ks"]["mean"] <= floor["axis_0.ks"]["high"]
