"""Stage `summarize`: a summary of all runs, the verdicts on the post's claims, scores, and tables for `dvc plots`."""

from pipeline.extension import check_extension

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from aae.charts import BAND, MOST_LINES, MOST_POINTS, evenly
from aae.claims import distances_not_comparable, match_claim, stability_claim, time_claim
from aae.data import Dataset, load_dataset
from aae.errors import InputError
from aae.models import Recipe, compared_with
from aae.summary import Row, RunResult, first_match, over_seeds, summarize_model
from pipeline.cli import run_stage
from pipeline.params import load_params
from pipeline.paths import (
    CURVES,
    DATA,
    FLOOR,
    MATCH,
    PLOTS,
    SCORES,
    SUMMARY,
    TIMING,
    TIMING_SUMMARY,
    run_name,
)
from pipeline.tables import read_csv, read_floor, read_json, write_csv, write_json

PLOTTED_MATCH = ["sliced_wasserstein", "sliced_wasserstein_centred", "chi2_per_dof", "empty_cells", "ks_max"]
PLOTTED_CURVES = {
    "nats": "reconstruction{}.nats",
    "mse": "reconstruction{}.mse",
    "energy_distance": "codes{}.energy_distance",
    "knn_accuracy": "labels{}.knn_accuracy",
    "probe_accuracy": "labels{}.probe_accuracy",
}
# score -> path in a model's summary; `dvc exp show` and `make compare` show the scores
SCORED = {
    "distance": ("final", "sliced_wasserstein", "mean"),
    "worst": ("last_third", "sliced_wasserstein", "max"),
    "nats": ("final", "nats", "mean"),
    "knn": ("final", "knn_accuracy", "mean"),
}


def main() -> None:
    params = load_params()
    check_extension()
    data, level = load_dataset(DATA, contents=()), params.evaluation.match_level
    recipes = {recipe.name: recipe for recipe in params.recipes}
    runs = {name: [load_run(recipe, seed) for seed in params.seeds] for name, recipe in recipes.items()}
    check_epochs([run for of_model in runs.values() for run in of_model])
    floor = {name: read_floor(FLOOR / f"{name}.json")["codes"] for name in recipes}
    timing = {name: [load_timing(name, seed) for seed in params.seeds] for name in recipes}
    sizes = params.batch_size, params.code_size
    flops = {name: flops_per_epoch(recipe, data, *sizes) for name, recipe in recipes.items()}

    summary: dict[str, Any] = {"seeds": len(params.seeds), "epochs": int(next(iter(runs.values()))[0].final["epoch"])}
    times, claims, time_claims = {}, {}, {}
    for name, recipe in recipes.items():
        epochs = [epoch for run in runs[name] if (epoch := first_match(run, level)) is not None]
        summary[name] = summarize_model(runs[name], recipe.aggregated.suffix) | {
            "flops_per_epoch": flops[name],
            "epochs_to_match": over_seeds(epochs) if len(epochs) == len(runs[name]) else None,
        }
        for kind in recipe.other_codes:
            summary[f"{name}_{kind.name}"] = summarize_model(runs[name], kind.suffix)
        times[name] = {
            key: over_seeds([each[key] for each in timing[name]]) for key in ("seconds_per_epoch", "seconds")
        }
        if reference := compared_with(recipe, params.recipes):
            both = runs[name], runs[reference.name]
            prior, reference_prior = (each.prior(params.code_size, data.classes) for each in (recipe, reference))
            why = distances_not_comparable(*both, (prior, reference_prior), level)
            claims[name] = {"match": match_claim(*both, floor, why), "stability": stability_claim(*both, why)}
            time = time_claim(*both, flops_per_epoch=flops, timing=timing, match_level=level, not_comparable=why)
            time_claims[name] = {"time": time}
    write_json(SUMMARY, summary | {"claims": claims})
    write_json(TIMING_SUMMARY, times | {"claims": time_claims})
    write_json(SCORES, {name: scores(summary[name]) for name in recipes})
    write_plots(runs, floor)


def scores(summary: dict[str, Any]) -> dict[str, float]:
    """A model's scores, with which experiments are compared. Some are missing without labels."""
    found = {name: summary[part].get(measure) for name, (part, measure, _) in SCORED.items()}
    return {name: found[name][key] for name, (*_, key) in SCORED.items() if found[name]}


def load_run(recipe: Recipe, seed: int) -> RunResult:
    """The measures of the run of `recipe` with `seed`."""
    run = run_name(recipe.name, seed)
    kinds = recipe.codes_kinds
    measures = [f"codes{kind.suffix}.{measure}" for kind in kinds for measure in PLOTTED_MATCH]
    nats = [f"reconstruction{kind.suffix}.nats" for kind in kinds]
    match = read_csv(MATCH / f"{run}.csv", ["epoch", *measures])
    curves = read_csv(CURVES / f"{run}.csv", ["epoch", *measures, *nats])
    if match[-1]["epoch"] != curves[-1]["epoch"]:
        raise InputError(
            f"{MATCH / f'{run}.csv'}: ends with epoch {match[-1]['epoch']:g}, {CURVES / f'{run}.csv'} with "
            f"{curves[-1]['epoch']:g}; `dvc repro evaluate@{run}` makes both again"
        )
    return RunResult(recipe, seed, match, curves)


def check_epochs(runs: Sequence[RunResult]) -> None:
    """Raises InputError for a run whose tables have other epochs than those of the first run."""
    for folder, tables in ((MATCH, [run.match for run in runs]), (CURVES, [run.curves for run in runs])):
        for run, table in zip(runs, tables, strict=True):
            if [row["epoch"] for row in table] != [row["epoch"] for row in tables[0]]:
                name, first = run_name(run.recipe.name, run.seed), run_name(runs[0].recipe.name, runs[0].seed)
                raise InputError(
                    f"{folder / f'{name}.csv'}: has other epochs than {first}.csv; "
                    f"`dvc repro evaluate@{name}` makes it again"
                )


def load_timing(model: str, seed: int) -> dict[str, Any]:
    """What stage `train` timed of a run."""
    return read_json(TIMING / f"{run_name(model, seed)}.json", ["seconds", "seconds_per_epoch"])


def flops_per_epoch(recipe: Recipe, data: Dataset, batch_size: int, code_size: int) -> int:
    """FLOPs per epoch of training, see `aae.flops`."""
    with torch.device("meta"):  # only the sizes matter, not the weights
        model = recipe.kind(**recipe.sizes(data.pixels, code_size, data.classes))
    return len(data.train_images) // batch_size * model.iteration_flops(recipe.settings, batch_size)


def write_plots(runs: dict[str, list[RunResult]], floor: dict[str, dict[str, Any]]) -> None:
    """Writes two tables in long form, one of every epoch and one of every snapshot; the column `run` names the line.

    A line is a run or, if there are many seeds, a quantile over a model's runs. Of many epochs, the tables have every
    second, third and so on.
    """
    match, curves = [], []
    for of_model in runs.values():
        recipe, many = of_model[0].recipe, len(of_model) > MOST_LINES
        for group in [of_model] if many else [[run] for run in of_model]:
            name = recipe.name if many else run_name(recipe.name, group[0].seed)
            for kind in recipe.codes_kinds:
                label = name if kind == recipe.aggregated else f"{name} {kind.name}"
                of_match = {measure: f"codes{kind.suffix}.{measure}" for measure in PLOTTED_MATCH}
                of_curves = {key: column.format(kind.suffix) for key, column in PLOTTED_CURVES.items()}
                match += plotted(label, [run.match for run in group], of_match)
                curves += plotted(label, [run.curves for run in group], of_curves)
    floors = {f"prior of {of_model[0].recipe.title}": floor[name] for name, of_model in runs.items()}
    first = next(iter(floors.values()))
    if all(each == first for each in floors.values()):
        floors = {"prior": first}
    last = match[-1]["epoch"]
    for line, measures in floors.items():
        values = {measure: measures[measure]["mean"] for measure in PLOTTED_MATCH}
        match += [{"epoch": epoch, "run": line} | values for epoch in (0, last)]
    write_csv(PLOTS / "match.csv", match)
    write_csv(PLOTS / "snapshots.csv", curves)


def plotted(name: str, tables: Sequence[Sequence[Row]], columns: dict[str, str]) -> list[Row]:
    """The rows of the line `name`: the `columns` (name in the plot -> column) of a run's table, or the median and the
    band's edges over the tables of several runs, which have the same epochs."""
    places = evenly(range(len(tables[0])), MOST_POINTS)
    epochs = [int(tables[0][place]["epoch"]) for place in places]
    # Without labels there are no accuracies, but `dvc plots` needs their columns.
    values = {
        key: [[table[place].get(column) for table in tables] for place in places] for key, column in columns.items()
    }
    if len(tables) == 1:
        lines = {name: {key: [value for (value,) in of_epochs] for key, of_epochs in values.items()}}
    else:
        lines = {
            f"{name} {share:.0%}": {
                key: [quantile(each, share) for each in of_epochs] for key, of_epochs in values.items()
            }
            for share in (0.5, *BAND)
        }
    return [
        {"epoch": epoch, "run": line} | {key: of_epochs[at] for key, of_epochs in measures.items()}
        for line, measures in lines.items()
        for at, epoch in enumerate(epochs)
    ]


def quantile(values: Sequence[float | None], share: float) -> float | None:
    """None if a value is missing."""
    known = [value for value in values if value is not None]
    return float(np.quantile(known, share)) if len(known) == len(values) else None


if __name__ == "__main__":
    run_stage(main)
