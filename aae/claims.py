"""The post's three claims about the AAE beside the VAE, each with a verdict that follows from the numbers.

The claims: the AAE's codes match the prior better, it takes longer to train, and it is less stable. Each is broken up
into comparisons of one number of either model; each comparison is for the claim, against it, or undecided.
A claim is `supported` if every comparison is for it, `not supported` if none is, and `mixed` otherwise. A comparison
that the results do not allow (the spread over seeds of one seed) is left out. What is compared are the AAE's codes with
samples of the VAE's q(z|x), whose distribution is its aggregated posterior, each with the prior it was trained for.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median, stdev

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
    """One number of either model, and whether it is for the claim."""

    name: str
    aae: float | None
    vae: float | None
    result: str
    reason: str


def claim(comparisons: Sequence[Comparison]) -> dict:
    """`verdict`, `reasons` (a sentence a comparison) and, by name, each comparison's `aae`, `vae` and `result`."""
    results = [each.result for each in comparisons]
    verdict = MIXED
    if all(result == FOR for result in results):
        verdict = SUPPORTED
    elif FOR not in results:
        verdict = NOT_SUPPORTED
    return {
        "verdict": verdict,
        "reasons": [f"{each.reason}: {each.result}" for each in comparisons],
        **{each.name: {"aae": each.aae, "vae": each.vae, "result": each.result} for each in comparisons},
    }


def match_claim(aae: Sequence[RunResult], vae: Sequence[RunResult], floor: dict[str, dict]) -> dict:
    """Claim 1: the AAE's codes are closer to the prior and have fewer gaps. Runs in order of seed.

    Compared are two distances and two measures of gaps (`MATCH_MEASURES`), in every epoch of the last third, seed
    by seed. For the claim is a measure that is less for the AAE in at least two thirds of these epochs and in the
    median over all of them; against it, one for which the VAE's is. A value within the floor counts as its upper
    end (`floor` is model -> measure -> {high}): below, codes cannot be told from samples of the prior.
    """
    comparisons = []
    for measure, name in MATCH_MEASURES.items():
        values = {"aae": pooled(aae, measure), "vae": pooled(vae, measure)}
        above = {model: [max(x, floor[model][measure]["high"]) for x in values[model]] for model in values}
        pairs = list(zip(above["aae"], above["vae"], strict=True))
        share = mean((x < y) + (x == y) / 2 for x, y in pairs)
        middle = {model: median(values[model]) for model in values}
        less, more = (median(above["aae"]) < median(above["vae"]), median(above["aae"]) > median(above["vae"]))
        result = FOR if less and share >= CLEARLY else AGAINST if more and share <= 1 - CLEARLY else UNDECIDED
        means = mean(run.final[f"codes.{measure}"] for run in vae)
        reason = (
            f"{name}: AAE {middle['aae']:.3g}, VAE {middle['vae']:.3g}, medians of {epochs_and_seeds(aae)}; "
            f"the AAE's is less in {share:.0%} of them (last epoch: AAE {finals(aae, measure):.3g}, "
            f"VAE {finals(vae, measure):.3g}, means of q(z|x) {means:.3g})"
        )
        comparisons.append(Comparison(measure, middle["aae"], middle["vae"], result, reason))
    return claim(comparisons)


def stability_claim(aae: Sequence[RunResult], vae: Sequence[RunResult]) -> dict:
    """Claim 3: the AAE's training is less stable. For the claim is a spread that is 1.25 times the VAE's or more,
    against it one of which the VAE's is 1.25 times as much.

    - `epochs`: standard deviation of the sliced Wasserstein distance over the last third of the epochs, mean over
      seeds; of three epochs or more.
    - `reconstruction`: the range of the test images' nats over the snapshots in the last third, mean over seeds; of
      two snapshots or more.
    - `worst`: the greatest sliced Wasserstein distance of any epoch in the last third and any seed.
    - `seeds`: standard deviation of the last epoch's sliced Wasserstein distance over seeds; of two seeds or more.
    """
    measure = "sliced_wasserstein"
    when = epochs_and_seeds(aae)
    comparisons = []

    def compare(name: str, figures: tuple[float, float], what: str, unit: str = "") -> None:
        x, y = figures
        result = FOR if x > MORE_SPREAD * y else AGAINST if y > MORE_SPREAD * x else UNDECIDED
        comparisons.append(Comparison(name, x, y, result, f"{what}: AAE {x:.3g}{unit}, VAE {y:.3g}{unit}"))

    if len(aae[0].last_third) >= 3:
        spread = tuple(mean(stdev(run.values(measure)) for run in runs) for runs in (aae, vae))
        compare("epochs", spread, f"standard deviation of the sliced Wasserstein distance over {when}")
    if aae[0].snapshots >= 2:
        spread = tuple(mean(run.reconstruction_range for run in runs) for runs in (aae, vae))
        what = f"range of the reconstruction error over the last {aae[0].snapshots} snapshots"
        compare("reconstruction", spread, what, " nats")
    worst = tuple(max(pooled(runs, measure)) for runs in (aae, vae))
    compare("worst", worst, f"greatest sliced Wasserstein distance in {when}")
    if len(aae) >= 2:
        spread = tuple(stdev(run.final_of(measure) for run in runs) for runs in (aae, vae))
        what = f"standard deviation of the last epoch's sliced Wasserstein distance over {len(aae)} seeds"
        compare("seeds", spread, what)
    return claim(comparisons)


def time_claim(
    aae: Sequence[RunResult],
    vae: Sequence[RunResult],
    *,
    flops_per_epoch: dict[str, int],
    seconds_per_epoch: dict[str, Sequence[float]],
    match_level: float,
) -> dict:
    """Claim 2: the AAE takes longer. For the claim is what is more than 1.05 times the VAE's, against it what is less
    than the VAE's by as much.

    - `flops`: an epoch's, from the sizes of the layers (`aae.flops`).
    - `seconds`: an epoch's, median over a run's epochs and mean over seeds.
    - `seconds_to_match`: seconds an epoch times the epochs until the sliced Wasserstein distance is `match_level` or
      less, median over a tenth of all epochs (`aae.summary.first_match`), mean over seeds. A model that in some seed
      never gets there takes longer than one that always does; if neither always does, it is left out.
    """
    comparisons = []

    def compare(name: str, x: float | None, y: float | None, reason: str) -> None:
        longer, shorter = (y is not None, x is not None) if None in (x, y) else (x > MORE_TIME * y, y > MORE_TIME * x)
        result = FOR if longer else AGAINST if shorter else UNDECIDED
        comparisons.append(Comparison(name, x, y, result, reason))

    x, y = flops_per_epoch["aae"], flops_per_epoch["vae"]
    compare("flops", x, y, f"arithmetic of an epoch: AAE {x / 1e9:.4g} GFLOP, VAE {y / 1e9:.4g} ({x / y:.2f} times)")
    x, y = (mean(seconds_per_epoch[model]) for model in ("aae", "vae"))
    compare("seconds", x, y, f"an epoch: AAE {x:.3g} s, VAE {y:.3g} s ({x / y:.2f} times)")
    x, y = (
        seconds_to_match(runs, seconds_per_epoch[model], match_level) for model, runs in (("aae", aae), ("vae", vae))
    )
    if (x, y) != (None, None):
        shown = ["never in some seed" if each is None else f"{each:.3g} s" for each in (x, y)]
        tenth = math.ceil((len(aae[0].match) - 1) / 10)
        when = "" if tenth == 1 else f", median of {tenth} epochs"
        what = f"until the sliced Wasserstein distance is {match_level:g} or less{when}: AAE {shown[0]}, VAE {shown[1]}"
        compare("seconds_to_match", x, y, what)
    return claim(comparisons)


def seconds_to_match(runs: Sequence[RunResult], seconds: Sequence[float], level: float) -> float | None:
    """Mean over the seeds; None if some run never gets to `level`."""
    epochs = [first_match(run, level) for run in runs]
    return None if None in epochs else mean(e * s for e, s in zip(epochs, seconds, strict=True))


def pooled(runs: Sequence[RunResult], measure: str) -> list[float]:
    """The values of all epochs in the last third, of all runs."""
    return [value for run in runs for value in run.values(measure)]


def finals(runs: Sequence[RunResult], measure: str) -> float:
    return mean(run.final_of(measure) for run in runs)


def epochs_and_seeds(runs: Sequence[RunResult]) -> str:
    epochs = len(runs[0].last_third)
    seeds = f" of each of {len(runs)} seeds" if len(runs) > 1 else ""
    return f"the last {'epoch' if epochs == 1 else f'{epochs} epochs'}{seeds}"
