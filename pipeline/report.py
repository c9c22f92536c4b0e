"""Stage `report`: one page with the results of all runs, and its twin in Markdown."""

from pipeline.extension import check_extension

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

from aae.checksums import Sums
from aae.data import load_dataset
from aae.files import write_together
from aae.models import Recipe, compared_with
from aae.report import MOST_RUNS, render_markdown, render_page
from aae.results import PICTURED_SEEDS, Results, Run
from aae.snapshots import listed_snapshots
from pipeline.cli import run_stage
from pipeline.params import Params, load_params
from pipeline.paths import (
    CODES,
    CURVES,
    DATA,
    FIGURES,
    FIGURES_SUMS,
    FLOOR,
    HISTORY,
    MATCH,
    METRICS,
    REPORT,
    SNAPSHOTS,
    SUMMARY,
    TIMING,
    TIMING_SUMMARY,
    run_name,
)
from pipeline.tables import read_codes, read_csv, read_floor, read_json

CHARTED = ("sliced_wasserstein", "sliced_wasserstein_centred", "chi2_per_dof")  # measures of codes


def main() -> None:
    params = load_params()
    check_extension()
    data = load_dataset(DATA, contents=("test_images", "test_labels"))
    pictured = params.seeds[:PICTURED_SEEDS]
    runs = [load_run(recipe, seed, seed in pictured) for recipe in params.recipes for seed in params.seeds]
    judged = [recipe.name for recipe in params.recipes if compared_with(recipe, params.recipes)]
    claims = read_claims(SUMMARY, judged, ("match", "stability"))
    time_claims = read_claims(TIMING_SUMMARY, judged, ("time",))
    results = Results(
        runs,
        code_size=params.code_size,
        class_names=data.class_names,
        cells=params.evaluation.cells,
        projections=params.evaluation.projections,
        manifold_size=params.render.manifold_size,
        manifold_range=params.render.manifold_range,
        parameters=listed(params),
        floor={name: read_floor(FLOOR / f"{name}.json") for name in params.models},
        claims={name: claims[name] | time_claims[name] for name in judged},
        commit=commit(),
        files=files(params.models, [run.name for run in runs]),
    )
    page = render_page(results, data.test_images, data.test_labels)

    contents = {"index.html": page.encode(), "report.md": render_markdown(results).encode()}
    for model in results.models:
        first = model.runs[0]
        contents |= {f"{first.name}-{kind}.png": content for kind, content in first.figures.items()}
    write_together({REPORT / name: content for name, content in contents.items()})
    for path in REPORT.glob("*.png"):
        if path.name not in contents:
            path.unlink()  # a picture of another seed


def listed(params: Params) -> dict[str, Any]:
    """The parameters, without the sections of models that are not trained."""
    content, sections = params.model_dump(), params.model_extra or {}
    return {key: value for key, value in content.items() if key not in sections or key in params.models}


def load_run(recipe: Recipe, seed: int, pictured: bool) -> Run:
    """The results that the other stages wrote for the run of `recipe` with `seed`, for pictures only if `pictured`."""
    run = run_name(recipe.name, seed)
    charted = [f"codes{kind.suffix}.{measure}" for kind in recipe.codes_kinds for measure in CHARTED]
    nats = [f"reconstruction{kind.suffix}.nats" for kind in recipe.codes_kinds]
    numbers = Run(
        recipe,
        seed,
        metrics=read_json(METRICS / f"{run}.json", [*charted, *nats]),
        curves=read_columns(CURVES / f"{run}.csv", ["epoch", *charted, *nats]),
        match=read_columns(MATCH / f"{run}.csv", ["epoch", *charted]),
        history=load_history(HISTORY / run, recipe),
        timing=read_json(TIMING / f"{run}.json"),
    )
    if not pictured:
        return numbers
    snapshots = listed_snapshots(SNAPSHOTS / run)
    last = max(snapshots)
    pictures = Sums(FIGURES_SUMS / f"{run}.sha256")
    pictures.check_presence()
    return replace(
        numbers,
        codes=read_codes(CODES / f"{run}.npy"),
        snapshots=snapshots,
        figures={kind: pictures.read(FIGURES / run / f"{kind}-{last:03d}.png") for kind in ("scatter", "manifold")},
    )


def read_columns(path: Path, columns: list[str]) -> list[dict[str, Any]]:
    """The rows of a table with only the `columns`."""
    return [{column: row[column] for column in columns} for row in read_csv(path, columns)]


def read_claims(path: Path, models: list[str], claims: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """The verdicts on `claims` about `models`, from one of the summaries."""
    keys = [f"claims.{name}.{claim}.{part}" for name in models for claim in claims for part in ("verdict", "reasons")]
    return read_json(path, ["claims", *keys])["claims"]


def load_history(folder: Path, recipe: Recipe) -> dict[str, list[tuple[float, float]]]:
    """loss -> (epoch, value) from the tables of stage `train`, of the losses that the charts show."""
    losses = [loss for each in recipe.kind.loss_charts for loss in each.lines]
    tables = {loss: read_csv(folder / f"plots/metrics/{loss}.tsv", ("step", loss), "\t") for loss in losses}
    return {loss: [(row["step"], row[loss]) for row in rows] for loss, rows in tables.items()}


def commit() -> str:
    """The checked-out commit, and whether the code or the parameters differ from it; `unknown` without git."""
    try:
        git: dict[str, Any] = {"capture_output": True, "text": True, "check": True}
        head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], **git).stdout.strip()
        sources = ["params.yaml", "pipeline", "aae", "csrc", "setup.py"]
        changed = subprocess.run(["git", "status", "--porcelain", "--", *sources], **git).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head} with changes" if changed else head


def files(models: list[str], runs: list[str]) -> list[str]:
    """The files with the numbers, or the folders of many. The report names but does not link them, because it may be
    moved elsewhere."""
    paths = [SUMMARY, *[FLOOR / f"{model}.json" for model in models], TIMING_SUMMARY]
    if len(runs) > MOST_RUNS:
        return [path.as_posix() for path in (*paths, METRICS, CURVES, MATCH, TIMING)]
    for run in runs:
        paths += [METRICS / f"{run}.json", CURVES / f"{run}.csv", MATCH / f"{run}.csv", TIMING / f"{run}.json"]
    return [path.as_posix() for path in paths]


if __name__ == "__main__":
    run_stage(main)
