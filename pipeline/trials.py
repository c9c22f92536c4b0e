"""`make trials`: the runs behind docs/recipe.md as DVC experiments, and their table and trade-off curve.

docs/trials.yaml lists the changes of each trial. Every trial is a separate experiment in a separate checkout, so the
workspace does not change; `dvc exp show` lists them afterwards. A trial that has run before comes from DVC's cache.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dvc.api
import matplotlib
from dvc.exceptions import FileMissingError, PathMissingError
from dvc.scm import RevError

matplotlib.use("agg")
from pipeline.extension import check_extension

from matplotlib.figure import Figure
from ruamel.yaml import YAML

from aae.errors import InputError
from aae.summary import flatten
from pipeline.cli import run_stage
from pipeline.paths import METRICS, run_name
from pipeline.tables import write_csv

DVC = (sys.executable, "-m", "dvc")
MODEL = "aae_joint"
TRIALS, TABLE, FIGURE = Path("docs/trials.yaml"), Path("docs/trials.csv"), Path("docs/trials.png")
COLUMNS = {
    "train_sliced_wasserstein": "train.codes.sliced_wasserstein",
    "train_chi2_per_dof": "train.codes.chi2_per_dof",
    "train_empty_cells": "train.codes.empty_cells",
    "test_sliced_wasserstein": "codes.sliced_wasserstein",
    "test_chi2_per_dof": "codes.chi2_per_dof",
    "last_third_max": "last_third.codes.sliced_wasserstein.max",
    "nats": "reconstruction.nats",
    "knn_accuracy": "labels.knn_accuracy",
}


def main() -> None:
    parser = argparse.ArgumentParser(description="the trials of docs/trials.yaml as DVC experiments")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    seeds = parser.parse_args().seeds
    check_extension()
    from aae_native import available_cores

    trials = YAML(typ="safe").load(TRIALS)
    known = subprocess.run([*DVC, "exp", "list", "--name-only"], capture_output=True, text=True).stdout.split()
    if earlier := [name for name in trials if name in known]:
        run_dvc("exp", "remove", "--quiet", *earlier)  # frees their names; their results stay in the cache
    for name, changes in trials.items():
        overrides = [f"models=[{MODEL}]", f"seeds={seeds}", *changes]
        settings = [argument for override in overrides for argument in ("-S", override)]
        run_dvc("exp", "run", "--quiet", "--queue", "--name", name, *settings, "evaluate")
    # Two trainings with one core each finish sooner than one after the other on both cores.
    run_dvc("exp", "run", "--run-all", "--jobs", str(available_cores()), OMP_NUM_THREADS="1")
    rows = [row_of(name, seed) for name in trials for seed in seeds]
    write_csv(TABLE, rows)
    draw(rows)


def run_dvc(*arguments: str, **environment: str) -> None:
    """Runs DVC. If it fails, it has reported the error, and this program fails, too."""
    if subprocess.run([*DVC, *arguments], env=os.environ | environment).returncode:
        sys.exit(1)


def row_of(trial: str, seed: int) -> dict[str, Any]:
    """The measures of a trial's last snapshot, with the names in `COLUMNS`."""
    path = METRICS / f"{run_name(MODEL, seed)}.json"
    try:
        content = dvc.api.read(str(path), rev=trial)
    except (RevError, FileMissingError, PathMissingError):
        failed = f"missing in the experiment {trial}, which failed (`dvc queue logs {trial}`)"
        raise InputError(f"{path}: {failed}") from None
    (metrics,) = json.loads(content)  # an array, as `write_record` writes it
    flat = flatten(metrics)
    return {"trial": trial, "seed": seed} | {column: flat[name] for column, name in COLUMNS.items()}


def draw(rows: list[dict[str, Any]]) -> None:
    """Draws the trade-off: unevenness of the training images' codes against reconstruction of the test images."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        along_curve = row["trial"] == "recipe" or row["trial"].startswith("weight-")
        point = row["nats"], row["train_chi2_per_dof"]
        axes.plot(*point, "o" if along_curve else "x", color="C0" if along_curve else "C1")
        axes.annotate(row["trial"], point, xytext=(4, 3), textcoords="offset points", fontsize=8)
    axes.set_yscale("log")
    axes.set_xlabel("reconstruction of the test images, nats per image")
    axes.set_ylabel("chi² per degree of freedom of the training codes, 40 x 40 cells")
    figure.savefig(FIGURE, dpi=120, metadata={"Software": None})


if __name__ == "__main__":
    run_stage(main)
