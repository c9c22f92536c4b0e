"""Stage `evaluate` on tiny runs."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from aae.snapshots import load_snapshot, load_with_metadata, save_snapshot
from aae.summary import flatten
from pipeline import evaluate, render
from tests.pipeline.tiny_runs import EPOCHS, RUNS, failure, list_sums, load, load_rows

MATCH = ["sliced_wasserstein", "sliced_wasserstein_centred", "chi2_per_dof", "empty_cells", "ks_max"]
OTHERS = ["energy_distance", "mmd2", "mardia_skewness", "mardia_kurtosis", "correlation"]
AXIS = ["mean", "std", "skewness", "excess_kurtosis", "ks"]


def test_metrics_have_the_documented_keys(workspace):
    codes = {*MATCH, *OTHERS, *(f"axis_{j}.{name}" for j in (0, 1) for name in AXIS)}
    for run in RUNS:
        metrics = load(f"results/metrics/{run}.json")
        suffixes = ["", "_sampled"] if run == "vae-0" else [""]
        parts = {part + suffix for part in ("reconstruction", "codes", "labels") for suffix in suffixes}
        assert set(metrics) == parts | {"epoch", "train", "train_sample", "last_third"} | (
            {"discriminator"} if run == "aae-0" else set()
        )
        assert metrics["epoch"] == 4
        for suffix in suffixes:
            assert set(metrics[f"reconstruction{suffix}"]) == {"nats", "mse"}
            assert set(metrics[f"labels{suffix}"]) == {"knn_accuracy", "probe_accuracy"}
            assert set(flatten(metrics[f"codes{suffix}"])) == codes
            for images in ("train", "train_sample"):
                assert set(metrics[images][f"codes{suffix}"]) == set(MATCH)
            assert set(metrics["last_third"][f"codes{suffix}"]) == set(MATCH)
            assert set(metrics["last_third"][f"reconstruction{suffix}"]) == {"nats", "mse"}
        floor = load(f"results/floor/{run[:3]}.json")
        assert set(floor["codes"]) == codes
        assert set(floor["train"]["codes"]) == set(MATCH)
        assert (floor["rows"], floor["train"]["rows"]) == (40, 20)


def test_the_match_of_every_epoch(workspace):
    for run in RUNS:
        match, curves = load_rows(f"results/match/{run}.csv"), load_rows(f"results/curves/{run}.csv")
        kinds = ["codes", "codes_sampled"] if run == "vae-0" else ["codes"]
        assert list(match[0]) == ["epoch", *(f"{kind}.{measure}" for kind in kinds for measure in MATCH)]
        assert [row["epoch"] for row in match] == [0, 1, 2, 3, 4]
        for row in curves:
            assert match[int(row["epoch"])] == {key: row[key] for key in match[0]}, "a snapshot has its epoch's codes"
        assert len({row["codes.sliced_wasserstein"] for row in match}) == 5


def test_the_last_third_is_of_two_epochs_of_four(workspace):
    third = load("results/metrics/aae-0.json")["last_third"]
    values = [row["codes.chi2_per_dof"] for row in load_rows("results/match/aae-0.csv")[3:]]
    assert (third["epochs"], third["snapshots"]) == (2, 1)
    expected = {"median": sum(values) / 2, "min": min(values), "max": max(values)}
    assert third["codes"]["chi2_per_dof"] == pytest.approx(expected, rel=1e-5)


def test_curves_have_a_row_a_snapshot_and_end_in_the_metrics(workspace):
    for run in RUNS:
        with open(f"results/curves/{run}.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert next(iter(rows[0])) == "epoch"
        assert [int(row["epoch"]) for row in rows] == EPOCHS
        metrics = load(f"results/metrics/{run}.json")
        assert float(rows[-1]["codes.axis_1.ks"]) == metrics["codes"]["axis_1"]["ks"]
        assert float(rows[-1]["reconstruction.nats"]) == metrics["reconstruction"]["nats"]
        assert len({row["codes.sliced_wasserstein"] for row in rows}) == len(EPOCHS)
        assert float(rows[-1]["train.codes.ks_max"]) == metrics["train"]["codes"]["ks_max"]


def test_the_numbers_are_those_of_the_test_images(workspace):
    images = torch.from_numpy(np.load("data/prepared/test_images.npy")).reshape(40, 15) / 255
    codes = load_snapshot(Path("results/snapshots/vae-0/004.safetensors")).encode(images)
    axis = load("results/metrics/vae-0.json")["codes"]["axis_0"]
    assert axis["mean"] == pytest.approx(codes[:, 0].mean().item(), rel=1e-5)
    assert axis["std"] == pytest.approx(codes[:, 0].std(correction=0).item(), rel=1e-5)


def test_a_diverged_snapshot_is_named(fresh):
    path = Path("results/snapshots/aae-0/002.safetensors")
    model, metadata = load_with_metadata(path)
    model.encoder[0].weight.fill_(float("nan"))
    save_snapshot(path.parent, 2, model, metadata)
    list_sums("aae-0")
    run = ["--model", "aae", "--seed", "0"]
    assert failure(evaluate, *run) == f"error: {path}: 40 of 40 codes are not finite: the training diverged"
    assert "results/snapshots/aae-0: some codes are not finite" in failure(render, *run)


@pytest.mark.parametrize("stage", [evaluate, render])
def test_a_run_without_snapshots_is_named(workspace, stage):
    assert "results/snapshots/vae-3: no snapshots" in failure(stage, "--model", "vae", "--seed", "3")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read"),
        (np.zeros((5, 39, 2), np.float32), r"found an array of shape \[5, 39, 2\], needed \[epochs \+ 1, 40, 2\]"),
        (np.zeros((5, 40, 3), np.float32), r"needed \[epochs \+ 1, 40, 2\]"),
        (np.full((5, 40, 2), np.nan, np.float32), "epoch 0: 40 of 40 codes are not finite: the training diverged"),
    ],
)
def test_codes_that_are_not_those_of_a_training(fresh, content, problem):
    path = Path("results/codes/aae-0.npy")
    path.unlink()
    if content is not None:
        np.save(path, content)
        list_sums("aae-0")
    line = failure(evaluate, "--model", "aae", "--seed", "0")
    assert re.match(f"error: {path}: .*{problem}", line)
    assert not Path("results/curves").exists(), "nothing is half-written"
