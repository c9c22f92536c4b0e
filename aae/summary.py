"""From the numbers of every run to those of a model: over the last third of the epochs, and over the seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import mean, median, stdev

from aae.models import Recipe

Row = dict[str, float | None]  # of a table: column -> value, "epoch" among them


@dataclass(frozen=True)
class RunResult:
    """What was measured of one run. What has no suffix here is of the codes that are distributed as q(z)."""

    recipe: Recipe
    seed: int
    match: list[Row]  # a row an epoch
    curves: list[Row]  # a row a snapshot

    @property
    def suffix(self) -> str:
        """Of `codes`, `reconstruction` and `labels` in the names of columns."""
        return self.recipe.kind.aggregated

    @cached_property
    def last_third(self) -> list[Row]:
        """The rows of `match` in the last third of the epochs."""
        return rows_of_last_third(self.match, self.match[-1]["epoch"])

    @property
    def final(self) -> Row:
        """Of the last snapshot."""
        return self.curves[-1]

    def final_of(self, measure: str) -> float:
        """A measure of the last snapshot's codes."""
        return self.final[f"codes{self.suffix}.{measure}"]

    def values(self, measure: str) -> list[float]:
        """The same measure in every epoch of the last third."""
        return [row[f"codes{self.suffix}.{measure}"] for row in self.last_third]

    def all_values(self, measure: str) -> list[float]:
        """The same measure in every epoch, before training included."""
        return [row[f"codes{self.suffix}.{measure}"] for row in self.match]

    @cached_property
    def nats(self) -> list[float]:
        """The reconstruction error of every snapshot in the last third of the epochs."""
        rows = rows_of_last_third(self.curves, self.match[-1]["epoch"])
        return [row[f"reconstruction{self.suffix}.nats"] for row in rows]

    @property
    def snapshots(self) -> int:
        """How many snapshots there are in the last third of the epochs."""
        return len(self.nats)

    @property
    def reconstruction_range(self) -> float:
        return max(self.nats) - min(self.nats)


def last_third(match: Sequence[Row], curves: Sequence[Row]) -> dict:
    """Median, minimum and maximum of each measure over the last third of the epochs, nested as the metrics are.

    `match` has a row an epoch and gives the measures of codes; `curves`, a row a snapshot, those of reconstruction.
    `epochs` and `snapshots` say how many of each there were. Of e epochs of training, the last third are the last
    e/3, rounded up.
    """
    epochs, snapshots = (rows_of_last_third(rows, match[-1]["epoch"]) for rows in (match, curves))
    result: dict = {"epochs": len(epochs), "snapshots": len(snapshots)}
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

    That is: at which the sliced Wasserstein distance, median over the last tenth of all epochs (rounded up) up to this
    one, is `level` or less. A single epoch says little, because an AAE's codes wander, and epoch 0 says nothing,
    because the samples of an untrained VAE's q(z|x) are nearly the prior's.
    """
    column = f"codes{run.suffix}.sliced_wasserstein"
    values = [row[column] for row in run.match[1:]]
    window = math.ceil(len(values) / 10)
    ends = range(window, len(values) + 1)
    return next((end for end in ends if median(values[end - window : end]) <= level), None)


def summarize_model(runs: Sequence[RunResult], suffix: str) -> dict:
    """One model's numbers over its seeds, for the kind of codes with `suffix`.

    - `final`: mean over the seeds, and `std` if there are several, of the last snapshot's measures of codes (those of
      single axes left out), reconstruction and labels, and of the discriminator's accuracy.
    - `last_third`: of the measures that every epoch has, the median over the last third of the epochs, mean over
      the seeds, `std` of the seeds' medians, `min` and `max` of any epoch and seed.
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


def over_seeds(values: Sequence[float]) -> dict[str, float]:
    """Their `mean` and, of two or more, the standard deviation `std` (divisor one less than seeds)."""
    return {"mean": mean(values)} | ({"std": stdev(values)} if len(values) > 1 else {})


def flatten(metrics: dict, prefix: str = "") -> dict[str, float]:
    """Nested metrics in one level, with the dotted names of `dvc metrics diff`: `codes.axis_0.ks`."""
    flat = {}
    for key, value in metrics.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
