"""Stage `report`: the results of all runs on one page."""

import csv
import json
from pathlib import Path
from statistics import mean

from aae.errors import InputError
from aae.report import Run, kinds_of_codes, render_report
from pipeline.cli import run_stage
from pipeline.params import MODELS, load_params
from pipeline.paths import CURVES, FIGURES, HISTORY, METRICS, PLOTS, REPORT, run_name

PLOTTED = [
    ("codes", "sliced_wasserstein"),
    ("codes", "chi2_per_dof"),
    ("codes", "empty_cells"),
    ("reconstruction", "nats"),
]


def main() -> None:
    params = load_params()
    runs = [load_run(model, seed) for model in MODELS for seed in params.seeds]
    REPORT.mkdir(parents=True, exist_ok=True)
    (REPORT / "index.html").write_text(render_report(runs, params.model_dump()), encoding="utf-8")
    PLOTS.mkdir(parents=True, exist_ok=True)
    for part, measure in PLOTTED:
        write_plot(PLOTS / f"{measure}.csv", runs, part, measure)


def write_plot(path: Path, runs: list[Run], part: str, measure: str) -> None:
    """One row a snapshot, one column a model: the mean over its seeds, for `dvc plots`.

    Of a VAE's two kinds of codes it is the samples of q(z|x), whose distribution is the aggregated posterior.
    """
    columns = {}
    for model in MODELS:
        same = [run.curves for run in runs if run.model == model]
        column = f"{part}{kinds_of_codes(next(run for run in runs if run.model == model))[0].suffix}.{measure}"
        columns[model] = [mean(row[column] for row in rows) for rows in zip(*same, strict=True)]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["epoch", *MODELS])
        writer.writerows(zip(runs[0].epochs, *columns.values(), strict=True))


def load_run(model: str, seed: int) -> Run:
    """What the other stages left of run (model, seed)."""
    run = run_name(model, seed)
    curves = [{key: float(value) for key, value in row.items()} for row in read_csv(CURVES / f"{run}.csv")]
    names = [f"{kind}-{int(row['epoch']):03d}.png" for kind in ("scatter", "manifold") for row in curves]
    return Run(
        model,
        seed,
        metrics=json.loads(read(METRICS / f"{run}.json")),
        curves=curves,
        history=load_history(HISTORY / run),
        pictures={name: read(FIGURES / run / name) for name in [*names, "animation.gif"]},
    )


def load_history(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """loss -> (epoch, value) from DVCLive's files."""
    paths = sorted(folder.glob("plots/metrics/*.tsv"))
    if not paths:
        raise InputError(f"{folder}: no history; `dvc repro` makes it")
    return {path.stem: [(float(row["step"]), float(row[path.stem])) for row in read_csv(path, "\t")] for path in paths}


def read_csv(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(read(path).decode().splitlines(), delimiter=delimiter))


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); `dvc repro` makes it") from None


if __name__ == "__main__":
    run_stage(main)
