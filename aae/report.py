"""The report: one HTML page from the results of all runs that holds everything it shows, and a twin in Markdown.

This module has the numbers. `charts.py` has the geometry of the curves, `page_data.py` what the page computes from,
and the folder `page/` the words, the looks and the scripts.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from aae.charts import FRAME, Level, Line, Series, chart
from aae.page_data import page_data, prior_name

PAGE = Path(__file__).parent / "page"
NAMES = {"aae": "adversarial autoencoder", "vae": "variational autoencoder"}


@dataclass(frozen=True)
class Run:
    """The results of one (model, seed)."""

    model: str
    seed: int
    metrics: dict  # of the last snapshot
    curves: list[dict[str, float]]  # a row a snapshot
    match: list[dict[str, float]]  # a row an epoch
    history: dict[str, Line]  # of each loss
    timing: dict
    codes: np.ndarray  # float32 [epochs + 1, test images, encoder outputs]
    snapshots: Mapping[int, Path]  # epoch -> file
    figures: dict[str, bytes]  # of the last snapshot: `scatter` and `manifold`, PNG

    @property
    def name(self) -> str:
        return f"{self.model}-{self.seed}"

    @property
    def last_epoch(self) -> int:
        return int(self.curves[-1]["epoch"])

    def curve(self, column: str, first_epoch: int = 0) -> Line:
        """A column of the rows an epoch, or where these lack it, of the rows a snapshot, from an epoch on."""
        rows = self.match if column in self.match[0] else self.curves
        return [(row["epoch"], row[column]) for row in rows if row["epoch"] >= first_epoch]


@dataclass(frozen=True)
class Results:
    """All that the report tells."""

    runs: list[Run]  # of each model the same seeds in the same order
    parameters: dict
    floor: dict  # of each model, by measure of its codes: mean, low and high between samples of its prior
    claims: dict  # name -> verdict and reasons
    commit: str = "unknown"
    links: list[str] = field(default_factory=list)  # to files with the numbers, as seen from the report

    @property
    def models(self) -> dict[str, list[Run]]:
        return {run.model: [other for other in self.runs if other.model == run.model] for run in self.runs}

    @property
    def seeds(self) -> list[int]:
        return list(dict.fromkeys(run.seed for run in self.runs))


@dataclass(frozen=True)
class Codes:
    """A kind of codes of a model: the primary ones are distributed as q(z), a VAE's means are others."""

    model: str
    suffix: str  # of `codes` and `reconstruction` among the metrics
    detail: str = ""
    primary: bool = True

    @property
    def name(self) -> str:
        return f"{self.model.upper()}, {self.detail}" if self.detail else self.model.upper()


@dataclass(frozen=True)
class Floor:
    """What the measures are between a prior and samples of it; models with the same prior share one."""

    name: str
    measures: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Measure:
    """A row of the table."""

    part: str
    key: str
    name: str
    better: str
    text: Callable[[float], str]
    error: Callable[[float], float] = abs  # the less the better


MEASURES = [
    Measure("codes", "sliced_wasserstein", "Sliced Wasserstein distance", "lower", "{:.3f}".format),
    Measure("codes", "sliced_wasserstein_centred", "… with the mean removed", "lower", "{:.3f}".format),
    Measure("codes", "chi2_per_dof", "Chi² per degree of freedom", "near 1", "{:.2f}".format, lambda x: abs(x - 1)),
    Measure("codes", "empty_cells", "Empty cells", "lower", "{:.1%}".format),
    Measure("codes", "ks_max", "Kolmogorov-Smirnov statistic", "lower", "{:.3f}".format),
    Measure("codes", "energy_distance", "Energy distance", "lower", "{:.4f}".format),
    Measure("codes", "mmd2", "Squared maximum mean discrepancy x 1000", "lower", lambda x: f"{1000 * x:.3f}"),
    Measure("labels", "knn_accuracy", "10-nearest-neighbour accuracy", "higher", "{:.1%}".format, lambda x: 1 - x),
    Measure("labels", "probe_accuracy", "Linear probe's accuracy", "higher", "{:.1%}".format, lambda x: 1 - x),
    Measure("reconstruction", "nats", "Cross-entropy, nats an image", "lower", "{:.1f}".format),
    Measure("reconstruction", "mse", "Squared error a pixel", "lower", "{:.4f}".format),
]

CLAIMS = {
    "match": "The AAE's codes are closer to the prior and have fewer gaps than the VAE's",
    "time": "The AAE takes longer to train",
    "stability": "The AAE is less stable in training",
}


def render_page(results: Results, images: np.ndarray, labels: np.ndarray) -> str:
    """The page, with the pictures of all runs where codes have two dimensions, and of each model's first elsewhere.

    Args:
        results: of every run.
        images, labels: the test images uint8 [n, height, width] and their labels [n].
    """
    index, base64 = None, {}
    if results.parameters["code_size"] == 2:
        index, base64 = page_data(results.runs, results.parameters, images, labels)
    return (
        environment(autoescape=True)
        .get_template("index.html.j2")
        .render(content(results), charts=charts(results), frame=FRAME, index=index, base64=base64)
    )


def render_markdown(results: Results) -> str:
    """The twin, which shows the files `<run>-scatter.png` and `<run>-manifold.png` beside it."""
    return environment(autoescape=False).get_template("report.md.j2").render(content(results))


def environment(autoescape: bool) -> Environment:
    """Jinja's, for the templates in `page/`; `source` gives the text of a file there as it is."""
    made = Environment(
        loader=FileSystemLoader(PAGE),
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.globals["source"] = lambda name: Markup((PAGE / name).read_text(encoding="utf-8"))
    made.filters["data_uri"] = lambda png: f"data:image/png;base64,{b64encode(png).decode()}"
    return made


def content(results: Results) -> dict:
    """What both templates tell."""
    kinds, floors = kinds_of_codes(results), floors_of(results)
    table = [table_row(measure, kinds, floors, results) for measure in MEASURES if measured(measure, results)]
    common, timing = timing_table(results.runs)
    return {
        "results": results,
        "names": NAMES,
        "parameters": results.parameters,
        "settings": dict(settings(results.parameters)),
        "priors": {model: prior_text(model, results.parameters) for model in results.models},
        "answer": answer(kinds, table, results),
        "claims": [claim_entry(claim, results.claims[name]) for name, claim in CLAIMS.items()],
        "kinds": kinds,
        "floors": floors,
        "table": table,
        "common": common,
        "timing": timing,
    }


def prior_text(model: str, parameters: dict) -> str:
    """The model's prior in a few words."""
    name = prior_name(model, parameters)
    shape = parameters["prior"][name]
    if name == "normal":
        return "N(0, I)" if shape["std"] == 1 else f"N(0, {shape['std']:g}² I)"
    if name == "uniform":
        return f"uniform on [-{shape['bound']:g}, {shape['bound']:g}] on every axis"
    return "a mixture of Gaussians on a circle" if name == "mixture" else "a swiss roll"


def claim_entry(claim: str, found: dict) -> dict:
    """The claim, the verdict, and for each reason its result and what was compared.

    A reason of `aae.claims` ends in its result: `for`, `against` or `undecided`.
    """
    reasons = []
    for reason in found["reasons"]:
        text, _, result = reason.rpartition(": ")
        reasons.append({"result": result, "text": text[:1].upper() + text[1:]})
    return {"claim": claim, "verdict": found["verdict"], "reasons": reasons}


def settings(parameters: dict, prefix: str = ""):
    """(dotted name, value as text) of each parameter."""
    for name, value in parameters.items():
        if isinstance(value, dict):
            yield from settings(value, f"{prefix}{name}.")
        else:
            yield prefix + name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


# --- numbers --------------------------------------------------------------------------------------


def kinds_of_codes(results: Results) -> list[Codes]:
    """The kinds of codes in the runs' metrics, those of a model side by side."""
    kinds = []
    for model, runs in results.models.items():
        if "codes_sampled" in runs[0].metrics:
            kinds.append(Codes(model, "_sampled", "samples of q(z|x)"))
            kinds.append(Codes(model, "", "means of q(z|x)", primary=False))
        else:
            kinds.append(Codes(model, ""))
    return kinds


def floors_of(results: Results) -> list[Floor]:
    """One floor for all models whose floors are the same."""
    floors = [results.floor[model] for model in results.models]
    if all(floor == floors[0] for floor in floors):
        return [Floor("samples of the prior", floors[0])]
    return [Floor(f"samples of the {model.upper()}'s prior", results.floor[model]) for model in results.models]


def measured(measure: Measure, results: Results) -> bool:
    """Whether the runs' metrics have it; some are of codes of certain priors or sizes only."""
    return all(run.metrics.get(measure.part, {}).get(measure.key) is not None for run in results.runs)


def table_row(measure: Measure, kinds: Sequence[Codes], floors: Sequence[Floor], results: Results) -> dict:
    """A cell for each kind of codes, and the floors where there are any."""
    cells = [
        table_cell(measure, [run.metrics[measure.part + kind.suffix] for run in results.models[kind.model]])
        for kind in kinds
    ]
    least = min(cell["error"] for cell, kind in zip(cells, kinds, strict=True) if kind.primary)
    for cell, kind in zip(cells, kinds, strict=True):
        cell["best"] = kind.primary and cell["error"] == least
    levels = [floor.measures.get(measure.key) if measure.part == "codes" else None for floor in floors]
    return {
        "measure": measure,
        "cells": cells,
        "floors": [level and {key: measure.text(value) for key, value in level.items()} for level in levels],
    }


def table_cell(measure: Measure, metrics: Sequence[dict]) -> dict:
    """Mean and standard deviation over the seeds, as text, and the mean's error."""
    values = [entry[measure.key] for entry in metrics]
    text = measure.text(mean(values))
    if len(set(values)) > 1:
        text += f" ± {measure.text(stdev(values))}"
    return {"text": text, "error": measure.error(mean(values))}


def answer(kinds: Sequence[Codes], table: Sequence[dict], results: Results) -> dict:
    """What the report opens with: the distance and the reconstruction of each model's primary codes."""
    distance, nats = (next(row for row in table if row["measure"].key == key) for key in ("sliced_wasserstein", "nats"))
    entries = [
        {"model": kind.model, "distance": far["text"], "error": far["error"], "nats": cost["text"]}
        for kind, far, cost in zip(kinds, distance["cells"], nats["cells"], strict=True)
        if kind.primary
    ]
    return {
        "epoch": results.runs[0].last_epoch,
        "models": entries,
        "nearest": min(entries, key=lambda entry: entry["error"])["model"],
        "floor": distance["floors"][0]["mean"],
    }


def timing_table(runs: Sequence[Run]) -> tuple[dict, list[dict]]:
    """What all runs' timing has in common, and a row a run of what differs or was timed."""
    keys = list(dict.fromkeys(key for run in runs for key in run.timing))
    common = {
        key: runs[0].timing[key]
        for key in keys
        if not key.startswith("seconds") and len({str(run.timing.get(key)) for run in runs}) == 1
    }
    rows = [
        {"run": run.name} | {key: run.timing.get(key, "unknown") for key in keys if key not in common} for run in runs
    ]
    return common, rows


def charts(results: Results) -> list[dict]:
    """The page's charts: of the test images at epochs or snapshots, and of training at every epoch."""
    kinds, models = kinds_of_codes(results), results.models

    def of_codes(key: str) -> dict:
        return {
            "series": series("codes", key),
            "levels": [
                Level(floor.name, **floor.measures[key]) for floor in floors_of(results) if key in floor.measures
            ],
        }

    def series(part: str, key: str, first_epoch: int = 0) -> list[Series]:
        return [
            Series(
                kind.name,
                kind.model,
                not kind.primary,
                [run.curve(f"{part}{kind.suffix}.{key}", first_epoch) for run in models[kind.model]],
            )
            for kind in kinds
        ]

    def losses(key: str, name: str = "", dashed: bool = False) -> list[Series]:
        return [
            Series(name or model.upper(), model, dashed, [run.history[key] for run in runs])
            for model, runs in models.items()
            if key in runs[0].history
        ]

    undecided = Level("ln 2: undecided", log(2), log(2), log(2))
    return [
        chart("Distance from the prior", "sliced Wasserstein", **of_codes("sliced_wasserstein"), log=True),
        chart("… with the mean removed", "sliced Wasserstein", **of_codes("sliced_wasserstein_centred"), log=True),
        chart("Unevenness", "chi² per degree of freedom", **of_codes("chi2_per_dof"), log=True),
        chart(
            "Reconstruction of test images",
            "nats an image, after training began",
            series("reconstruction", "nats", first_epoch=1),
        ),
        chart("Reconstruction in training", "nats an image", losses("reconstruction")),
        chart(
            "Discriminator against encoder",
            "cross-entropy in nats, in training",
            losses("discriminator", "discriminator") + losses("generator", "encoder", dashed=True),
            levels=[undecided],
        ),
        chart("Divergence of q(z|x) from the prior", "nats an image, in training", losses("kl")),
    ]
