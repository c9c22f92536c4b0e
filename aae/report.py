"""The report: one HTML page, from the results of all runs, that holds everything it shows.

This module has the numbers and the charts' geometry; `report.html.j2` beside it has the words and the looks.
"""

import base64
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from statistics import mean, stdev

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

Line = list[tuple[float, float]]  # points (epoch, value)


@dataclass(frozen=True)
class Run:
    """The results of one (model, seed)."""

    model: str
    seed: int
    metrics: dict  # of the last snapshot
    curves: list[dict[str, float]]  # a row a snapshot
    history: dict[str, Line]  # of each loss
    pictures: dict[str, bytes]  # file name -> content

    @property
    def epochs(self) -> list[int]:
        """Of the snapshots."""
        return [int(row["epoch"]) for row in self.curves]

    def curve(self, column: str, first_epoch: int = 0) -> Line:
        """A column of the curves, from an epoch on."""
        return [(row["epoch"], row[column]) for row in self.curves if row["epoch"] >= first_epoch]


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
    Measure("codes", "chi2_per_dof", "Chi² per degree of freedom", "near 1", "{:.2f}".format, lambda x: abs(x - 1)),
    Measure("codes", "empty_cells", "Empty cells", "lower", "{:.1%}".format),
    Measure("codes", "ks_max", "Kolmogorov-Smirnov statistic", "lower", "{:.3f}".format),
    Measure("reconstruction", "nats", "Cross-entropy, nats an image", "lower", "{:.1f}".format),
    Measure("reconstruction", "mse", "Squared error a pixel", "lower", "{:.4f}".format),
]


NAMES = {"aae": "adversarial autoencoder", "vae": "variational autoencoder"}


def render_report(runs: Sequence[Run], parameters: dict) -> str:
    """The page. All pictures of each model's first run are on it, and the last two of its others."""
    models = {run.model: [other for other in runs if other.model == run.model] for run in runs}
    kinds = [kind for same in models.values() for kind in kinds_of_codes(same[0])]
    table = [table_row(measure, kinds, models) for measure in MEASURES]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"data_uri": data_uri, "picture_size": picture_size}
    return environment.get_template("report.html.j2").render(
        names=NAMES,
        models=models,
        seeds=list(dict.fromkeys(run.seed for run in runs)),
        kinds=kinds,
        answer=answer(kinds, table, models),
        table=table,
        charts=charts(kinds, models),
        frame={"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "bottom": BOTTOM},
        parameters=parameters,
    )


def answer(kinds: Sequence[Codes], table: Sequence[dict], models: dict[str, list[Run]]) -> dict:
    """What the page opens with: the distance and the reconstruction of each model's primary codes."""
    distance, nats = (next(row for row in table if row["measure"].key == key) for key in ("sliced_wasserstein", "nats"))
    entries = [
        {"model": kind.model, "distance": far["text"], "error": far["error"], "nats": cost["text"]}
        for kind, far, cost in zip(kinds, distance["cells"], nats["cells"], strict=True)
        if kind.primary
    ]
    return {
        "epoch": next(iter(models.values()))[0].epochs[-1],
        "models": entries,
        "nearest": min(entries, key=lambda entry: entry["error"])["model"],
        "ideal": distance["ideal"]["text"],
    }


def data_uri(content: bytes) -> str:
    """The PNG or GIF `content` as a link that needs no file."""
    kind = "gif" if content.startswith(b"GIF8") else "png"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def picture_size(content: bytes) -> tuple[int, int]:
    """Width and height in pixels."""
    with Image.open(BytesIO(content)) as picture:
        return picture.size


def kinds_of_codes(run: Run) -> list[Codes]:
    """The kinds of codes in the run's metrics."""
    if "codes_sampled" not in run.metrics:
        return [Codes(run.model, "")]
    return [
        Codes(run.model, "_sampled", "samples of q(z|x)"),
        Codes(run.model, "", "means of q(z|x)", primary=False),
    ]


def table_row(measure: Measure, kinds: Sequence[Codes], models: dict[str, list[Run]]) -> dict:
    """A cell for each kind of codes, and one for samples of the prior where the measure is of codes."""
    cells = [
        table_cell(measure, [run.metrics[measure.part + kind.suffix] for run in models[kind.model]]) for kind in kinds
    ]
    least = min(cell["error"] for cell, kind in zip(cells, kinds, strict=True) if kind.primary)
    for cell, kind in zip(cells, kinds, strict=True):
        cell["best"] = kind.primary and cell["error"] == least
    ideal = None
    if measure.part == "codes":
        ideal = table_cell(measure, [run.metrics["prior_sample"] for runs in models.values() for run in runs])
    return {"measure": measure, "cells": cells, "ideal": ideal}


def table_cell(measure: Measure, metrics: Sequence[dict]) -> dict:
    """Mean and standard deviation over the seeds, as text, and the mean's error."""
    values = [entry[measure.key] for entry in metrics]
    text = measure.text(mean(values))
    if len(set(values)) > 1:
        text += f" ± {measure.text(stdev(values))}"
    return {"text": text, "error": measure.error(mean(values))}


# --- charts: lines over the epochs, in the coordinates of an SVG ----------------------------------

WIDTH, HEIGHT = 360, 210
LEFT, RIGHT, TOP, BOTTOM = 42, 350, 10, 186  # of the plot


@dataclass(frozen=True)
class Series:
    """One line for each seed, in the model's colour."""

    name: str
    model: str
    dashed: bool
    lines: list[Line]


def charts(kinds: Sequence[Codes], models: dict[str, list[Run]]) -> list[dict]:
    """The page's charts: of the test images at the snapshots, and of training at every epoch."""

    def measured(column: str, first_epoch: int = 0) -> list[Series]:
        part, key = column.split(".")
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

    prior = next(iter(models.values()))[0].metrics["prior_sample"]
    return [
        chart(
            "Distance from the prior",
            "sliced Wasserstein",
            measured("codes.sliced_wasserstein"),
            level=(prior["sliced_wasserstein"], "samples of the prior"),
            log=True,
        ),
        chart(
            "Unevenness",
            "chi² per degree of freedom",
            measured("codes.chi2_per_dof"),
            level=(prior["chi2_per_dof"], "samples of the prior"),
            log=True,
        ),
        chart(
            "Reconstruction of test images",
            "nats an image, after training began",
            measured("reconstruction.nats", first_epoch=1),
        ),
        chart("Reconstruction in training", "nats an image", losses("reconstruction")),
        chart(
            "Discriminator against encoder",
            "cross-entropy in nats, in training",
            losses("discriminator", "discriminator") + losses("generator", "encoder", dashed=True),
            level=(math.log(2), "ln 2: undecided"),
        ),
        chart("Divergence of q(z|x) from the prior", "nats an image, in training", losses("kl")),
    ]


def chart(
    title: str,
    unit: str,
    series: Sequence[Series],
    *,
    level: tuple[float, str] | None = None,
    log: bool = False,
) -> dict:
    """Polylines and ticks for `series`, and for a horizontal `level`: its value and name."""
    points = [point for entry in series for line in entry.lines for point in line]
    last = max(x for x, _ in points)
    values = [y for _, y in points] + ([level[0]] if level else [])
    log = log and min(values) > 0
    y_ticks = (log_ticks if log else linear_ticks)(min(values), max(values))
    scale = math.log if log else float
    low, high = scale(y_ticks[0]), scale(y_ticks[-1])

    def across(x: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * x / last, 1)

    def down(y: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * (scale(y) - low) / (high - low), 1)

    def polyline(line: Line) -> str:
        # Twice the point where there is only one, which draws a dot.
        return " ".join(f"{across(x)},{down(y)}" for x, y in (line if len(line) > 1 else 2 * line))

    return {
        "title": title,
        "unit": f"{unit}, logarithmic" if log else unit,
        "series": [
            {
                "name": entry.name,
                "style": f"line {entry.model}{' dashed' if entry.dashed else ''}",
                "polylines": [polyline(line) for line in entry.lines],
                "ends": [(f"{x:g}", f"{y:.3g}") for x, y in (entry.lines[0][0], entry.lines[0][-1])],
            }
            for entry in series
        ],
        "level": level and {"y": down(level[0]), "name": level[1]},
        "x_ticks": [(across(x), f"{x:g}") for x in linear_ticks(0, last) if x <= last],
        "y_ticks": [(down(y), f"{y:g}") for y in y_ticks],
    }


def linear_ticks(low: float, high: float) -> list[float]:
    """Two to seven round numbers, the first at most `low` and the last at least `high`."""
    # Not so close to each other that their labels, of six digits, are the same.
    span = max(high - low, 1e-4 * max(abs(low), abs(high)))
    span = span if span > 1e-9 else 1.0
    power = 10.0 ** math.floor(math.log10(span))
    step = next(power * k for k in (0.2, 0.5, 1, 2) if span / (power * k) <= 5)
    first, last = math.floor(low / step), max(math.ceil(high / step), math.floor(low / step) + 1)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Numbers 1, 2 and 5 times a power of ten, or for a wide range powers alone, that enclose both ends."""
    first, last = math.floor(math.log10(low)) - 1, math.floor(math.log10(high)) + 2
    digits = (1, 2, 5) if high / low < 50 else (1,)
    numbers = [float(f"{d}e{power}") for power in range(first, last + 1) for d in digits]
    start = max(i for i, number in enumerate(numbers) if number <= low)
    end = min(i for i, number in enumerate(numbers) if number >= high and i > start)
    return numbers[start : end + 1]
