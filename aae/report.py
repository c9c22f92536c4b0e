"""The report: one self-contained HTML page with the results of all runs, and a twin in Markdown.

This module computes the report's numbers and texts from `results.py`. `charts.py` has the geometry of the curves,
`page_data.py` the data for the scripts, and the folder `page/` the templates, the style and the scripts.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from aae.charts import BAND, FRAME, MOST_LINES, Level, Series, chart
from aae.markdown import code, escaped
from aae.models import LossChart, compared_with, find_kind
from aae.page_data import page_data
from aae.page_views import axis_names
from aae.results import Codes, Floor, Model, Results, Run

PAGE = Path(__file__).parent / "page"
MOST_RUNS = 20  # that a table lists; with more, a table of the models comes first, and that of the runs is folded
MOST_TALLIED = 4  # different values in a cell of the table of models
MOST_LISTED = 10  # consecutive numbers of a parameter, such as the seeds


@dataclass(frozen=True)
class Measure:
    """A row of the table."""

    part: str  # in the metrics, without the suffix of a kind of codes
    key: str
    name: str
    better: str
    text: Callable[[float], str]
    error: Callable[[float], float] = abs  # lower is better


MEASURES = [
    Measure("codes", "sliced_wasserstein", "Sliced Wasserstein distance", "lower", "{:.3f}".format),
    Measure("codes", "sliced_wasserstein_centred", "… with the mean removed", "lower", "{:.3f}".format),
    Measure("train.codes", "sliced_wasserstein", "… of the training images", "lower", "{:.3f}".format),
    Measure("codes", "chi2_per_dof", "Chi² per degree of freedom", "near 1", "{:.2f}".format, lambda x: abs(x - 1)),
    Measure("train.codes", "chi2_per_dof", "… of the training images", "near 1", "{:.2f}".format, lambda x: abs(x - 1)),
    Measure("codes", "empty_cells", "Empty cells", "lower", "{:.1%}".format),
    Measure("codes", "ks_max", "Kolmogorov-Smirnov statistic", "lower", "{:.3f}".format),
    Measure("codes", "energy_distance", "Energy distance", "lower", "{:.4f}".format),
    Measure("codes", "mmd2", "Squared maximum mean discrepancy x 1000", "lower", lambda x: f"{1000 * x:.3f}"),
    Measure("labels", "knn_accuracy", "10-nearest-neighbour accuracy", "higher", "{:.1%}".format, lambda x: 1 - x),
    Measure("labels", "probe_accuracy", "Linear probe accuracy", "higher", "{:.1%}".format, lambda x: 1 - x),
    Measure("reconstruction", "nats", "Cross-entropy, nats per image", "lower", "{:.1f}".format),
    Measure("reconstruction", "mse", "Squared error per pixel", "lower", "{:.4f}".format),
]

# The subject is a model, compared with its reference.
CLAIMS = {
    "match": "Its codes are closer to the prior and have fewer gaps",
    "time": "It takes longer to train",
    "stability": "It is less stable in training",
}


def render_page(results: Results, images: np.ndarray, labels: np.ndarray | None) -> str:
    """The page, with the numbers of all runs and the pictures of some.

    Args:
        results: the results of every run.
        images, labels: the test images uint8 [n, height, width, channels] and their labels [n], or None without labels.
    """
    index, base64 = page_data(
        results.pictured_runs,
        images,
        labels,
        priors={model.name: model.prior for model in results.models},
        class_names=results.class_names,
        manifold_size=results.manifold_size,
        manifold_range=results.manifold_range,
    )
    return (
        environment(autoescape=True)
        .get_template("index.html.j2")
        .render(
            content(results),
            charts=charts(results),
            banded=len(results.seeds) > MOST_LINES,
            band_share=100 * (BAND[1] - BAND[0]),
            frame=FRAME,
            index=index,
            base64=base64,
            axis_names=axis_names(results.code_size),
        )
    )


def render_markdown(results: Results) -> str:
    """The Markdown twin, which shows the files `<run>-scatter.png` and `<run>-manifold.png` beside it."""
    made = environment(autoescape=False)
    made.finalize = escaped
    made.filters["code"] = code
    return made.get_template("report.md.j2").render(content(results))


def environment(autoescape: bool) -> Environment:
    """Jinja's environment for the templates in `page/`.

    In them, `source` inserts a file unchanged, and `separator` gives the text before an item of a list ("", ", " or
    " and ").
    """
    made = Environment(
        loader=FileSystemLoader(PAGE),
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.globals["source"] = lambda name: Markup((PAGE / name).read_text(encoding="utf-8"))
    made.globals["separator"] = lambda loop: "" if loop.first else " and " if loop.last else ", "
    made.filters["upper_first"] = lambda text: text[:1].upper() + text[1:]
    return made


def content(results: Results) -> dict[str, Any]:
    """The values for both templates."""
    kinds, floors = kinds_of_codes(results), floors_of(results)
    table = [table_row(measure, kinds, floors) for measure in MEASURES if measured(measure, kinds)]
    common, timing = timing_table(results.runs)
    return {
        "results": results,
        "models": results.models,
        "settings": dict(settings(results.parameters)),
        "priors": priors_of(results),
        "answer": answer(kinds, table, results),
        "comparisons": comparisons(results),
        "not_judged": not_judged(results),
        "codes_notes": codes_notes(results),
        "named": list(results.class_names) != [str(label) for label in range(len(results.class_names))],
        "kinds": kinds,
        "floors": floors,
        "table": table,
        "common": common,
        "timing": timing,
        "spread": timing_spread(results.models, timing) if len(results.runs) > MOST_RUNS else [],
    }


def priors_of(results: Results) -> list[tuple[str, list[Model]]]:
    """The titles of the priors, each with the models that have it."""
    titles = dict.fromkeys(model.prior.title for model in results.models)
    return [(title, [model for model in results.models if model.prior.title == title]) for title in titles]


def comparisons(results: Results) -> list[dict[str, Any]]:
    """Each model that the claims judge, its reference, and the claims with their verdicts."""
    models = {model.name: model for model in results.models}
    found = []
    for model in results.models:
        if reference := compared_with(model.recipe, [other.recipe for other in results.models]):
            claims = [claim_entry(claim, results.claims[model.name][name]) for name, claim in CLAIMS.items()]
            found.append({"model": model, "reference": models[reference.name], "claims": claims})
    return found


def not_judged(results: Results) -> str:
    """Why there are no verdicts on claims."""
    alone = [model for model in results.models if model.recipe.kind.compared_with]
    if not alone:
        return "the claims do not apply to these models"
    kind = alone[0].recipe.kind
    other = find_kind(kind.compared_with or "")
    return f"the claims compare the {kind.title} with the {other.title}, which is not among these models"


def claim_entry(claim: str, found: dict[str, Any]) -> dict[str, Any]:
    """The claim, its verdict, a note (possibly empty), and for each reason its result and what was compared.

    A reason of `aae.claims` ends with its result, such as `for` or `against`.
    """
    reasons = []
    for reason in found["reasons"]:
        text, _, result = reason.rpartition(": ")
        reasons.append({"result": result, "text": text[:1].upper() + text[1:]})
    return {"claim": claim, "verdict": found["verdict"], "note": found.get("note", ""), "reasons": reasons}


def settings(parameters: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(dotted name, value as text) of each parameter."""
    for name, value in parameters.items():
        if isinstance(value, dict):
            yield from settings(value, f"{prefix}{name}.")
        else:
            yield prefix + name, listed(value) if isinstance(value, list) else str(value)


def listed(values: Sequence[Any]) -> str:
    """The values as text; many consecutive numbers as their ends."""
    if len(values) > MOST_LISTED and list(values) == list(range(values[0], values[0] + len(values))):
        return f"{values[0]} to {values[-1]}"
    return ", ".join(map(str, values))


# --- numbers --------------------------------------------------------------------------------------


def kinds_of_codes(results: Results) -> list[Codes]:
    """The kinds of codes, model by model, the primary ones first."""
    return [
        Codes(model, kind) for model in results.models for kind in (model.recipe.aggregated, *model.recipe.other_codes)
    ]


def codes_notes(results: Results) -> list[Codes]:
    """The kinds of codes that need an explanation: those of models with several. Each kind of model counts once."""
    firsts = {(model.recipe.kind, model.recipe.codes_kinds): model.name for model in reversed(results.models)}
    return [each for each in kinds_of_codes(results) if each.kind.gloss and each.model.name in firsts.values()]


def floors_of(results: Results) -> list[Floor]:
    """The distinct floors, in the order of the models."""
    found: list[Floor] = []
    for model in results.models:
        if model.floor not in [floor.parts for floor in found]:
            found.append(Floor(model.prior.title, model.floor))
    return found if len(found) > 1 else [Floor("", found[0].parts)]


def measured(measure: Measure, kinds: Sequence[Codes]) -> bool:
    """Whether all runs have this measure; some measures need codes of certain priors or sizes."""
    return all(
        run.measured(measure.part + each.kind.suffix, measure.key) is not None
        for each in kinds
        for run in each.model.runs
    )


def table_row(measure: Measure, kinds: Sequence[Codes], floors: Sequence[Floor]) -> dict[str, Any]:
    """One cell per kind of codes, and the floors if there are any; the best of several models is marked.

    If models have different priors, their distances refer to different targets, so none of them is marked.
    """
    comparable = not measure.part.endswith("codes") or len({each.model.prior for each in kinds}) == 1
    cells = []
    for each in kinds:
        found = [run.measured(measure.part + each.kind.suffix, measure.key) for run in each.model.runs]
        values = [value for value in found if value is not None]
        cells.append(table_cell(measure, values) | {"primary": each.primary})
    errors = [cell["error"] for cell in cells if cell["primary"]]
    for cell in cells:
        cell["best"] = comparable and cell["primary"] and len(errors) > 1 and cell["error"] == min(errors)
    levels = [floor.level(measure.part, measure.key) for floor in floors]
    return {
        "measure": measure,
        "cells": cells,
        "floors": [level and {key: measure.text(value) for key, value in level.items()} for level in levels],
    }


def table_cell(measure: Measure, values: Sequence[float]) -> dict[str, Any]:
    """Mean and standard deviation over the seeds as text, their `range` if there are many, and the mean's error."""
    return spread_over(values, measure.text) | {"error": measure.error(mean(values))}


def spread_over(values: Sequence[float], text: Callable[[float], str]) -> dict[str, str]:
    """Mean and standard deviation as `text` and, of many values, minimum and maximum as `range`."""
    spread = f" ± {text(stdev(values))}" if len(set(values)) > 1 else ""
    ends = f"{text(min(values))} to {text(max(values))}" if len(values) > MOST_LINES and spread else ""
    return {"text": text(mean(values)) + spread, "range": ends}


def answer(kinds: Sequence[Codes], table: Sequence[dict[str, Any]], results: Results) -> dict[str, Any]:
    """The report's first paragraph: the distance and the reconstruction of each model's primary codes.

    `new` marks the first model of each kind. `nearest` lists the models with the smallest distance; it is empty if the
    models have different priors.
    """
    distance, nats = (next(row for row in table if row["measure"].key == key) for key in ("sliced_wasserstein", "nats"))
    entries: list[dict[str, Any]] = []
    for each, far, cost in zip(kinds, distance["cells"], nats["cells"], strict=True):
        if each.primary:
            new = all(each.model.recipe.kind is not entry["model"].recipe.kind for entry in entries)
            entry = {"model": each.model, "new": new, "distance": far["text"], "error": far["error"]}
            entries.append(entry | {"nats": cost["text"]})
    least = min(entry["error"] for entry in entries)
    return {
        "epoch": results.runs[0].last_epoch,
        "entries": entries,
        "nearest": [entry["model"] for entry in entries if entry["error"] == least and len(priors_of(results)) == 1],
        "floors": [level["mean"] for level in distance["floors"]],
    }


def timing_table(runs: Sequence[Run]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the timing of all runs has in common, and one row per run with what differs or was timed."""
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


def timing_spread(models: Sequence[Model], timing: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per model: of each column of the `timing` table, numbers over the seeds, or which values there are."""
    rows = []
    for model in models:
        names = {run.name for run in model.runs}
        of_model = [row for row in timing if row["run"] in names]
        columns = {key: [row[key] for row in of_model] for key in timing[0] if key != "run"}
        cells = {
            key: spread_over(values, "{:.3g}".format) if key.startswith("seconds") else {"text": tallied(values)}
            for key, values in columns.items()
        }
        rows.append({"model": model, "cells": cells})
    return rows


def tallied(values: Sequence[Any]) -> str:
    """The values with the number of times that each occurs, the most frequent first; of many, only how many."""
    numbers = Counter(map(str, values)).most_common()
    if len(numbers) > MOST_TALLIED:
        return f"{len(numbers)} different values"
    return ", ".join(f"{value} ({number})" for value, number in numbers) if len(numbers) > 1 else numbers[0][0]


# --- charts ---------------------------------------------------------------------------------------


def charts(results: Results) -> list[dict[str, Any]]:
    """The page's charts: test images at epochs or snapshots, and training losses at every epoch."""
    kinds, floors = kinds_of_codes(results), floors_of(results)

    def of_codes(key: str) -> dict[str, Any]:
        levels = [(floor.name, floor.level("codes", key)) for floor in floors]
        return {
            "series": series("codes", key),
            "levels": [Level(name, **level) for name, level in levels if level],
        }

    def series(part: str, key: str, first_epoch: int = 0) -> list[Series]:
        return [
            Series(
                each.name,
                each.model.style,
                not each.primary,
                [run.curve(f"{part}{each.kind.suffix}.{key}", first_epoch) for run in each.model.runs],
            )
            for each in kinds
        ]

    return [
        chart("Distance from the prior", "sliced Wasserstein", **of_codes("sliced_wasserstein"), log=True),
        chart("… with the mean removed", "sliced Wasserstein", **of_codes("sliced_wasserstein_centred"), log=True),
        chart("Unevenness", "chi² per degree of freedom", **of_codes("chi2_per_dof"), log=True),
        chart(
            "Reconstruction of test images",
            "nats per image, from epoch 1",
            series("reconstruction", "nats", first_epoch=1),
        ),
        *loss_charts(results),
    ]


def loss_charts(results: Results) -> list[dict[str, Any]]:
    """The charts of training losses that the kinds of models declare; charts with the same title are merged."""
    declared: dict[str, list[tuple[Model, LossChart]]] = {}
    for model in results.models:
        for each in model.recipe.kind.loss_charts:
            declared.setdefault(each.title, []).append((model, each))
    made = []
    for title, entries in declared.items():
        prefixed = sum(any(each.lines.values()) for _, each in entries) > 1
        series, levels = [], {}
        for model, each in entries:
            for place, (loss, name) in enumerate(each.lines.items()):
                label = f"{model.title} {name}" if name and prefixed else name or model.title
                series.append(Series(label, model.style, place > 0, [run.history[loss] for run in model.runs]))
            if each.level:
                name, value = each.level
                levels[each.level] = Level(name, value, value, value)
        made.append(chart(title, entries[0][1].unit, series, levels=list(levels.values())))
    return made
