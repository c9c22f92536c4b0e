"""Stages `evaluate`, `render` and `report` from snapshots to the page, on two tiny runs."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aae.data import Dataset, save_dataset
from aae.models import build_model
from aae.snapshots import load_snapshot, save_snapshot
from pipeline import evaluate, render, report
from pipeline.cli import run_stage

ROOT = Path(__file__).parents[2]
EPOCHS = [0, 2, 4]
RUNS = ["aae-0", "vae-0"]
CHANGES = {
    "epochs: 100 ": "epochs: 4 ",
    "snapshot_every: 10 ": "snapshot_every: 2 ",
    "cells: 20 ": "cells: 3 ",
    "projections: 128 ": "projections: 8 ",
    "manifold_size: 30 ": "manifold_size: 4 ",
}


def write_inputs(code_size: int = 2) -> None:
    """What the stages before leave in the working folder: 40 test images of 5 x 3 pixels and two runs."""
    text = (ROOT / "params.yaml").read_text()
    for old, new in (CHANGES | {"code_size: 2 ": f"code_size: {code_size} "}).items():
        assert old in text
        text = text.replace(old, new)
    Path("params.yaml").write_text(text)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (60, 5, 3)).astype(np.uint8)
    labels = (np.arange(60) % 10).astype(np.uint8)
    save_dataset(Dataset(images[:20], labels[:20], images[20:], labels[20:]), Path("data/prepared"))
    for name in ("aae", "vae"):
        sizes = {"pixels": 15, "code_size": code_size, "encoder_widths": [8], "decoder_widths": [8]}
        sizes |= {"discriminator_widths": [8]} if name == "aae" else {}
        for epoch in EPOCHS:
            save_snapshot(Path(f"results/snapshots/{name}-0"), epoch, build_model(name, epoch, **sizes))
        history = Path(f"results/history/{name}-0/plots/metrics")
        history.mkdir(parents=True)
        losses = ["discriminator", "generator"] if name == "aae" else ["kl", "loss"]
        for loss in ["reconstruction", *losses]:
            rows = [f"{epoch}\t{10 / epoch}" for epoch in range(1, 5)]
            (history / f"{loss}.tsv").write_text("\n".join([f"step\t{loss}", *rows]) + "\n")


def run_stages(*stages) -> None:
    """Calls the stages in this process, those of a run for both runs."""
    for stage in stages:
        for arguments in [[]] if stage is report else [["--model", model, "--seed", "0"] for model in ("aae", "vae")]:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", ["stage", *arguments])
                run_stage(stage.main)


def failure(stage, *arguments: str) -> str:
    """The one line with which a stage ends that has bad input."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["stage", *arguments])
        with pytest.raises(SystemExit) as exit_:
            run_stage(stage.main)
    assert exit_.value.code.startswith("error: ")
    assert "\n" not in exit_.value.code
    return exit_.value.code


def outputs() -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for path in [*Path("results").rglob("*"), *Path("report").rglob("*")]
        if path.is_file()
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder in which all three stages have run."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_inputs()
        run_stages(evaluate, render, report)
    return folder


@pytest.fixture
def workspace(finished, monkeypatch):
    """The finished folder as the working folder; a test that changes it puts things back."""
    monkeypatch.chdir(finished)
    return finished


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """A folder with the inputs of the stages and nothing else."""
    monkeypatch.chdir(tmp_path)
    write_inputs()
    return tmp_path


# --- evaluate -----------------------------------------------------------------------------------------------


def test_metrics_have_the_documented_keys(workspace):
    codes = {"sliced_wasserstein", "empty_cells", "chi2_per_dof", "ks_max", "axis_0", "axis_1"}
    for run in RUNS:
        metrics = json.loads(Path(f"results/metrics/{run}.json").read_text())
        parts = {"epoch", "reconstruction", "codes", "prior_sample"}
        if run == "vae-0":
            parts |= {"reconstruction_sampled", "codes_sampled"}
        assert set(metrics) == parts
        assert metrics["epoch"] == 4
        for part in parts - {"epoch"}:
            assert set(metrics[part]) == ({"nats", "mse"} if part.startswith("reconstruction") else codes)


def test_curves_have_a_row_a_snapshot_and_end_in_the_metrics(workspace):
    for run in RUNS:
        with open(f"results/curves/{run}.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert next(iter(rows[0])) == "epoch"
        assert [int(row["epoch"]) for row in rows] == EPOCHS
        metrics = json.loads(Path(f"results/metrics/{run}.json").read_text())
        assert float(rows[-1]["codes.axis_1.ks"]) == metrics["codes"]["axis_1"]["ks"]
        assert float(rows[-1]["reconstruction.nats"]) == metrics["reconstruction"]["nats"]
        assert len({row["codes.sliced_wasserstein"] for row in rows}) == len(EPOCHS)
        assert not any(column.startswith("prior_sample") for column in rows[0])


def test_the_numbers_are_those_of_the_test_images(workspace):
    images = torch.from_numpy(np.load("data/prepared/test_images.npy")).reshape(40, 15) / 255
    codes = load_snapshot(Path("results/snapshots/vae-0/004.safetensors")).encode(images)
    axis = json.loads(Path("results/metrics/vae-0.json").read_text())["codes"]["axis_0"]
    assert axis["mean"] == pytest.approx(codes[:, 0].mean().item(), rel=1e-5)
    assert axis["std"] == pytest.approx(codes[:, 0].std(correction=0).item(), rel=1e-5)


def test_a_diverged_snapshot_is_named(fresh):
    path = Path("results/snapshots/aae-0/002.safetensors")
    model = load_snapshot(path)
    model.encoder[0].weight.fill_(float("nan"))
    save_snapshot(path.parent, 2, model)
    run = ["--model", "aae", "--seed", "0"]
    assert failure(evaluate, *run) == f"error: {path}: the decoder's output is not finite: the training diverged"
    assert "results/snapshots/aae-0: some codes are not finite" in failure(render, *run)


@pytest.mark.parametrize("stage", [evaluate, render])
def test_a_run_without_snapshots_is_named(workspace, stage):
    assert "results/snapshots/vae-3: no snapshots" in failure(stage, "--model", "vae", "--seed", "3")


# --- render -------------------------------------------------------------------------------------------------


def test_pictures_of_every_snapshot_and_an_animation(workspace):
    for run in RUNS:
        folder = Path("results/figures") / run
        names = {f"{kind}-{epoch:03d}.png" for kind in ("scatter", "manifold") for epoch in EPOCHS}
        assert {path.name for path in folder.iterdir()} == names | {"animation.gif"}
        sizes = {Image.open(folder / name).size for name in names}
        assert sizes == {(800, 784)}
        plots = {Image.open(folder / name).convert("L").crop((60, 70, 730, 730)).tobytes() for name in names}
        assert len(plots) == len(names), "each snapshot's own, not only its heading"
        with Image.open(folder / "animation.gif") as gif:
            assert gif.n_frames == len(EPOCHS)


@pytest.mark.parametrize("code_size", [1, 4])
def test_other_code_sizes(tmp_path, monkeypatch, code_size):
    monkeypatch.chdir(tmp_path)
    write_inputs(code_size)
    run_stages(evaluate, render, report)
    metrics = json.loads(Path("results/metrics/vae-0.json").read_text())
    assert f"axis_{code_size - 1}" in metrics["codes"]
    assert f"axis_{code_size}" not in metrics["codes"]
    assert Path("results/figures/vae-0/animation.gif").is_file()
    assert f"{code_size} dimension" in Path("report/index.html").read_text()


# --- report -------------------------------------------------------------------------------------------------


def test_the_page_has_all_pictures(workspace):
    page = Path("report/index.html").read_text()
    # Each snapshot's two pictures, the last ones a second time at the top, and an animation, for both runs.
    assert page.count("<img") == 2 * (2 * len(EPOCHS) + 2 + 1)
    assert page.count('src="data:image/png;base64,') + page.count('src="data:image/gif;base64,') == page.count("<img")


def test_the_page_does_not_know_the_time(workspace, monkeypatch):
    """Neither dates nor the timing that a training leaves may get into it."""
    before = Path("report/index.html").read_bytes()
    Path("results/timing").mkdir()
    Path("results/timing/aae-0.json").write_text('{"seconds": 1.5}')
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    run_stages(report)
    assert Path("report/index.html").read_bytes() == before


@pytest.mark.parametrize(
    "missing",
    [
        "results/metrics/aae-0.json",
        "results/curves/vae-0.csv",
        "results/figures/aae-0/manifold-002.png",
        "results/figures/vae-0/animation.gif",
        "results/history/vae-0",
    ],
)
def test_missing_results_are_named(workspace, missing):
    path, aside = Path(missing), Path("aside")
    path.rename(aside)
    try:
        assert f"error: {missing}: " in failure(report)
    finally:
        aside.rename(path)


def test_all_bytes_are_the_same_again(workspace):
    before = outputs()
    run_stages(evaluate, render, report)
    assert outputs() == before
