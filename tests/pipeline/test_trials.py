"""`make trials` with the real `dvc`, where one stage that copies metrics stands in for the pipeline."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pipeline.conftest import Repository
from tests.pipeline.tiny_runs import load

ROOT = Path(__file__).parents[2]
# It takes the metrics of one tiny run or of another, by a parameter that the second trial changes.
DVC_YAML = """
stages:
  evaluate:
    cmd: mkdir -p results/metrics && cp ${aae_joint.recent_codes}.json results/metrics/aae_joint-0.json
    params: [aae_joint.recent_codes]
    metrics: [results/metrics/aae_joint-0.json: {cache: false}]
"""
TRIALS = """
recipe: []
codes-9: [aae_joint.recent_codes=9]
"""
COPIED = {"recipe": ("aae-0", "512.json"), "codes-9": ("vae-0", "9.json")}  # trial -> whose metrics, in which file
BLUE, ORANGE = (31, 119, 180), (255, 127, 14)  # of the points on the trade-off curve, and of the others


@pytest.fixture(scope="module")
def done(finished, tmp_path_factory) -> Repository:
    """A repository in which `make trials` has run."""
    repository = Repository(tmp_path_factory.mktemp("trials"))
    for name in (".dvc/config", ".dvc/.gitignore", "params.yaml"):
        (repository.root / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, repository.root / name)
    for run, name in COPIED.values():
        shutil.copy(finished / f"results/metrics/{run}.json", repository.root / name)
    (repository.root / "docs").mkdir()
    (repository.root / "docs/trials.yaml").write_text(TRIALS)
    (repository.root / "dvc.yaml").write_text(DVC_YAML)
    repository.run("git", "init", "-q")
    repository.commit("trials")
    repository.environment["PYTHONPATH"] = str(ROOT)  # there is no pipeline/ in the repository
    repository.run("python", "-m", "pipeline.trials")
    return repository


def test_the_table_has_the_measures_of_every_trial(done, finished):
    with open(done.root / "docs/trials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["trial"], row["seed"]) for row in rows] == [(trial, "0") for trial in COPIED]
    for row in rows:
        run, _ = COPIED[row["trial"]]
        metrics = load(finished / f"results/metrics/{run}.json")
        of_test, of_train = metrics["codes"], metrics["train"]["codes"]
        assert {key: float(value) for key, value in row.items() if key not in ("trial", "seed")} == {
            "train_sliced_wasserstein": of_train["sliced_wasserstein"],
            "train_chi2_per_dof": of_train["chi2_per_dof"],
            "train_empty_cells": of_train["empty_cells"],
            "test_sliced_wasserstein": of_test["sliced_wasserstein"],
            "test_chi2_per_dof": of_test["chi2_per_dof"],
            "last_third_max": metrics["last_third"]["codes"]["sliced_wasserstein"]["max"],
            "nats": metrics["reconstruction"]["nats"],
            "knn_accuracy": metrics["labels"]["knn_accuracy"],
        }


def test_the_picture_has_a_point_for_every_trial(done):
    pixels = np.array(Image.open(done.root / "docs/trials.png").convert("RGB"))
    assert all((pixels == colour).all(axis=2).sum() > 10 for colour in (BLUE, ORANGE))


def test_a_trial_that_failed_is_named(done):
    row = "from pipeline import cli, trials; cli.run_stage(lambda: trials.row_of('codes-8', 0))"
    assert done.run("python", "-c", row, status=1) == (
        "error: results/metrics/aae_joint-0.json: missing in the experiment codes-8, which failed "
        "(`dvc queue logs codes-8`)\n"
    )
