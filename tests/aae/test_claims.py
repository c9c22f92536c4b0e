"""Verdicts on made-up runs: every outcome of a claim, with one or several seeds and few or many epochs."""

from statistics import stdev

import pytest

from aae.claims import MATCH_MEASURES, distances_not_comparable, match_claim, stability_claim, time_claim, verdict
from aae.models import Recipe, compared_with, find_kind
from aae.priors import NormalPrior, UniformPrior
from aae.summary import RunResult
from tests.csrc.test_contract import SETTINGS

RECIPES = {
    name: Recipe(name, find_kind(kind := name.partition("_")[0]), SETTINGS[kind])
    for name in ("aae", "aae_wide", "vae", "vae_narrow")
}
FLOOR = {name: {measure: {"high": 0.02} for measure in MATCH_MEASURES} for name in RECIPES}
SEVERAL = 5  # epochs in the last third of 15, the fewest that are judged


def run(model: str, *distances: float, seed: int = 0, nats: tuple = (), **others: float) -> RunResult:
    """A run with sliced Wasserstein distance 1 before the last third and `distances` in it. `others` are constant."""
    suffix = RECIPES[model].aggregated.suffix
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


def steady(model: str, distance: float, **settings) -> RunResult:
    """A run with a constant distance in the last third, which is long enough to be judged."""
    return run(model, *[distance] * SEVERAL, **settings)


# --- verdicts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        (["for", "for"], "supported"),
        (["against", "against"], "not supported"),
        (["against", "undecided"], "not supported"),
        (["undecided", "undecided"], "undecided"),
        (["for", "undecided"], "mixed"),
        (["for", "against"], "mixed"),
        (["for", "too short to judge"], "supported"),
        (["against", "too short to judge", "too short to judge"], "too short to judge"),
        (["for", "not comparable", "too short to judge"], "not comparable"),
        (["for", "undecided", "not comparable"], "mixed"),
    ],
)
def test_the_verdict_follows_from_the_comparisons(results, expected):
    assert verdict(results) == expected


def test_distances_from_different_priors_are_not_comparable():
    aae, vae = [steady("aae", 0.1)], [steady("vae", 0.2)]
    assert distances_not_comparable(aae, vae, (NormalPrior(2), NormalPrior(2)), 0.3) == ""
    why = distances_not_comparable(aae, vae, (UniformPrior(2), NormalPrior(2)), 0.3)
    assert why == f"The priors differ: {UniformPrior(2).title} and {NormalPrior(2).title}."
    for claim in (match_claim(aae, vae, FLOOR, why), stability_claim(aae, vae, why)):
        assert claim["verdict"] == "not comparable"
        assert claim["note"] == why
        assert all(reason.endswith(": not comparable") for reason in claim["reasons"])
        assert not any("lower for" in reason for reason in claim["reasons"])
    assert timing(3.0, 2.0, why=why)["verdict"] == "supported", "arithmetic and seconds do not depend on the prior"
    assert timing(3.0, 2.0, why=why)["seconds_to_match"]["result"] == "not comparable"


def test_codes_that_have_matched_since_before_training_are_not_comparable():
    """An untrained VAE's codes match too. A run that stopped matching in between counts."""
    aae, priors = [steady("aae", 0.1)], (NormalPrior(2), NormalPrior(2))
    untrained = steady("vae", 0.2)
    for row in untrained.match:
        row["codes_sampled.sliced_wasserstein"] = 0.2
    why = "The codes of VAE are within 0.3 of the prior at every epoch, even before training."
    assert distances_not_comparable(aae, [steady("vae", 0.2), untrained], priors, 0.3) == why
    untrained.match[1]["codes_sampled.sliced_wasserstein"] = 0.31
    assert distances_not_comparable(aae, [untrained], priors, 0.3) == ""


def test_few_epochs_are_too_short_to_judge():
    """Two epochs of training leave one epoch in the last third."""
    aae, vae = [run("aae", 0.1)], [run("vae", 0.2)]
    claim = match_claim(aae, vae, FLOOR)
    assert claim["verdict"] == "too short to judge"
    assert claim["sliced_wasserstein"] == {"aae": 0.1, "vae": 0.2, "result": "too short to judge"}
    assert claim["note"].startswith("The last third of the training has 1 epoch and 1 snapshot. ")
    assert claim["reasons"][0] == (
        "sliced Wasserstein distance: AAE 0.1, VAE 0.2, medians over the last epoch (last epoch: AAE 0.1, VAE 0.2, "
        "its means of q(z|x) 5): too short to judge"
    )
    claim = stability_claim(aae, vae)
    assert set(claim) == {"verdict", "note", "reasons", "worst"}
    assert claim["verdict"] == "too short to judge"
    claim = stability_claim([run("aae", *[0.4] * 4)], [run("vae", *[0.2] * 4)])
    assert claim["verdict"] == claim["epochs"]["result"] == "too short to judge"


# --- match ----------------------------------------------------------------------------------------


def test_closer_with_fewer_gaps():
    claim = match_claim([steady("aae", 0.1)], [steady("vae", 0.2)], FLOOR)
    assert claim["verdict"] == "supported"
    assert "note" not in claim
    assert claim["sliced_wasserstein"] == {"aae": 0.1, "vae": 0.2, "result": "for"}
    assert len(claim["reasons"]) == 4
    assert claim["reasons"][0] == (
        "sliced Wasserstein distance: AAE 0.1, VAE 0.2, medians over the last 5 epochs; lower for AAE in 100% "
        "of epochs (last epoch: AAE 0.1, VAE 0.2, its means of q(z|x) 5): for"
    )


def test_further_off_with_more_gaps():
    claim = match_claim([steady("aae", 0.3)], [steady("vae", 0.2)], FLOOR)
    assert claim["verdict"] == "not supported"
    assert {claim[measure]["result"] for measure in MATCH_MEASURES} == {"against"}


def test_closer_with_more_gaps():
    claim = match_claim([steady("aae", 0.1, empty_cells=0.4)], [steady("vae", 0.2)], FLOOR)
    assert claim["verdict"] == "mixed"
    assert claim["empty_cells"]["result"] == "against"
    assert claim["chi2_per_dof"]["result"] == "for"


def test_better_in_half_of_the_epochs_is_undecided():
    """The last epoch does not matter."""
    claim = match_claim([run("aae", 0.1, 0.4, 0.4, 0.1, 0.1, 0.4)], [run("vae", *[0.2] * 6)], FLOOR)
    assert {claim[measure]["result"] for measure in MATCH_MEASURES} == {"undecided"}
    assert claim["verdict"] == "undecided"


def test_within_the_floor_all_are_alike():
    claim = match_claim([steady("aae", 0.001)], [steady("vae", 0.019)], FLOOR)
    assert claim["verdict"] == "undecided"
    assert claim["empty_cells"] == {"aae": 0.001, "vae": 0.019, "result": "undecided"}


def test_seeds_are_compared_in_pairs():
    """In one of three seeds, all epochs contradict the claim, so two thirds support it."""
    aae = [steady("aae", x, seed=seed) for seed, x in enumerate((0.1, 0.1, 0.5))]
    vae = [steady("vae", 0.2, seed=seed) for seed in range(3)]
    claim = match_claim(aae, vae, FLOOR)
    assert claim["verdict"] == "supported"
    assert (
        "over the last 5 epochs of each of 3 seeds; lower for AAE in 67% of epochs, by the median in 2 of 3 seeds ("
        in claim["reasons"][0]
    )


def test_every_model_goes_by_its_own_name():
    claim = match_claim([steady("aae_wide", 0.1)], [steady("vae_narrow", 0.2)], FLOOR)
    assert claim["empty_cells"] == {"aae_wide": 0.1, "vae_narrow": 0.2, "result": "for"}
    assert claim["reasons"][0] == (
        "sliced Wasserstein distance: AAE wide 0.1, VAE narrow 0.2, medians over the last 5 epochs; lower for AAE wide "
        "in 100% of epochs (last epoch: AAE wide 0.1, VAE narrow 0.2, its means of q(z|x) 5): for"
    )


def test_each_model_has_a_floor_of_its_own():
    """Below its floor, the VAE counts as 0.3, so the AAE is nearer."""
    floor = FLOOR | {"vae": {measure: {"high": 0.3} for measure in MATCH_MEASURES}}
    claim = match_claim([steady("aae", 0.25)], [steady("vae", 0.2)], floor)
    assert claim["empty_cells"] == {"aae": 0.25, "vae": 0.2, "result": "for"}


def test_a_model_is_compared_with_the_first_of_the_kind_that_its_own_names():
    aae, wide, vae, narrow = RECIPES.values()
    assert compared_with(wide, [aae, narrow, wide, vae]) is narrow
    assert compared_with(aae, [aae, wide]) is None
    assert compared_with(vae, [aae, vae, narrow]) is None


# --- stability ------------------------------------------------------------------------------------


def test_less_stable_in_every_way():
    wander = [
        run("aae", 0.1, 0.5, 0.2, 0.5, 0.2, nats=(150.0, 160.0, 155.0)),
        run("aae", 0.3, 0.1, 0.6, 0.1, 0.6, seed=1, nats=(150.0, 151.0, 152.0)),
        run("aae", 0.3, 0.1, 0.6, 0.1, 0.1, seed=2, nats=(150.0, 151.0, 152.0)),
    ]
    stay = [run("vae", *[0.2] * 4, 0.2 + 0.01 * seed, seed=seed, nats=(140.0, 140.5, 140.2)) for seed in range(3)]
    claim = stability_claim(wander, stay)
    assert claim["verdict"] == "supported"
    assert claim["reconstruction"] == {"aae": pytest.approx(14 / 3), "vae": 0.5, "result": "for"}
    assert claim["worst"] == {"aae": 0.6, "vae": 0.22, "result": "for"}
    assert claim["seeds"]["aae"] == pytest.approx(stdev([0.2, 0.6, 0.1]))
    assert claim["epochs"]["vae"] == pytest.approx((0.01 + 0.02) / 5**0.5 / 3)


def test_more_stable():
    claim = stability_claim([run("aae", 0.2, 0.21, 0.2, 0.2, 0.2)], [run("vae", 0.1, 0.5, 0.2, 0.2, 0.2)])
    assert claim["verdict"] == "not supported"
    assert claim["epochs"]["result"] == claim["worst"]["result"] == "against"


def test_alike():
    claim = stability_claim([run("aae", 0.2, 0.3, 0.2, 0.2, 0.2)], [run("vae", 0.2, 0.31, 0.2, 0.2, 0.2)])
    assert claim["verdict"] == "undecided"
    assert claim["epochs"]["result"] == claim["worst"]["result"] == "undecided"


def test_it_wanders_but_never_far():
    claim = stability_claim([run("aae", 0.1, 0.2, 0.1, 0.2, 0.1)], [steady("vae", 0.2)])
    assert claim["verdict"] == "mixed"


def test_two_seeds_say_nothing_of_seeds_and_two_snapshots_nothing_of_reconstruction():
    aae = [steady("aae", 0.4, seed=seed, nats=(150.0, 160.0)) for seed in range(2)]
    claim = stability_claim(aae, [steady("vae", 0.2, seed=seed, nats=(150.0, 151.0)) for seed in range(2)])
    assert "seeds" not in claim
    assert claim["reconstruction"] == {"aae": 10, "vae": 1, "result": "too short to judge"}
    assert claim["verdict"] == "mixed", "the other two criteria decide"
    assert "has 5 epochs and 2 snapshots." in claim["note"]


# --- time -----------------------------------------------------------------------------------------


def timed(seconds: float, **machine) -> dict:
    """The timing of a run. `seconds` of the whole training are no part of the machine."""
    return {"seconds": 20 * seconds, "seconds_per_epoch": seconds, "device": "a processor", "threads": 1} | machine


def timing(aae_seconds: float, vae_seconds: float, aae_flops: int = 3_000_000_000, level: float = 0.25, why="") -> dict:
    """With a median over two epochs, the AAE reaches 0.25 in epoch 13 of 15 and the VAE in epoch 12."""
    return time_claim(
        [run("aae", 0.3, 0.3, 0.2, 0.2, 0.2)],
        [steady("vae", 0.2)],
        flops_per_epoch={"aae": aae_flops, "vae": 2_000_000_000},
        timing={"aae": [timed(aae_seconds)], "vae": [timed(vae_seconds)]},
        match_level=level,
        not_comparable=why,
    )


def test_longer_in_every_way():
    claim = timing(3.0, 2.0)
    assert claim["verdict"] == "supported"
    assert claim["seconds_to_match"] == {"aae": 39, "vae": 24, "result": "for"}
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


def a_seed_that_never_matches(*distances: float) -> dict:
    return time_claim(
        [run("aae", *[0.3] * len(distances)), run("aae", *[0.1] * len(distances), seed=1)],
        [run("vae", *distances), run("vae", *distances, seed=1)],
        flops_per_epoch={"aae": 3, "vae": 2},
        timing={"aae": [timed(3.0)] * 2, "vae": [timed(2.0)] * 2},
        match_level=0.25,
    )


def test_a_model_that_never_matches_takes_longer():
    claim = a_seed_that_never_matches(*[0.2] * SEVERAL)
    assert claim["seconds_to_match"] == {"aae": None, "vae": 24, "result": "for"}
    assert "AAE only in 1 of 2 seeds, VAE 24 s in the median; longer for AAE in 2 of 2 seeds" in claim["reasons"][2]


def test_in_a_short_training_only_the_time_of_an_epoch_is_judged():
    claim = a_seed_that_never_matches(0.2, 0.2)
    assert claim["seconds_to_match"] == {"aae": None, "vae": 10, "result": "too short to judge"}
    assert claim["verdict"] == "supported"


def test_if_neither_gets_there_it_is_left_out():
    assert "seconds_to_match" not in timing(3.0, 2.0, level=0.01)
    assert timing(3.0, 2.0, level=0.01)["verdict"] == "supported"


# --- many seeds -----------------------------------------------------------------------------------


def hundred(timings: list[dict]) -> dict:
    """The AAE never matches with three of a hundred seeds. The VAE, timed at two seconds, always does."""
    seeds = range(100)
    distances = [[0.9] * SEVERAL if seed in (10, 20, 30) else [0.2] * SEVERAL for seed in seeds]
    return time_claim(
        [run("aae", *distances[seed], seed=seed) for seed in seeds],
        [steady("vae", 0.2, seed=seed) for seed in seeds],
        flops_per_epoch={"aae": 3, "vae": 2},
        timing={"aae": timings, "vae": [timed(2.0)] * 100},
        match_level=0.25,
    )


def test_a_few_of_a_hundred_seeds_do_not_decide():
    """Three seeds that never match leave the median as it is."""
    claim = hundred([timed(1.5 if seed == 0 else 3.0) for seed in range(100)])
    assert claim["verdict"] == "supported"
    assert claim["seconds"] == {"aae": pytest.approx(2.985), "vae": 2, "result": "for"}
    assert claim["seconds_to_match"] == {"aae": 36, "vae": 24, "result": "for"}
    assert claim["reasons"][1:] == [
        "time per epoch: AAE 2.98 s, VAE 2 s (1.49 times); longer for AAE in 99 of 100 seeds: for",
        "time until the sliced Wasserstein distance is 0.25 or less, median over 2 epochs: AAE 36 s in the median (97 "
        "of 100 seeds), VAE 24 s in the median; longer for AAE in 99 of 100 seeds: for",
    ]


def test_seconds_of_different_machines_do_not_count():
    """The AAE is faster on the other machine, which says nothing of the models."""
    timings = [timed(0.1, device="another") if seed < 40 else timed(3.0) for seed in range(100)]
    claim = hundred(timings)
    assert claim["seconds"] == {"aae": 3, "vae": 2, "result": "for"}
    assert claim["reasons"][1].endswith(
        "longer for AAE in 60 of 60 seeds; of the 60 of 100 seeds with both runs on the same machine: for"
    )


@pytest.mark.parametrize("machine", [{"device": "another"}, {"threads": 2}, {"driver": "1.2"}])
def test_a_seed_whose_runs_had_different_machines_leaves_the_seconds_undecided(machine):
    claim = time_claim(
        [steady("aae", 0.2)],
        [steady("vae", 0.2)],
        flops_per_epoch={"aae": 2, "vae": 2},
        timing={"aae": [timed(3.0)], "vae": [timed(2.0, **machine)]},
        match_level=0.25,
    )
    assert claim["verdict"] == claim["seconds"]["result"] == claim["seconds_to_match"]["result"] == "undecided"
    assert claim["reasons"][1] == "time per epoch: AAE 3 s, VAE 2 s (1.50 times); on different machines: undecided"


def test_the_reasons_say_in_how_many_seeds_the_model_is_less_stable():
    wander, stay = (0.1, 0.3, 0.1, 0.3, 0.1), (0.2, 0.2, 0.2, 0.2, 0.21)
    aae = [run("aae", *(stay if seed < 3 else wander), seed=seed, nats=(150.0, 151.0, 153.0)) for seed in range(100)]
    vae = [run("vae", *stay, seed=seed, nats=(150.0, 151.0, 151.5)) for seed in range(100)]
    reasons = stability_claim(aae, vae)["reasons"]
    assert reasons[0].endswith("; greater for AAE in 97 of 100 seeds: for")
    assert reasons[1].endswith("AAE 3 nats, VAE 1.5 nats; greater for AAE in 100 of 100 seeds: for")
    assert " over the last 5 epochs of each of 100 seeds: " in reasons[0]
