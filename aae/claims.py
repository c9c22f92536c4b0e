"""The post's three claims about an AAE compared with a VAE, each with a verdict that follows from the numbers.

The claims: the AAE's codes match the prior better, it takes longer to train, and it is less stable. Every model whose
kind names a kind to compare with is judged like the AAE; the model of that kind is its reference. Each claim consists
of comparisons, and each comparison compares one number of the model with the same number of the reference. Measures of
codes use the codes that are distributed as the aggregated posterior, and the prior that the model was trained for.

A comparison is for the claim, against it, or undecided. Two kinds of comparisons are shown but not judged:

- `too short to judge`: the last third of the training has fewer than `ENOUGH_EPOCHS` epochs, or (for the
  reconstruction error) fewer than `ENOUGH_SNAPSHOTS` snapshots. Seconds and FLOPs per epoch can always be judged.
- `not comparable`: the number depends on distances from the prior, and `distances_not_comparable` gives a reason.

The verdict on a claim follows from its comparisons:

- If fewer than half of them can be judged, the verdict is `not comparable` if one of them is, and otherwise `too short
  to judge`.
- Otherwise the comparisons that can be judged decide. The claim is `supported` if all are for it, `undecided` if all
  are undecided, `not supported` if some are against it and none is for it, and `mixed` in all other cases.

Comparisons that the results cannot provide are left out: the spread of a single value, or the spread over fewer seeds
than `ENOUGH_SEEDS`.

With several seeds, the reasons also say in how many of them the model's number is lower or higher than the reference's.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import gt, lt
from statistics import mean, median, stdev
from typing import Any

from aae.priors import Prior
from aae.summary import RunResult, first_match, machine_of

SUPPORTED, MIXED, NOT_SUPPORTED = "supported", "mixed", "not supported"
FOR, AGAINST, UNDECIDED = "for", "against", "undecided"
TOO_SHORT, NOT_COMPARABLE = "too short to judge", "not comparable"

ENOUGH_EPOCHS = 5  # in the last third; with fewer, a single odd epoch would decide
ENOUGH_SNAPSHOTS = 3  # in the last third; the range of two is a single difference
ENOUGH_SEEDS = 3  # for a standard deviation over seeds, for the same reason
CLEARLY = 2 / 3  # the share of epochs in which a model must be better to count as better
MORE_SPREAD = 1.25  # ratio that counts as less stable: a few dozen epochs do not determine a spread more closely
MORE_TIME = 1.05  # ratio that counts as longer: timings on a shared machine vary by a few percent

MATCH_MEASURES = {
    "sliced_wasserstein": "sliced Wasserstein distance",
    "sliced_wasserstein_centred": "sliced Wasserstein distance, means aligned",
    "chi2_per_dof": "chi² per degree of freedom of the cells",
    "empty_cells": "fraction of empty cells",
}


@dataclass(frozen=True)
class Comparison:
    """One number of the model and one of its reference, and whether they are for the claim."""

    name: str
    model: float | None
    reference: float | None
    result: str
    reason: str


@dataclass(frozen=True)
class Judged:
    """A model's runs and its reference's, each in order of seed.

    `not_comparable` says why the two models' distances from their priors cannot be compared; empty if they can.
    """

    model: Sequence[RunResult]
    reference: Sequence[RunResult]
    not_comparable: str

    @property
    def names(self) -> tuple[str, str]:
        return self.model[0].recipe.name, self.reference[0].recipe.name

    @property
    def titles(self) -> tuple[str, str]:
        return self.model[0].recipe.title, self.reference[0].recipe.title

    @property
    def epochs(self) -> int:
        """The number of epochs in the last third."""
        return len(self.model[0].last_third)

    @property
    def period(self) -> str:
        """The last third of the epochs in words."""
        epochs, seeds = self.epochs, len(self.model)
        of_seeds = f" of each of {seeds} seeds" if seeds > 1 else ""
        return f"the last {'epoch' if epochs == 1 else f'{epochs} epochs'}{of_seeds}"

    def of_distances(self, result: str) -> str:
        """`result` of a comparison of distances, or why these cannot be judged."""
        if self.not_comparable:
            return NOT_COMPARABLE
        return TOO_SHORT if self.epochs < ENOUGH_EPOCHS else result

    def claim(self, comparisons: Sequence[Comparison]) -> dict[str, Any]:
        """`verdict`, `reasons` (one sentence per comparison) and, under each comparison's name, its `result` and the
        two numbers under the names of the recipes. If some cannot be judged, `note` says why."""
        results = [each.result for each in comparisons]
        found = verdict(results)
        notes = {
            TOO_SHORT: f"The last third of the training has {counted(self.epochs, 'epoch')} and "
            f"{counted(self.model[0].snapshots, 'snapshot')}. To be judged, distances need {ENOUGH_EPOCHS} epochs and "
            f"reconstruction needs {ENOUGH_SNAPSHOTS} snapshots there.",
            NOT_COMPARABLE: self.not_comparable,
        }
        noted = next((each for each in (NOT_COMPARABLE, TOO_SHORT) if each in results), None)
        model, reference = self.names
        return {
            "verdict": found,
            **({"note": notes[noted]} if noted else {}),
            "reasons": [f"{each.reason}: {each.result}" for each in comparisons],
            **{
                each.name: {model: each.model, reference: each.reference, "result": each.result} for each in comparisons
            },
        }


def verdict(results: Sequence[str]) -> str:
    """The verdict on a claim from the results of its comparisons, by the rules above."""
    judged = [result for result in results if result in (FOR, AGAINST, UNDECIDED)]
    if 2 * len(judged) < len(results):
        return NOT_COMPARABLE if NOT_COMPARABLE in results else TOO_SHORT
    if len(set(judged)) == 1:
        return {FOR: SUPPORTED, AGAINST: NOT_SUPPORTED, UNDECIDED: UNDECIDED}[judged[0]]
    return MIXED if FOR in judged else NOT_SUPPORTED


def distances_not_comparable(
    model: Sequence[RunResult], reference: Sequence[RunResult], priors: tuple[Prior, Prior], level: float
) -> str:
    """Why the two models' distances from their priors cannot be compared; empty if they can.

    There are two reasons. The models have different priors, so their distances refer to different targets. Or, with
    some seed, one model's sliced Wasserstein distance is `level` or less at every epoch, including before training. Its
    codes then match only because training has not moved them enough. Samples of an untrained VAE's q(z|x) are such
    codes.
    """
    if priors[0] != priors[1]:
        return f"The priors differ: {priors[0].title} and {priors[1].title}."
    for runs in (model, reference):
        if any(max(run.all_values("sliced_wasserstein")) <= level for run in runs):
            title = runs[0].recipe.title
            return f"The codes of {title} are within {level:g} of the prior at every epoch, even before training."
    return ""


def match_claim(
    model: Sequence[RunResult],
    reference: Sequence[RunResult],
    floor: dict[str, dict[str, Any]],
    not_comparable: str = "",
) -> dict[str, Any]:
    """Claim 1: the model's codes are closer to the prior and have fewer gaps. Runs are in order of seed.

    Two distances and two measures of gaps (`MATCH_MEASURES`) are compared in every epoch of the last third, seed by
    seed. A measure is for the claim if it is lower for the model in at least two thirds of these epochs and in the
    median over all of them, and against it if the same holds for the reference. A value below the upper end of the
    floor counts as that end (`floor` is recipe -> measure -> {high}), because such codes cannot be distinguished from
    samples of the prior.
    """
    judged = Judged(model, reference, not_comparable)
    (a, b), (name_a, name_b) = judged.titles, judged.names
    comparisons = []
    for measure, name in MATCH_MEASURES.items():
        x, y = pooled(model, measure), pooled(reference, measure)
        x_above = [max(value, floor[name_a][measure]["high"]) for value in x]
        y_above = [max(value, floor[name_b][measure]["high"]) for value in y]
        share = mean((v < w) + (v == w) / 2 for v, w in zip(x_above, y_above, strict=True))
        less, more = median(x_above) < median(y_above), median(x_above) > median(y_above)
        result = FOR if less and share >= CLEARLY else AGAINST if more and share <= 1 - CLEARLY else UNDECIDED
        result = judged.of_distances(result)
        last = ", ".join(text for runs in (model, reference) for text in finals(runs, measure))
        seeds = in_seeds(lt, *([median(run.values(measure)) for run in runs] for runs in (model, reference)))
        where = f"{share:.0%} of epochs" + (f", by the median {seeds}" if seeds else "")
        lower = "" if result in (TOO_SHORT, NOT_COMPARABLE) else f"; lower for {a} in {where}"
        figures = f"{a} {median(x):.3g}, {b} {median(y):.3g}, medians over {judged.period}"
        reason = f"{name}: {figures}{lower} (last epoch: {last})"
        comparisons.append(Comparison(measure, median(x), median(y), result, reason))
    return judged.claim(comparisons)


def stability_claim(
    model: Sequence[RunResult], reference: Sequence[RunResult], not_comparable: str = ""
) -> dict[str, Any]:
    """Claim 3: the model's training is less stable.

    A comparison is for the claim if the model's spread is more than 1.25 times the reference's, and against it if the
    reference's is more than 1.25 times the model's.

    - `epochs`: standard deviation of the sliced Wasserstein distance over the last third of the epochs, mean over
      seeds.
    - `reconstruction`: range (maximum minus minimum) of the test images' nats over the snapshots in the last third,
      mean over seeds.
    - `worst`: the largest sliced Wasserstein distance of any epoch in the last third and any seed.
    - `seeds`: standard deviation of the last epoch's sliced Wasserstein distance over seeds.
    """
    measure = "sliced_wasserstein"
    judged = Judged(model, reference, not_comparable)
    a, b = judged.titles
    comparisons = []

    def compare(name: str, figures: tuple[float, ...], what: str, unit: str = "", seeds: str = "") -> None:
        x, y = figures
        result = FOR if x > MORE_SPREAD * y else AGAINST if y > MORE_SPREAD * x else UNDECIDED
        if name != "reconstruction":
            result = judged.of_distances(result)
        elif model[0].snapshots < ENOUGH_SNAPSHOTS:
            result = TOO_SHORT
        where = f"; greater for {a} {seeds}" if seeds else ""
        comparisons.append(Comparison(name, x, y, result, f"{what}: {a} {x:.3g}{unit}, {b} {y:.3g}{unit}{where}"))

    def compare_runs(name: str, spread: Callable[[RunResult], float], what: str, unit: str = "") -> None:
        of_seeds = [[spread(run) for run in runs] for runs in both]
        compare(name, tuple(map(mean, of_seeds)), what, unit, in_seeds(gt, *of_seeds))

    both = (model, reference)
    if judged.epochs >= 2:
        what = f"standard deviation of the sliced Wasserstein distance over {judged.period}"
        compare_runs("epochs", lambda run: stdev(run.values(measure)), what)
    if model[0].snapshots >= 2:
        what = f"range of the reconstruction error over the last {model[0].snapshots} snapshots"
        compare_runs("reconstruction", lambda run: run.reconstruction_range, what, " nats")
    worst = tuple(max(pooled(runs, measure)) for runs in both)
    compare("worst", worst, f"largest sliced Wasserstein distance in {judged.period}")
    if len(model) >= ENOUGH_SEEDS:
        spread = tuple(stdev(run.final_of(measure) for run in runs) for runs in both)
        what = f"standard deviation of the last epoch's sliced Wasserstein distance over {len(model)} seeds"
        compare("seeds", spread, what)
    return judged.claim(comparisons)


def time_claim(
    model: Sequence[RunResult],
    reference: Sequence[RunResult],
    *,
    flops_per_epoch: Mapping[str, float],
    timing: Mapping[str, Sequence[Mapping[str, Any]]],
    match_level: float,
    not_comparable: str = "",
) -> dict[str, Any]:
    """Claim 2: the model takes longer to train.

    A comparison is for the claim if the model's number is more than 1.05 times the reference's, and against it if the
    reference's is more than 1.05 times the model's.

    - `flops`: FLOPs per epoch, from the sizes of the layers (`aae.flops`).
    - `seconds`: seconds per epoch, median over a run's epochs, mean over seeds.
    - `seconds_to_match`: seconds per epoch times the epochs until the sliced Wasserstein distance is `match_level` or
      less, median over a tenth of all epochs (`aae.summary.first_match`), median over seeds. A run that never reaches
      the level counts as slower than any other. If neither model reaches it in the median, the comparison is left out.

    Seconds of different machines do not compare, so only the seeds whose two runs had the same machine and settings
    count for them. If there is none, the comparisons of seconds are undecided.

    `flops_per_epoch` is recipe -> FLOPs. `timing` is recipe -> what was timed with each seed, in the order of the runs:
    `seconds_per_epoch`, and the machine (`aae.summary.machine_of`).
    """
    judged = Judged(model, reference, not_comparable)
    (a, b), names = judged.titles, judged.names
    seeds = list(zip(model, reference, *(timing[name] for name in names), strict=True))
    comparable = [seed for seed in seeds if machine_of(seed[2]) == machine_of(seed[3])]
    *both, x_timing, y_timing = zip(*(comparable or seeds), strict=True)
    where = "" if comparable else "; on different machines"
    if 0 < len(comparable) < len(seeds):
        where = f"; of the {len(comparable)} of {len(seeds)} seeds with both runs on the same machine"
    comparisons = []

    def compare(name: str, x: float, y: float, reason: str) -> None:
        """An infinite number stands for a level that is never reached."""
        result = FOR if x > MORE_TIME * y else AGAINST if y > MORE_TIME * x else UNDECIDED
        if name != "flops" and not comparable:
            result = UNDECIDED
        if name == "seconds_to_match":
            result = judged.of_distances(result)
        model_number, reference_number = (None if math.isinf(each) else each for each in (x, y))
        comparisons.append(Comparison(name, model_number, reference_number, result, reason))

    def longer(x: Sequence[float], y: Sequence[float]) -> str:
        return (f"; longer for {a} {in_seeds(gt, x, y)}" if len(x) > 1 else "") + where

    x, y = (flops_per_epoch[name] for name in names)
    compare("flops", x, y, f"arithmetic per epoch: {a} {x / 1e9:.4g} GFLOP, {b} {y / 1e9:.4g} ({x / y:.2f} times)")

    seconds = [[each["seconds_per_epoch"] for each in timings] for timings in (x_timing, y_timing)]
    x, y = map(mean, seconds)
    compare("seconds", x, y, f"time per epoch: {a} {x:.3g} s, {b} {y:.3g} s ({x / y:.2f} times){longer(*seconds)}")

    until = [
        [(first_match(run, match_level) or math.inf) * s for run, s in zip(runs, of_runs, strict=True)]
        for runs, of_runs in zip(both, seconds, strict=True)
    ]
    x, y = map(median, until)
    if not math.isinf(min(x, y)):
        tenth = math.ceil((len(model[0].match) - 1) / 10)
        when = "" if tenth == 1 else f", median over {tenth} epochs"
        what = f"time until the sliced Wasserstein distance is {match_level:g} or less{when}"
        shown = f"{a} {reached(until[0])}, {b} {reached(until[1])}"
        compare("seconds_to_match", x, y, f"{what}: {shown}{longer(*until)}")
    return judged.claim(comparisons)


def reached(seconds: Sequence[float]) -> str:
    """The median of the seconds until each seed's run reaches a level, in words; infinite ones stand for never."""
    number, middle = sum(map(math.isfinite, seconds)), median(seconds)
    if len(seconds) == 1:
        return "never" if math.isinf(middle) else f"{middle:.3g} s"
    if math.isinf(middle):
        return f"only in {number} of {len(seconds)} seeds"
    return f"{middle:.3g} s in the median" + (f" ({number} of {len(seconds)} seeds)" if number < len(seconds) else "")


def in_seeds(order: Callable[[float, float], bool], x: Sequence[float], y: Sequence[float]) -> str:
    """In how many seeds `order` holds for the model's number in `x` and the reference's in `y`; empty for one seed."""
    return f"in {sum(map(order, x, y))} of {len(x)} seeds" if len(x) > 1 else ""


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def pooled(runs: Sequence[RunResult], measure: str) -> list[float]:
    """The values of all epochs in the last third, of all runs."""
    return [value for run in runs for value in run.values(measure)]


def finals(runs: Sequence[RunResult], measure: str) -> list[str]:
    """The last epoch's value for each kind of codes, mean over seeds; the aggregated ones have the model's title."""
    recipe = runs[0].recipe
    texts = [f"{recipe.title} {mean(run.final_of(measure) for run in runs):.3g}"]
    for kind in recipe.other_codes:
        texts.append(f"its {kind.title} {mean(run.final[f'codes{kind.suffix}.{measure}'] for run in runs):.3g}")
    return texts
