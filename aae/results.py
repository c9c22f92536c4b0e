"""The report's input: the results of every run, grouped by model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from aae.charts import Line
from aae.models import CodesKind, Recipe
from aae.priors import Prior

COLOURS = 6  # the classes model-0 to model-5 in aae/page/style.css
PICTURED_SEEDS = 5  # the page has pictures of the first so many seeds


@dataclass(frozen=True)
class Run:
    """The results of one recipe and seed."""

    recipe: Recipe
    seed: int
    metrics: dict[str, Any]  # of the last snapshot
    curves: list[dict[str, Any]]  # one row per snapshot
    match: list[dict[str, Any]]  # one row per epoch
    history: dict[str, Line]  # loss -> its line
    timing: dict[str, Any]
    # For the pictures; only runs of the first `PICTURED_SEEDS` seeds need these.
    codes: np.ndarray | None = None  # float32 [epochs + 1, test images, encoder outputs]
    snapshots: Mapping[int, Path] = field(default_factory=dict)  # epoch -> file
    figures: dict[str, bytes] = field(default_factory=dict)  # of the last snapshot: `scatter` and `manifold`, PNG

    @property
    def name(self) -> str:
        return f"{self.recipe.name}-{self.seed}"

    @property
    def last_epoch(self) -> int:
        return int(self.curves[-1]["epoch"])

    def curve(self, column: str, first_epoch: int = 0) -> Line:
        """A column of `match`, or of `curves` if `match` does not have it, from `first_epoch` on."""
        rows = self.match if column in self.match[0] else self.curves
        return [(row["epoch"], row[column]) for row in rows if row["epoch"] >= first_epoch]

    def measured(self, part: str, key: str) -> float | None:
        """A measure of the last snapshot, or None; `part` is a dotted name."""
        found = self.metrics
        for name in part.split("."):
            found = found.get(name, {})
        return found.get(key)


@dataclass(frozen=True)
class Results:
    """Everything that the report shows."""

    runs: list[Run]  # each recipe has the same seeds in the same order
    code_size: int
    class_names: Sequence[str]  # of the labels 0, 1, ...; empty for data without labels
    cells: int  # per axis
    projections: int
    manifold_size: int
    manifold_range: float | Literal["auto"]
    parameters: dict[str, Any]  # as in params.yaml, for the list of parameters
    floor: dict[str, dict[str, Any]]  # recipe -> `codes` (measure -> mean, low and high for prior samples) and `train`
    claims: dict[str, dict[str, Any]]  # recipe -> claim -> verdict and reasons
    commit: str = "unknown"
    files: list[str] = field(default_factory=list)  # files with the numbers; paths in the repository

    @cached_property
    def models(self) -> list["Model"]:
        recipes = {run.recipe.name: run.recipe for run in self.runs}
        return [
            Model(
                place,
                recipe,
                [run for run in self.runs if run.recipe.name == name],
                recipe.prior(self.code_size, len(self.class_names)),
                self.floor[name],
            )
            for place, (name, recipe) in enumerate(recipes.items())
        ]

    @property
    def seeds(self) -> list[int]:
        return list(dict.fromkeys(run.seed for run in self.runs))

    @property
    def pictured_seeds(self) -> list[int]:
        return self.seeds[:PICTURED_SEEDS]

    @property
    def pictured_runs(self) -> list[Run]:
        return [run for run in self.runs if run.seed in self.pictured_seeds]


@dataclass(frozen=True)
class Model:
    """A recipe and its runs; `place` counts the recipes."""

    place: int
    recipe: Recipe
    runs: list[Run]
    prior: Prior
    floor: dict[str, Any]

    @property
    def name(self) -> str:
        return self.recipe.name

    @property
    def first_run(self) -> str:
        return self.runs[0].name

    @property
    def title(self) -> str:
        return self.recipe.title

    @property
    def long_title(self) -> str:
        """The kind in words, with the title if that says more than the kind."""
        kind = self.recipe.kind
        return kind.long_title if self.title == kind.title else f"{kind.long_title} ({self.title})"

    @property
    def style(self) -> str:
        """The CSS class of the model's colour."""
        return f"model-{self.place % COLOURS}"

    @property
    def encoded(self) -> str:
        """The name of the codes that the pictures show."""
        return self.recipe.pictured.title or "codes"


@dataclass(frozen=True)
class Codes:
    """A kind of codes of a model. The primary codes are those distributed as q(z)."""

    model: Model
    kind: CodesKind

    @property
    def primary(self) -> bool:
        return self.kind == self.model.recipe.aggregated

    @property
    def name(self) -> str:
        return f"{self.model.title}, {self.kind.title}" if self.kind.title else self.model.title


@dataclass(frozen=True)
class Floor:
    """The measures of samples of a prior in place of codes. Models with the same floor share one.

    `prior` names the prior if there are several floors, and is empty otherwise.
    """

    prior: str
    parts: dict[str, Any]  # `codes` and `train`, as in `Results.floor`

    @property
    def name(self) -> str:
        return f"true prior samples, {self.prior}" if self.prior else "true prior samples"

    def level(self, part: str, key: str) -> dict[str, float] | None:
        """Mean, low and high of a measure of codes, if the floor has it."""
        found = {"codes": self.parts, "train.codes": self.parts.get("train", {})}.get(part, {})
        return found.get("codes", {}).get(key)
