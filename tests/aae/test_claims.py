"""Verdicts on made-up runs: each way a claim can go, with one seed and several, with few epochs and many."""

import pytest

from aae.claims import MATCH_MEASURES, match_claim, stability_claim, time_claim
from aae.models import Recipe, compared_with, find_kind
from aae.summary import RunResult

RECIPES = {
    name: Recipe(name, find_kind(name.partition("_")[0]), None) for name in ("aae", "aae_wide", "vae", "vae_narrow")
}
FLOOR = {name: {measure: {"high": 0.02} for measure in MATCH_MEASURES} for name in RECIPES}
EPOCHS = 9  # the last third are epochs 7, 8 and 9


def run(model: str, *distances: float, seed: int = 0, nats: tuple = (), **others: float) -> RunResult:
    """A run whose sliced Wasserstein distance is 1 before the last third and there as given; `others` are constant."""
    suffix = RECIPES[model].kind.aggregated
    last = 3 * len(distances)
    values = [1.0] * (last + 1 - len(distances)) + list(distances)
    match = []
    for epoch, value in enumerate(values):
        measures = dict.fromkeys(MATCH_MEASURES, value) | others
        row = {f"codes{suffix}.{name}": each for name, each in measures.items()}
        if suffix:
            row |= {f"codes.{name}": 5.0 for name in measures}
        match.append({"epoch": float(epoch)} | row)
    nats = nats or (150.0,)
    curves = [match[last + 1 - len(nats) + i] | {f"reconstruction{suffix}.nats": each} for i, each in enumerate(nats)]
    return RunResult(RECIPES[model], seed, match, curves)


# --- match ----------------------------------------------------------------------------------------


def test_closer_with_fewer_gaps():
    claim = match_claim([run("aae", 0.1, 0.1, 0.1)], [run("vae", 0.2, 0.2, 0.2)], FLOOR)
    assert claim["verdict"] == "supported"
    assert claim["sliced_wasserstein"] == {"aae": 0.1, "vae": 0.2, "result": "for"}
    assert len(claim["reasons"]) == 4
    assert claim["reasons"][0] == (
        "sliced Wasserstein distance: AAE 0.1, VAE 0.2, medians of the last 3 epochs; lower for AAE in 100% "
        "of them (last epoch: AAE 0.1, VAE 0.2, its means of q(z|x) 5): for"
    )


def test_further_off_with_more_gaps():
    claim = match_claim([run("aae", 0.3, 0.3, 0.3)], [run("vae", 0.2, 0.2, 0.2)], FLOOR)
    assert claim["verdict"] == "not supported"
    assert {claim[measure]["result"] for measure in MATCH_MEASURES} == {"against"}


def test_closer_with_more_gaps():
    claim = match_claim([run("aae", 0.1, 0.1, 0.1, empty_cells=0.4)], [run("vae", 0.2, 0.2, 0.2)], FLOOR)
    assert claim["verdict"] == "mixed"
    assert claim["empty_cells"]["result"] == "against"
    assert claim["chi2_per_dof"]["result"] == "for"


def test_better_in_half_of_the_epochs_is_undecided():
    """Whatever the last epoch was."""
    claim = match_claim([run("aae", 0.1, 0.4, 0.4, 0.1)], [run("vae", 0.2, 0.2, 0.2, 0.2)], FLOOR)
    assert {claim[measure]["result"] for measure in MATCH_MEASURES} == {"undecided"}
    assert claim["verdict"] == "not supported"


def test_within_the_floor_all_are_alike():
    claim = match_claim([run("aae", 0.001, 0.001)], [run("vae", 0.019, 0.018)], FLOOR)
    assert claim["verdict"] == "not supported"
    assert claim["empty_cells"] == {"aae": 0.001, "vae": 0.0185, "result": "undecided"}


def test_seeds_are_compared_in_pairs():
    """One seed of three has it the other way round in all of its epochs: two thirds for the claim."""
    aae = [run("aae", x, x, x, seed=seed) for seed, x in enumerate((0.1, 0.1, 0.5))]
    vae = [run("vae", 0.2, 0.2, 0.2, seed=seed) for seed in range(3)]
    claim = match_claim(aae, vae, FLOOR)
    assert claim["verdict"] == "supported"
    assert "of the last 3 epochs of each of 3 seeds; lower for AAE in 67%" in claim["reasons"][0]


def test_one_epoch_is_enough_for_a_verdict():
    claim = match_claim([run("aae", 0.1)], [run("vae", 0.2)], FLOOR)
    assert claim["verdict"] == "supported"
    assert "medians of the last epoch;" in claim["reasons"][0]


def test_every_model_goes_by_its_own_name():
    claim = match_claim([run("aae_wide", 0.1)], [run("vae_narrow", 0.2)], FLOOR)
    assert claim["empty_cells"] == {"aae_wide": 0.1, "vae_narrow": 0.2, "result": "for"}
    assert claim["reasons"][0] == (
        "sliced Wasserstein distance: AAE wide 0.1, VAE narrow 0.2, medians of the last epoch; lower for AAE wide in "
        "100% of them (last epoch: AAE wide 0.1, VAE narrow 0.2, its means of q(z|x) 5): for"
    )


def test_each_model_has_a_floor_of_its_own():
    """Within its floor the VAE counts as 0.3, so that the AAE is nearer."""
    floor = FLOOR | {"vae": {measure: {"high": 0.3} for measure in MATCH_MEASURES}}
    claim = match_claim([run("aae", 0.25)], [run("vae", 0.2)], floor)
    assert claim["empty_cells"] == {"aae": 0.25, "vae": 0.2, "result": "for"}


def test_a_model_is_compared_with_the_first_of_the_kind_that_its_own_names():
    aae, wide, vae, narrow = RECIPES.values()
    assert compared_with(wide, [aae, narrow, wide, vae]) is narrow
    assert compared_with(aae, [aae, wide]) is None
    assert compared_with(vae, [aae, vae, narrow]) is None


# --- stability ------------------------------------------------------------------------------------


def test_less_stable_in_every_way():
    aae = [run("aae", 0.1, 0.5, 0.2, nats=(150.0, 160.0)), run("aae", 0.3, 0.1, 0.6, seed=1, nats=(150.0, 152.0))]
    vae = [run("vae", 0.2, 0.21, 0.2, nats=(140.0, 140.5)), run("vae", 0.2, 0.2, 0.22, seed=1, nats=(141.0, 140.5))]
    claim = stability_claim(aae, vae)
    assert claim["verdict"] == "supported"
    assert claim["reconstruction"] == {"aae": 6, "vae": 0.5, "result": "for"}
    assert claim["worst"] == {"aae": 0.6, "vae": 0.22, "result": "for"}
    assert claim["seeds"]["aae"] == pytest.approx(0.08**0.5)
    assert claim["epochs"]["vae"] == pytest.approx((0.01 / 3**0.5 + 0.02 / 3**0.5) / 2)


def test_more_stable():
    claim = stability_claim([run("aae", 0.2, 0.21, 0.2)], [run("vae", 0.1, 0.5, 0.2)])
    assert claim["verdict"] == "not supported"
    assert claim["epochs"]["result"] == claim["worst"]["result"] == "against"


def test_alike():
    claim = stability_claim([run("aae", 0.2, 0.3, 0.2)], [run("vae", 0.2, 0.31, 0.2)])
    assert claim["verdict"] == "not supported"
    assert claim["epochs"]["result"] == claim["worst"]["result"] == "undecided"


def test_it_wanders_but_never_far():
    claim = stability_claim([run("aae", 0.1, 0.2, 0.1)], [run("vae", 0.2, 0.2, 0.2)])
    assert claim["verdict"] == "mixed"


def test_one_seed_says_nothing_of_seeds_and_few_epochs_nothing_of_epochs():
    claim = stability_claim([run("aae", 0.4)], [run("vae", 0.2)])
    assert set(claim) == {"verdict", "reasons", "worst"}
    assert claim["verdict"] == "supported"
    assert "greatest sliced Wasserstein distance in the last epoch: AAE 0.4, VAE 0.2: for" in claim["reasons"]


# --- time -----------------------------------------------------------------------------------------


def timing(aae_seconds: float, vae_seconds: float, aae_flops: int = 3_000_000_000, level: float = 0.25) -> dict:
    """The AAE gets to 0.25 in epoch 9 of 9, the VAE in epoch 7."""
    return time_claim(
        [run("aae", 0.3, 0.3, 0.2)],
        [run("vae", 0.2, 0.2, 0.2)],
        flops_per_epoch={"aae": aae_flops, "vae": 2_000_000_000},
        seconds_per_epoch={"aae": [aae_seconds], "vae": [vae_seconds]},
        match_level=level,
    )


def test_longer_in_every_way():
    claim = timing(3.0, 2.0)
    assert claim["verdict"] == "supported"
    assert claim["seconds_to_match"] == {"aae": 27, "vae": 14, "result": "for"}
    assert claim["reasons"][:2] == [
        "arithmetic per epoch: AAE 3 GFLOP, VAE 2 (1.50 times): for",
        "time per epoch: AAE 3 s, VAE 2 s (1.50 times): for",
    ]


def test_more_arithmetic_in_the_same_time():
    claim = timing(2.0, 2.05)
    assert claim["seconds"]["result"] == "undecided"
    assert claim["verdict"] == "mixed"


def test_shorter_in_every_way():
    claim = timing(1.0, 2.0, aae_flops=1_000_000_000)
    assert {claim[name]["result"] for name in ("flops", "seconds", "seconds_to_match")} == {"against"}
    assert claim["verdict"] == "not supported"


def test_a_model_that_never_matches_takes_longer():
    claim = time_claim(
        [run("aae", 0.3, 0.3), run("aae", 0.1, 0.1, seed=1)],
        [run("vae", 0.2, 0.2), run("vae", 0.2, 0.1, seed=1)],
        flops_per_epoch={"aae": 3, "vae": 2},
        seconds_per_epoch={"aae": [3.0, 3.0], "vae": [2.0, 2.0]},
        match_level=0.25,
    )
    assert claim["seconds_to_match"] == {"aae": None, "vae": 10, "result": "for"}
    assert "AAE not in every seed, VAE 10 s" in claim["reasons"][2]


def test_if_neither_gets_there_it_is_left_out():
    assert "seconds_to_match" not in timing(3.0, 2.0, level=0.01)
    assert timing(3.0, 2.0, level=0.01)["verdict"] == "supported"
