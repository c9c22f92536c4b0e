"""The post's three claims about an AAE compared with a VAE, each with a verdict that follows from the numbers.

The claims: the AAE's codes match the prior better, it takes longer to train, and it is less stable. Any model whose
kind names another to compare with is judged like the AAE, and that other is its reference. Each claim consists of
comparisons of one number of the model with the reference's. What is compared are the codes that are distributed as the
aggregated posterior, each with the prior that the model was trained for.

A comparison is for the claim, against it, or undecided. Two kinds of comparisons are shown but not judged:

- `too short to judge`: the last third of the epochs has fewer than `ENOUGH_EPOCHS` epochs, or for the reconstruction
  error fewer than `ENOUGH_SNAPSHOTS` snapshots. Seconds and FLOPs of an epoch can always be judged.
- `not comparable`: a number that is made of distances from the prior, where `distances_not_comparable` gives a reason.

The verdict on a claim follows from its comparisons:

- Fewer than half of them can be judged: the verdict is `not comparable` if one of them is, else `too short to judge`.
- Otherwise those that can be judged decide. The claim is `supported` if all are for it, `undecided` if all are
  undecided, `not supported` if some are against it and none is for it, and `mixed` in all other cases.

A comparison that the results do not have at all is left out: the spread of a single value, or over fewer seeds than
`ENOUGH_SEEDS`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median, stdev

from aae.priors import Prior
from aae.summary import RunResult, first_match

SUPPORTED, MIXED, NOT_SUPPORTED = "supported", "mixed", "not supported"
FOR, AGAINST, UNDECIDED = "for", "against", "undecided"
TOO_SHORT, NOT_COMPARABLE = "too short to judge", "not comparable"

ENOUGH_EPOCHS = 5  # in the last third; of fewer, a single odd epoch would decide
ENOUGH_SNAPSHOTS = 3  # in the last third; the range of two is one difference
ENOUGH_SEEDS = 3  # for a spread over seeds, for the same reason
CLEARLY = 2 / 3  # of the epochs, for one model to be the better one
MORE_SPREAD = 1.25  # times as much, to be the less stable one: the spread of a few dozen epochs is not known better
MORE_TIME = 1.05  # times as much, to take longer: seconds on a shared machine vary by some percent

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

    `not_comparable` says why distances of the two from their priors cannot be compared; it is empty where they can.
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
        """How many epochs the last third has."""
        return len(self.model[0].last_third)

    @property
    def period(self) -> str:
        """The last third of the epochs in words."""
        epochs, seeds = self.epochs, len(self.model)
        of_seeds = f" of each of {seeds} seeds" if seeds > 1 else ""
        return f"the last {'epoch' if epochs == 1 else f'{epochs} epochs'}{of_seeds}"

    def of_distances(self, result: str) -> str:
        """`result`, unless it is made of distances that cannot be judged."""
        if self.not_comparable:
            return NOT_COMPARABLE
        return TOO_SHORT if self.epochs < ENOUGH_EPOCHS else result

    def claim(self, comparisons: Sequence[Comparison]) -> dict:
        """`verdict`, `reasons` (a sentence for each comparison) and, by the comparison's name, its `result` and the
        two numbers under the names of the recipes. Where some cannot be judged, `note` says why."""
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
    """Why distances of the model and of its reference from their priors cannot be compared; empty where they can.

    Either the two have different priors, so that they are at a distance from different targets. Or one of them has, in
    some seed, a sliced Wasserstein distance of `level` or less from before training on, at every epoch: then its
    codes match because the network has not been trained enough to move them. The samples of an untrained VAE's q(z|x)
    are such codes.
    """
    if priors[0] != priors[1]:
        return f"The priors differ: {priors[0].title} and {priors[1].title}."
    for runs in (model, reference):
        if any(max(run.all_values("sliced_wasserstein")) <= level for run in runs):
            title = runs[0].recipe.title
            return f"The codes of {title} have been within {level:g} of the prior since before training."
    return ""


def match_claim(
    model: Sequence[RunResult], reference: Sequence[RunResult], floor: dict[str, dict], not_comparable: str = ""
) -> dict:
    """Claim 1: the model's codes are closer to the prior and have fewer gaps. Runs in order of seed.

    Compared are two distances and two measures of gaps (`MATCH_MEASURES`), in every epoch of the last third, seed
    by seed. For the claim is a measure that is lower for the model in at least two thirds of these epochs and in the
    median over all of them; against it, one that is lower for the reference. A value within the floor counts as its
    upper end (`floor` is recipe -> measure -> {high}): below, codes cannot be told from samples of the prior.
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
        lower = "" if result in (TOO_SHORT, NOT_COMPARABLE) else f"; lower for {a} in {share:.0%} of them"
        figures = f"{a} {median(x):.3g}, {b} {median(y):.3g}, medians of {judged.period}"
        reason = f"{name}: {figures}{lower} (last epoch: {last})"
        comparisons.append(Comparison(measure, median(x), median(y), result, reason))
    return judged.claim(comparisons)


def stability_claim(model: Sequence[RunResult], reference: Sequence[RunResult], not_comparable: str = "") -> dict:
    """Claim 3: the model's training is less stable. For the claim is a spread that is more than 1.25 times the
    reference's, against it one of which the reference's is more than 1.25 times as much.

    - `epochs`: standard deviation of the sliced Wasserstein distance over the last third of the epochs, mean over
      seeds.
    - `reconstruction`: the range of the test images' nats over the snapshots in the last third, mean over seeds.
    - `worst`: the greatest sliced Wasserstein distance of any epoch in the last third and any seed.
    - `seeds`: standard deviation of the last epoch's sliced Wasserstein distance over seeds.
    """
    measure = "sliced_wasserstein"
    judged = Judged(model, reference, not_comparable)
    a, b = judged.titles
    comparisons = []

    def compare(name: str, figures: tuple[float, float], what: str, unit: str = "") -> None:
        x, y = figures
        result = FOR if x > MORE_SPREAD * y else AGAINST if y > MORE_SPREAD * x else UNDECIDED
        if name != "reconstruction":
            result = judged.of_distances(result)
        elif model[0].snapshots < ENOUGH_SNAPSHOTS:
            result = TOO_SHORT
        comparisons.append(Comparison(name, x, y, result, f"{what}: {a} {x:.3g}{unit}, {b} {y:.3g}{unit}"))

    both = (model, reference)
    if judged.epochs >= 2:
        spread = tuple(mean(stdev(run.values(measure)) for run in runs) for runs in both)
        compare("epochs", spread, f"standard deviation of the sliced Wasserstein distance over {judged.period}")
    if model[0].snapshots >= 2:
        spread = tuple(mean(run.reconstruction_range for run in runs) for runs in both)
        what = f"range of the reconstruction error over the last {model[0].snapshots} snapshots"
        compare("reconstruction", spread, what, " nats")
    worst = tuple(max(pooled(runs, measure)) for runs in both)
    compare("worst", worst, f"greatest sliced Wasserstein distance in {judged.period}")
    if len(model) >= ENOUGH_SEEDS:
        spread = tuple(stdev(run.final_of(measure) for run in runs) for runs in both)
        what = f"standard deviation of the last epoch's sliced Wasserstein distance over {len(model)} seeds"
        compare("seeds", spread, what)
    return judged.claim(comparisons)


def time_claim(
    model: Sequence[RunResult],
    reference: Sequence[RunResult],
    *,
    flops_per_epoch: dict[str, int],
    seconds_per_epoch: dict[str, Sequence[float]],
    match_level: float,
    not_comparable: str = "",
) -> dict:
    """Claim 2: the model takes longer. For the claim is what is more than 1.05 times the reference's, against it what
    is less than the reference's by as much.

    - `flops`: of one epoch, from the sizes of the layers (`aae.flops`).
    - `seconds`: of one epoch, median over a run's epochs and mean over seeds.
    - `seconds_to_match`: seconds per epoch times the epochs until the sliced Wasserstein distance is `match_level` or
      less, median over a tenth of all epochs (`aae.summary.first_match`), mean over seeds. A model that in some seed
      never gets there takes longer than one that always does; if neither always does, it is left out.

    `flops_per_epoch` and, for each seed, `seconds_per_epoch` are given by recipe.
    """
    judged = Judged(model, reference, not_comparable)
    (a, b), names = judged.titles, judged.names
    comparisons = []

    def compare(name: str, x: float | None, y: float | None, reason: str) -> None:
        longer, shorter = (y is not None, x is not None) if None in (x, y) else (x > MORE_TIME * y, y > MORE_TIME * x)
        result = FOR if longer else AGAINST if shorter else UNDECIDED
        if name == "seconds_to_match":
            result = judged.of_distances(result)
        comparisons.append(Comparison(name, x, y, result, reason))

    x, y = (flops_per_epoch[name] for name in names)
    compare("flops", x, y, f"arithmetic per epoch: {a} {x / 1e9:.4g} GFLOP, {b} {y / 1e9:.4g} ({x / y:.2f} times)")
    x, y = (mean(seconds_per_epoch[name]) for name in names)
    compare("seconds", x, y, f"time per epoch: {a} {x:.3g} s, {b} {y:.3g} s ({x / y:.2f} times)")
    x, y = (
        seconds_to_match(runs, seconds_per_epoch[name], match_level)
        for name, runs in zip(names, (model, reference), strict=True)
    )
    if (x, y) != (None, None):
        never = "never" if len(model) == 1 else "not in every seed"
        shown = [never if each is None else f"{each:.3g} s" for each in (x, y)]
        tenth = math.ceil((len(model[0].match) - 1) / 10)
        when = "" if tenth == 1 else f", median of {tenth} epochs"
        until = f"time until the sliced Wasserstein distance is {match_level:g} or less{when}"
        what = f"{until}: {a} {shown[0]}, {b} {shown[1]}"
        compare("seconds_to_match", x, y, what)
    return judged.claim(comparisons)


def seconds_to_match(runs: Sequence[RunResult], seconds: Sequence[float], level: float) -> float | None:
    """Mean over the seeds; None if some run never gets to `level`."""
    epochs = [first_match(run, level) for run in runs]
    return None if None in epochs else mean(e * s for e, s in zip(epochs, seconds, strict=True))


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def pooled(runs: Sequence[RunResult], measure: str) -> list[float]:
    """The values of all epochs in the last third, of all runs."""
    return [value for run in runs for value in run.values(measure)]


def finals(runs: Sequence[RunResult], measure: str) -> list[str]:
    """The last epoch's value of each kind of codes, mean over seeds; the aggregated ones go by the model's title."""
    recipe = runs[0].recipe
    texts = [f"{recipe.title} {mean(run.final_of(measure) for run in runs):.3g}"]
    for kind in recipe.other_codes:
        texts.append(f"its {kind.title} {mean(run.final[f'codes{kind.suffix}.{measure}'] for run in runs):.3g}")
    return texts
