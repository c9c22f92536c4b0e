"""Stage `report`: the results of all runs on one page."""

from pathlib import Path

from aae.errors import InputError
from aae.report import Run, render_report
from pipeline.cli import run_stage
from pipeline.params import MODELS, load_params
from pipeline.paths import CURVES, FIGURES, FLOOR, HISTORY, METRICS, REPORT, run_name
from pipeline.tables import read, read_csv, read_json


def main() -> None:
    params = load_params()
    runs = [load_run(model, seed) for model in MODELS for seed in params.seeds]
    REPORT.mkdir(parents=True, exist_ok=True)
    (REPORT / "index.html").write_text(render_report(runs, params.model_dump()), encoding="utf-8")


def load_run(model: str, seed: int) -> Run:
    """What the other stages left of run (model, seed)."""
    run = run_name(model, seed)
    curves = read_csv(CURVES / f"{run}.csv")
    ideal = {measure: values["mean"] for measure, values in read_json(FLOOR)[model].items()}
    names = [f"{kind}-{int(row['epoch']):03d}.png" for kind in ("scatter", "manifold") for row in curves]
    return Run(
        model,
        seed,
        metrics=read_json(METRICS / f"{run}.json") | {"prior_sample": ideal},
        curves=curves,
        history=load_history(HISTORY / run),
        pictures={name: read(FIGURES / run / name) for name in [*names, "animation.gif"]},
    )


def load_history(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """loss -> (epoch, value) from DVCLive's files."""
    paths = sorted(folder.glob("plots/metrics/*.tsv"))
    if not paths:
        raise InputError(f"{folder}: no history; `dvc repro` makes it")
    return {path.stem: [(row["step"], row[path.stem]) for row in read_csv(path, "\t")] for path in paths}


if __name__ == "__main__":
    run_stage(main)
