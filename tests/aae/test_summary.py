"""Thirds of a training, and means and standard deviations over seeds."""

import pytest

from aae.models import Recipe, find_kind
from aae.summary import RunResult, first_match, flatten, last_third, over_seeds, rows_of_last_third, summarize_model
from tests.csrc.test_contract import SETTINGS


def epochs(*numbers):
    return [{"epoch": float(number)} for number in numbers]


@pytest.mark.parametrize(("last", "first"), [(1, 1), (2, 2), (3, 3), (4, 3), (6, 5), (100, 67)])
def test_the_last_third_is_rounded_up_and_never_before_training(last, first):
    rows = rows_of_last_third(epochs(*range(last + 1)), last)
    assert [row["epoch"] for row in rows] == list(range(first, last + 1))


def test_the_last_third_in_numbers():
    match = [{"epoch": e, "codes.ks_max": [9, 9, 9, 9, 5.0, 1.0, 3.0][e]} for e in range(7)]
    curves = [
        {"epoch": e, "reconstruction.nats": n, "codes.ks_max": 0} for e, n in ((0, 500.0), (3, 200.0), (6, 150.0))
    ]
    assert last_third(match, curves) == {
        "epochs": 2,
        "snapshots": 1,
        "codes": {"ks_max": {"median": 2, "min": 1, "max": 3}},
        "reconstruction": {"nats": {"median": 150, "min": 150, "max": 150}},
    }


def test_one_seed_has_no_spread():
    assert over_seeds([3.0]) == {"mean": 3}
    assert over_seeds([1.0, 2.0, 6.0]) == pytest.approx({"mean": 3, "std": 7**0.5})


def vae(seed: int, final: float) -> RunResult:
    match = [
        {"epoch": e, "codes.sliced_wasserstein": 9.0, "codes_sampled.sliced_wasserstein": value}
        for e, value in enumerate([0.0, 0.8, 0.6, final])
    ]
    curves = [
        {
            "epoch": 3,
            "codes.sliced_wasserstein": 9.0,
            "codes_sampled.sliced_wasserstein": final,
            "codes_sampled.axis_0.ks": 1.0,
            "codes_sampled.correlation": None,
            "labels_sampled.knn_accuracy": 0.5,
            "train.codes_sampled.sliced_wasserstein": 7.0,
        }
    ]
    return RunResult(Recipe("vae", find_kind("vae"), SETTINGS["vae"]), seed, match, curves)


def test_a_model_over_two_seeds():
    summary = summarize_model([vae(0, 0.3), vae(1, 0.5)], "_sampled")
    assert summary == {
        "final": {
            "sliced_wasserstein": pytest.approx({"mean": 0.4, "std": 0.02**0.5}),
            "knn_accuracy": {"mean": 0.5, "std": 0},
        },
        "last_third": {
            "sliced_wasserstein": pytest.approx({"median": 0.4, "std": 0.02**0.5, "min": 0.3, "max": 0.5}),
        },
    }
    assert summarize_model([vae(0, 0.3)], "")["final"] == {"sliced_wasserstein": {"mean": 9}}


def test_the_first_match_comes_after_the_start():
    """Epoch 0 matches because an untrained VAE's samples are nearly prior samples."""
    assert first_match(vae(0, 0.3), 0.6) == 2
    assert first_match(vae(0, 0.3), 0.1) is None


def test_a_match_lasts_a_tenth_of_the_training():
    """That is two of 20 epochs. The medians of neighbours count: .55, .5, .5, .4, .45, .2 from epoch 8 on."""
    values = [0.0] + [1.0] * 7 + [0.1, 0.9, 0.1, 0.7] + [0.2] * 9
    match = [{"epoch": epoch, "codes.sliced_wasserstein": value} for epoch, value in enumerate(values)]
    run = RunResult(Recipe("aae", find_kind("aae"), SETTINGS["aae"]), 0, match, curves=[])
    assert [first_match(run, level) for level in (0.5, 0.42, 0.3, 0.15)] == [9, 11, 13, None]


def test_flatten():
    nested = {"epoch": 3, "codes": {"ks_max": 0.5, "axis_0": {"ks": 0.25}}}
    assert flatten(nested) == {"epoch": 3, "codes.ks_max": 0.5, "codes.axis_0.ks": 0.25}
