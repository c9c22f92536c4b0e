"""The floor: the measures of prior samples in place of codes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aae_native
import numpy as np

from aae.distances import code_metrics, match_metrics
from aae.evaluation_samples import FLOOR, TRAIN_FLOOR, evaluation_sample
from aae.priors import Prior
from aae.summary import flatten
from aae.targets import Target


def floor_metrics(prior: Prior, target: Target, repetitions: int) -> dict[str, dict[str, float]]:
    """`mean`, `low` and `high` of every measure of codes, over `repetitions` samples of the prior in place of codes.

    `low` and `high` enclose the middle 95 % (linear between order statistics). Each sample has `target.n` rows and is
    independent of the others and of all random numbers of a run. Measures that are not defined for the prior's
    dimension are left out.
    """
    target.self_kernel  # noqa: B018 - known once, before the threads ask for it
    return ranges(lambda i: code_metrics(evaluation_sample(prior, target.n, 0, FLOOR + i), target), repetitions)


def train_floor_metrics(prior: Prior, target: Target, repetitions: int) -> dict[str, dict[str, float]]:
    """The same for the training images, for which only the match is measured."""
    return ranges(lambda i: match_metrics(evaluation_sample(prior, target.n, 0, TRAIN_FLOOR + i), target), repetitions)


def ranges(measured: Callable[[int], dict[str, Any]], repetitions: int) -> dict[str, dict[str, float]]:
    """`mean`, `low` and `high` over `repetitions` calls of `measured`, which measures the i-th sample."""

    def measure(i: int) -> dict[str, Any]:
        return flatten(measured(i))

    with ThreadPoolExecutor(aae_native.get_threads()) as pool:  # NumPy releases the GIL while it computes
        rows = list(pool.map(measure, range(repetitions)))
    floor = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if None not in values:
            low, high = np.quantile(values, [0.025, 0.975])
            floor[name] = {"mean": float(np.mean(values)), "low": float(low), "high": float(high)}
    return floor
