"""Summarises the numbers of all runs of a model: over the last third of the epochs, and over the seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import mean, median, stdev
from typing import Any

from aae.models import Recipe

Row = dict[str, Any]  # of a table: column -> a number or None; one column is "epoch"


@dataclass(frozen=True)
class RunResult:
    """The measures of one run. Methods without a suffix refer to the codes that are distributed as q(z)."""

    recipe: Recipe
    seed: int
    match: list[Row]  # one row per epoch
    curves: list[Row]  # one row per snapshot

    @property
    def suffix(self) -> str:
        """The suffix of `codes`, `reconstruction` and `labels` in the names of columns."""
        return self.recipe.aggregated.suffix

    @cached_property
    def last_third(self) -> list[Row]:
        """The rows of `match` in the last third of the epochs."""
        return rows_of_last_third(self.match, self.match[-1]["epoch"])

    @property
    def final(self) -> Row:
        """The row of the last snapshot."""
        return self.curves[-1]

    def final_of(self, measure: str) -> float:
        """A measure of the last snapshot's codes."""
        return self.final[f"codes{self.suffix}.{measure}"]

    def values(self, measure: str) -> list[float]:
        """A measure in every epoch of the last third."""
        return [row[f"codes{self.suffix}.{measure}"] for row in self.last_third]

    def all_values(self, measure: str) -> list[float]:
        """A measure at every epoch, including epoch 0, before training."""
        return [row[f"codes{self.suffix}.{measure}"] for row in self.match]

    @cached_property
    def nats(self) -> list[float]:
        """The reconstruction error of every snapshot in the last third of the epochs."""
        rows = rows_of_last_third(self.curves, self.match[-1]["epoch"])
        return [row[f"reconstruction{self.suffix}.nats"] for row in rows]

    @property
    def snapshots(self) -> int:
        """The number of snapshots in the last third of the epochs."""
        return len(self.nats)

    @property
    def reconstruction_range(self) -> float:
        return max(self.nats) - min(self.nats)


def last_third(match: Sequence[Row], curves: Sequence[Row]) -> dict[str, Any]:
    """Median, minimum and maximum of each measure over the last third of the epochs, nested as the metrics are.

    `match` has one row per epoch and gives the measures of codes; `curves` has one row per snapshot and gives those of
    reconstruction. `epochs` and `snapshots` are the numbers of rows used. The last third of e epochs are the last e/3,
    rounded up.
    """
    epochs, snapshots = (rows_of_last_third(rows, match[-1]["epoch"]) for rows in (match, curves))
    result: dict[str, Any] = {"epochs": len(epochs), "snapshots": len(snapshots)}
    columns = [(name, epochs) for name in match[0] if name != "epoch"]
    columns += [(name, snapshots) for name in curves[0] if name.startswith("reconstruction")]
    for name, rows in columns:
        values = [row[name] for row in rows]
        part, measure = name.split(".")
        result.setdefault(part, {})[measure] = {"median": median(values), "min": min(values), "max": max(values)}
    return result


def rows_of_last_third(rows: Sequence[Row], last_epoch: float) -> list[Row]:
    """The rows of the last third of the epochs 1 to `last_epoch`."""
    first = last_epoch - math.ceil(last_epoch / 3) + 1
    return [row for row in rows if row["epoch"] >= first]


def first_match(run: RunResult, level: float) -> int | None:
    """The first epoch at which the match has been good for a tenth of the training; None if there is none.

    At this epoch, the median of the sliced Wasserstein distance over a window that ends there is `level` or less. The
    window is a tenth of all epochs, rounded up. A single epoch is unreliable, because an AAE's codes wander. Epoch 0
    does not count, because the samples of an untrained VAE's q(z|x) nearly match the prior.
    """
    column = f"codes{run.suffix}.sliced_wasserstein"
    values = [row[column] for row in run.match[1:]]
    window = math.ceil(len(values) / 10)
    ends = range(window, len(values) + 1)
    return next((end for end in ends if median(values[end - window : end]) <= level), None)


def summarize_model(runs: Sequence[RunResult], suffix: str) -> dict[str, Any]:
    """One model's numbers over its seeds, for the kind of codes with `suffix`.

    - `final`: the last snapshot's measures of codes (without those of single axes), reconstruction and labels, and the
      discriminator's accuracy; `mean` over the seeds, and `std` if there are several.
    - `last_third`: the measures that every epoch has, over the last third of the epochs. `median` and `std` are the
      mean and standard deviation over the seeds of each run's median; `min` and `max` are over all epochs and seeds.
    """
    parts = {f"{part}{suffix}": "" for part in ("codes", "reconstruction", "labels")}
    names = {}
    for column in runs[0].final:
        part, _, measure = column.partition(".")
        if part in parts and "." not in measure:
            names[measure] = column
        elif column == "discriminator.accuracy" and suffix == runs[0].suffix:
            names["discriminator_accuracy"] = column
    final = {}
    for measure, column in names.items():
        values = [run.final[column] for run in runs]
        if None not in values:
            final[measure] = over_seeds(values)
    thirds = {}
    for column in runs[0].match[0]:
        part, _, measure = column.partition(".")
        if part == f"codes{suffix}":
            series = [[row[column] for row in run.last_third] for run in runs]
            medians = over_seeds([median(values) for values in series])
            thirds[measure] = {"median": medians.pop("mean"), **medians}
            thirds[measure] |= {"min": min(map(min, series)), "max": max(map(max, series))}
    return {"final": final, "last_third": thirds}


def machine_of(timing: Mapping[str, Any]) -> dict[str, Any]:
    """The machine and the settings that the seconds in a run's `timing` depend on."""
    return {key: value for key, value in timing.items() if not key.startswith("seconds")}


def over_seeds(values: Sequence[float]) -> dict[str, float]:
    """The `mean` of the values and, for two or more, their standard deviation `std` (divisor n - 1)."""
    return {"mean": mean(values)} | ({"std": stdev(values)} if len(values) > 1 else {})


def flatten(metrics: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Flattens nested metrics to the dotted names of `dvc metrics diff`, such as `codes.axis_0.ks`."""
    flat: dict[str, Any] = {}
    for key, value in metrics.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
