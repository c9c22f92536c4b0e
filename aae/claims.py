"""The post's three claims about an AAE compared with a VAE, each with a verdict that follows from the numbers.

The claims: the AAE's codes match the prior better, it takes longer to train, and it is less stable. Any model whose
kind names another to compare with is judged like the AAE, and that other is its reference. Each claim consists of
comparisons of one number of the model with the reference's; each is for the claim, against it, or undecided.
A claim is `supported` if every comparison is for it, `not supported` if none is, and `mixed` otherwise. A comparison
that the results do not allow (the spread over seeds of one seed) is left out. What is compared are the codes that are
distributed as the aggregated posterior, each with the prior that the model was trained for.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median, stdev
from typing import Any

from aae.summary import RunResult, first_match

SUPPORTED, MIXED, NOT_SUPPORTED = "supported", "mixed", "not supported"
FOR, AGAINST, UNDECIDED = "for", "against", "undecided"

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
    """A model's runs and its reference's, each in order of seed."""

    model: Sequence[RunResult]
    reference: Sequence[RunResult]

    @property
    def names(self) -> tuple[str, str]:
        return self.model[0].recipe.name, self.reference[0].recipe.name

    @property
    def titles(self) -> tuple[str, str]:
        return self.model[0].recipe.title, self.reference[0].recipe.title

    @property
    def period(self) -> str:
        """The last third of the epochs in words."""
        epochs, seeds = len(self.model[0].last_third), len(self.model)
        of_seeds = f" of each of {seeds} seeds" if seeds > 1 else ""
        return f"the last {'epoch' if epochs == 1 else f'{epochs} epochs'}{of_seeds}"

    def claim(self, comparisons: Sequence[Comparison]) -> dict[str, Any]:
        """`verdict`, `reasons` (a sentence for each comparison) and, by the comparison's name, its `result` and the
        two numbers under the names of the recipes."""
        results = [each.result for each in comparisons]
        verdict = MIXED
        if all(result == FOR for result in results):
            verdict = SUPPORTED
        elif FOR not in results:
            verdict = NOT_SUPPORTED
        model, reference = self.names
        return {
            "verdict": verdict,
            "reasons": [f"{each.reason}: {each.result}" for each in comparisons],
            **{
                each.name: {model: each.model, reference: each.reference, "result": each.result} for each in comparisons
            },
        }


def match_claim(
    model: Sequence[RunResult], reference: Sequence[RunResult], floor: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Claim 1: the model's codes are closer to the prior and have fewer gaps. Runs in order of seed.

    Compared are two distances and two measures of gaps (`MATCH_MEASURES`), in every epoch of the last third, seed
    by seed. For the claim is a measure that is lower for the model in at least two thirds of these epochs and in the
    median over all of them; against it, one that is lower for the reference. A value within the floor counts as its
    upper end (`floor` is recipe -> measure -> {high}): below, codes cannot be told from samples of the prior.
    """
    judged = Judged(model, reference)
    (a, b), (name_a, name_b) = judged.titles, judged.names
    comparisons = []
    for measure, name in MATCH_MEASURES.items():
        x, y = pooled(model, measure), pooled(reference, measure)
        x_above = [max(value, floor[name_a][measure]["high"]) for value in x]
        y_above = [max(value, floor[name_b][measure]["high"]) for value in y]
        share = mean((v < w) + (v == w) / 2 for v, w in zip(x_above, y_above, strict=True))
        less, more = median(x_above) < median(y_above), median(x_above) > median(y_above)
        result = FOR if less and share >= CLEARLY else AGAINST if more and share <= 1 - CLEARLY else UNDECIDED
        last = ", ".join(text for runs in (model, reference) for text in finals(runs, measure))
        reason = (
            f"{name}: {a} {median(x):.3g}, {b} {median(y):.3g}, medians of {judged.period}; "
            f"lower for {a} in {share:.0%} of them (last epoch: {last})"
        )
        comparisons.append(Comparison(measure, median(x), median(y), result, reason))
    return judged.claim(comparisons)


def stability_claim(model: Sequence[RunResult], reference: Sequence[RunResult]) -> dict[str, Any]:
    """Claim 3: the model's training is less stable. For the claim is a spread that is more than 1.25 times the
    reference's, against it one of which the reference's is more than 1.25 times as much.

    - `epochs`: standard deviation of the sliced Wasserstein distance over the last third of the epochs, mean over
      seeds; of three epochs or more.
    - `reconstruction`: the range of the test images' nats over the snapshots in the last third, mean over seeds; of
      two snapshots or more.
    - `worst`: the greatest sliced Wasserstein distance of any epoch in the last third and any seed.
    - `seeds`: standard deviation of the last epoch's sliced Wasserstein distance over seeds; of two seeds or more.
    """
    measure = "sliced_wasserstein"
    judged = Judged(model, reference)
    a, b = judged.titles
    comparisons = []

    def compare(name: str, figures: tuple[float, ...], what: str, unit: str = "") -> None:
        x, y = figures
        result = FOR if x > MORE_SPREAD * y else AGAINST if y > MORE_SPREAD * x else UNDECIDED
        comparisons.append(Comparison(name, x, y, result, f"{what}: {a} {x:.3g}{unit}, {b} {y:.3g}{unit}"))

    both = (model, reference)
    if len(model[0].last_third) >= 3:
        spread = tuple(mean(stdev(run.values(measure)) for run in runs) for runs in both)
        compare("epochs", spread, f"standard deviation of the sliced Wasserstein distance over {judged.period}")
    if model[0].snapshots >= 2:
        spread = tuple(mean(run.reconstruction_range for run in runs) for runs in both)
        what = f"range of the reconstruction error over the last {model[0].snapshots} snapshots"
        compare("reconstruction", spread, what, " nats")
    worst = tuple(max(pooled(runs, measure)) for runs in both)
    compare("worst", worst, f"greatest sliced Wasserstein distance in {judged.period}")
    if len(model) >= 2:
        spread = tuple(stdev(run.final_of(measure) for run in runs) for runs in both)
        what = f"standard deviation of the last epoch's sliced Wasserstein distance over {len(model)} seeds"
        compare("seeds", spread, what)
    return judged.claim(comparisons)


def time_claim(
    model: Sequence[RunResult],
    reference: Sequence[RunResult],
    *,
    flops_per_epoch: Mapping[str, float],
    seconds_per_epoch: Mapping[str, Sequence[float]],
    match_level: float,
) -> dict[str, Any]:
    """Claim 2: the model takes longer. For the claim is what is more than 1.05 times the reference's, against it what
    is less than the reference's by as much.

    - `flops`: of one epoch, from the sizes of the layers (`aae.flops`).
    - `seconds`: of one epoch, median over a run's epochs and mean over seeds.
    - `seconds_to_match`: seconds per epoch times the epochs until the sliced Wasserstein distance is `match_level` or
      less, median over a tenth of all epochs (`aae.summary.first_match`), mean over seeds. A model that in some seed
      never gets there takes longer than one that always does; if neither always does, it is left out.

    `flops_per_epoch` and, for each seed, `seconds_per_epoch` are given by recipe.
    """
    judged = Judged(model, reference)
    (a, b), names = judged.titles, judged.names
    comparisons = []

    def compare(name: str, x: float | None, y: float | None, reason: str) -> None:
        if x is None or y is None:
            longer, shorter = y is not None, x is not None
        else:
            longer, shorter = x > MORE_TIME * y, y > MORE_TIME * x
        result = FOR if longer else AGAINST if shorter else UNDECIDED
        comparisons.append(Comparison(name, x, y, result, reason))

    x, y = (flops_per_epoch[name] for name in names)
    compare("flops", x, y, f"arithmetic per epoch: {a} {x / 1e9:.4g} GFLOP, {b} {y / 1e9:.4g} ({x / y:.2f} times)")
    x, y = (mean(seconds_per_epoch[name]) for name in names)
    compare("seconds", x, y, f"time per epoch: {a} {x:.3g} s, {b} {y:.3g} s ({x / y:.2f} times)")
    to_x, to_y = (
        seconds_to_match(runs, seconds_per_epoch[name], match_level)
        for name, runs in zip(names, (model, reference), strict=True)
    )
    if (to_x, to_y) != (None, None):
        never = "never" if len(model) == 1 else "not in every seed"
        shown = [never if each is None else f"{each:.3g} s" for each in (to_x, to_y)]
        tenth = math.ceil((len(model[0].match) - 1) / 10)
        when = "" if tenth == 1 else f", median of {tenth} epochs"
        until = f"time until the sliced Wasserstein distance is {match_level:g} or less{when}"
        what = f"{until}: {a} {shown[0]}, {b} {shown[1]}"
        compare("seconds_to_match", to_x, to_y, what)
    return judged.claim(comparisons)


def seconds_to_match(runs: Sequence[RunResult], seconds: Sequence[float], level: float) -> float | None:
    """Mean over the seeds; None if some run never gets to `level`."""
    epochs = [epoch for run in runs if (epoch := first_match(run, level)) is not None]
    return mean(e * s for e, s in zip(epochs, seconds, strict=True)) if len(epochs) == len(runs) else None


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
