"""Stages `floor`, `evaluate`, `render`, `summarize` and `report` from snapshots to the page, on tiny runs."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aae.data import Dataset, save_dataset
from aae.flops import iteration_flops
from aae.models import build_model, to_inputs
from aae.snapshots import load_snapshot, save_snapshot
from aae.summary import flatten
from pipeline import evaluate, floor, render, report, summarize
from pipeline.cli import run_stage

ROOT = Path(__file__).parents[2]
EPOCHS = [0, 2, 4]
RUNS = ["aae-0", "vae-0"]
CHANGES = {
    "epochs: 100 ": "epochs: 4 ",
    "snapshot_every: 10 ": "snapshot_every: 2 ",
    "batch_size: 128 ": "batch_size: 4 ",
    "cells: 20 ": "cells: 3 ",
    "projections: 128 ": "projections: 8 ",
    "floor_samples: 100 ": "floor_samples: 5 ",
    "manifold_size: 30 ": "manifold_size: 4 ",
}


def write_inputs(code_size: int = 2, seeds: tuple = (0,), changes: dict | None = None) -> None:
    """What the stages before leave in the working folder: 40 test images of 5 x 3 pixels and a run of each model.

    Epoch e of a run is a model as it is initialised from 10 * seed + e, so every epoch has its own codes.
    """
    text = (ROOT / "params.yaml").read_text()
    edits = {"code_size: 2 ": f"code_size: {code_size} ", "seeds: [0] ": f"seeds: {list(seeds)} "}
    for old, new in (CHANGES | edits | (changes or {})).items():
        assert old in text
        text = text.replace(old, new)
    Path("params.yaml").write_text(text)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (60, 5, 3)).astype(np.uint8)
    labels = (np.arange(60) % 10).astype(np.uint8)
    save_dataset(Dataset(images[:20], labels[:20], images[20:], labels[20:]), Path("data/prepared"))
    for name, seed in ((name, seed) for name in ("aae", "vae") for seed in seeds):
        run = f"{name}-{seed}"
        sizes = {"pixels": 15, "code_size": code_size, "encoder_widths": [8], "decoder_widths": [8]}
        if name == "aae":
            sizes |= {"discriminator_widths": [8], "label_classes": 10 if "labels: true" in text else 0}
        models = [build_model(name, 10 * seed + epoch, **sizes).requires_grad_(False) for epoch in range(5)]
        for epoch in EPOCHS:
            save_snapshot(Path(f"results/snapshots/{run}"), epoch, models[epoch])
        Path("results/codes").mkdir(exist_ok=True)
        outputs = [model.encoder(to_inputs(images[20:])).numpy() for model in models]
        np.save(f"results/codes/{run}.npy", np.stack(outputs))
        Path("results/timing").mkdir(exist_ok=True)
        seconds = 3.0 + seed if name == "aae" else 2.0
        Path(f"results/timing/{run}.json").write_text(
            json.dumps({"seconds": 4 * seconds, "seconds_per_epoch": seconds, "device": "a processor"})
        )
        history = Path(f"results/history/{run}/plots/metrics")
        history.mkdir(parents=True)
        losses = ["discriminator", "generator"] if name == "aae" else ["kl", "loss"]
        for loss in ["reconstruction", *losses]:
            rows = [f"{epoch}\t{10 / epoch}" for epoch in range(1, 5)]
            (history / f"{loss}.tsv").write_text("\n".join([f"step\t{loss}", *rows]) + "\n")


def run_stages(*stages, seeds: tuple = (0,)) -> None:
    """Calls the stages in this process, those of a run for every run."""
    of_runs = [["--model", model, "--seed", str(seed)] for model in ("aae", "vae") for seed in seeds]
    for stage in stages:
        for arguments in of_runs if stage in (evaluate, render) else [[]]:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", ["stage", *arguments])
                run_stage(stage.main)


ALL = (floor, evaluate, render, summarize, report)


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
    """A folder in which all stages have run."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_inputs()
        run_stages(*ALL)
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


MATCH = ["sliced_wasserstein", "sliced_wasserstein_centred", "chi2_per_dof", "empty_cells", "ks_max"]
OTHERS = ["energy_distance", "mmd2", "mardia_skewness", "mardia_kurtosis", "correlation"]
AXIS = ["mean", "std", "skewness", "excess_kurtosis", "ks"]


def load(path: str) -> dict:
    """JSON as the standard has it: no NaN, no Infinity."""
    return json.loads(Path(path).read_text(), parse_constant=pytest.fail)


def load_rows(path: str) -> list[dict[str, float]]:
    with open(path, newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def test_metrics_have_the_documented_keys(workspace):
    codes = {*MATCH, *OTHERS, *(f"axis_{j}.{name}" for j in (0, 1) for name in AXIS)}
    for run in RUNS:
        metrics = load(f"results/metrics/{run}.json")
        suffixes = ["", "_sampled"] if run == "vae-0" else [""]
        parts = {part + suffix for part in ("reconstruction", "codes", "labels") for suffix in suffixes}
        assert set(metrics) == parts | {"epoch", "train", "last_third"} | (
            {"discriminator"} if run == "aae-0" else set()
        )
        assert metrics["epoch"] == 4
        for suffix in suffixes:
            assert set(metrics[f"reconstruction{suffix}"]) == {"nats", "mse"}
            assert set(metrics[f"labels{suffix}"]) == {"knn_accuracy", "probe_accuracy"}
            assert set(flatten(metrics[f"codes{suffix}"])) == codes
            assert set(metrics["train"][f"codes{suffix}"]) == set(MATCH)
            assert set(metrics["last_third"][f"codes{suffix}"]) == set(MATCH)
            assert set(metrics["last_third"][f"reconstruction{suffix}"]) == {"nats", "mse"}
        assert set(load("results/floor.json")[run[:3]]) == codes


def test_the_match_of_every_epoch(workspace):
    for run in RUNS:
        match, curves = load_rows(f"results/match/{run}.csv"), load_rows(f"results/curves/{run}.csv")
        kinds = ["codes", "codes_sampled"] if run == "vae-0" else ["codes"]
        assert list(match[0]) == ["epoch", *(f"{kind}.{measure}" for kind in kinds for measure in MATCH)]
        assert [row["epoch"] for row in match] == [0, 1, 2, 3, 4]
        for row in curves:
            assert match[int(row["epoch"])] == {key: row[key] for key in match[0]}, "a snapshot's codes are its epoch's"
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
        metrics = json.loads(Path(f"results/metrics/{run}.json").read_text())
        assert float(rows[-1]["codes.axis_1.ks"]) == metrics["codes"]["axis_1"]["ks"]
        assert float(rows[-1]["reconstruction.nats"]) == metrics["reconstruction"]["nats"]
        assert len({row["codes.sliced_wasserstein"] for row in rows}) == len(EPOCHS)
        assert float(rows[-1]["train.codes.ks_max"]) == metrics["train"]["codes"]["ks_max"]


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
    assert failure(evaluate, *run) == f"error: {path}: 40 of 40 codes are not finite: the training diverged"
    assert "results/snapshots/aae-0: some codes are not finite" in failure(render, *run)


@pytest.mark.parametrize("stage", [evaluate, render])
def test_a_run_without_snapshots_is_named(workspace, stage):
    assert "results/snapshots/vae-3: no snapshots" in failure(stage, "--model", "vae", "--seed", "3")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read"),
        (np.zeros((5, 39, 2), np.float32), r"found an array of shape \[5, 39, 2\], needed \[epochs \+ 1, 40, encoder"),
        (np.zeros((5, 40, 3), np.float32), "encoder outputs"),
        (np.full((5, 40, 2), np.nan, np.float32), "epoch 0: 40 of 40 codes are not finite: the training diverged"),
    ],
)
def test_codes_that_are_not_those_of_a_training(fresh, content, problem):
    path = Path("results/codes/aae-0.npy")
    path.unlink()
    if content is not None:
        np.save(path, content)
    line = failure(evaluate, "--model", "aae", "--seed", "0")
    assert re.match(f"error: {path}: .*{problem}", line)
    assert not Path("results/curves").exists(), "nothing is half-written"


@pytest.mark.parametrize(
    "changes",
    [
        {"name: normal ": "name: mixture "},
        {"name: normal ": "name: mixture ", "labels: false ": "labels: true "},
        {"name: normal ": "name: swiss_roll ", "labels: false ": "labels: true "},
        {"name: normal ": "name: uniform "},
    ],
    ids=["mixture", "labelled-mixture", "labelled-swiss_roll", "uniform"],
)
def test_other_priors(tmp_path, monkeypatch, changes):
    monkeypatch.chdir(tmp_path)
    write_inputs(changes=changes)
    run_stages(*ALL)
    floors, summary = load("results/floor.json"), load("results/summary.json")
    assert floors["aae"] != floors["vae"], "the VAE's prior is the normal one"
    for model in ("aae", "vae"):
        floor_of = floors[model]["sliced_wasserstein"]
        assert summary[model]["final"]["sliced_wasserstein"]["mean"] > 0
        assert 0 < floor_of["low"] <= floor_of["mean"] <= floor_of["high"]
    pixels = np.array(Image.open("results/figures/aae-0/scatter-004.png").convert("RGB")).reshape(-1, 3)
    grey = (np.ptp(pixels.astype(int), axis=1) < 4) & (abs(pixels[:, 0].astype(int) - 170) < 12)
    other = np.array(Image.open("results/figures/vae-0/scatter-004.png").convert("RGB")).reshape(-1, 3)
    circles = (np.ptp(other.astype(int), axis=1) < 4) & (abs(other[:, 0].astype(int) - 170) < 12)
    assert grey.sum() > 3000 + circles.sum(), "samples of the prior stand in the picture"


def test_one_dimension_and_the_uniform_prior(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_inputs(1, changes={"name: normal ": "name: uniform "})
    run_stages(*ALL)
    assert "correlation" not in load("results/summary.json")["aae"]["final"]


# --- summarize ----------------------------------------------------------------------------------------------


def test_the_summary_of_one_seed(workspace):
    summary, metrics = load("results/summary.json"), load("results/metrics/vae-0.json")
    assert (summary["seeds"], summary["epochs"]) == (1, 4)
    assert summary["vae"]["final"]["mmd2"] == {"mean": metrics["codes_sampled"]["mmd2"]}
    assert summary["vae_means"]["final"]["mmd2"] == {"mean": metrics["codes"]["mmd2"]}
    assert summary["vae"]["final"]["nats"] == {"mean": metrics["reconstruction_sampled"]["nats"]}
    assert set(summary["aae"]["last_third"]["ks_max"]) == {"median", "min", "max"}
    assert "discriminator_accuracy" in summary["aae"]["final"]
    sizes = {"batch_size": 4, "pixels": 15, "code_size": 2, "encoder_widths": [512], "decoder_widths": [512]}
    assert summary["vae"]["flops_per_epoch"] == 20 // 4 * iteration_flops("vae", **sizes)
    for claim in ("match", "stability"):
        assert summary["claims"][claim]["verdict"] in ("supported", "mixed", "not supported")
    assert "seeds" not in summary["claims"]["stability"]


def test_the_summary_of_two_seeds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_inputs(seeds=(0, 3))
    run_stages(floor, evaluate, summarize, seeds=(0, 3))
    summary, timing = load("results/summary.json"), load("results/timing_summary.json")
    values = [load(f"results/metrics/aae-{seed}.json")["codes"]["ks_max"] for seed in (0, 3)]
    expected = {"mean": np.mean(values), "std": np.std(values, ddof=1)}
    assert summary["aae"]["final"]["ks_max"] == pytest.approx(expected, rel=1e-4)
    assert "std" in summary["aae"]["last_third"]["ks_max"]
    assert "seeds" in summary["claims"]["stability"]
    assert summary["aae"]["flops_per_epoch"] > summary["vae"]["flops_per_epoch"] > 0

    assert timing["aae"]["seconds_per_epoch"] == pytest.approx({"mean": 4.5, "std": 4.5**0.5}, rel=1e-5)
    assert timing["vae"]["seconds_per_epoch"] == {"mean": 2, "std": 0}
    assert timing["claims"]["time"]["seconds"] == {"aae": 4.5, "vae": 2, "result": "for"}


def test_timing_is_nowhere_but_in_its_own_summary(workspace):
    before = outputs()
    Path("results/timing/aae-0.json").write_text('{"seconds": 99, "seconds_per_epoch": 50}')
    run_stages(summarize)
    after = outputs()
    changed = {path for path in after if after[path] != before[path]}
    assert changed == {"results/timing/aae-0.json", "results/timing_summary.json"}
    Path("results/timing/aae-0.json").write_bytes(before["results/timing/aae-0.json"])
    run_stages(summarize)


def test_the_tables_for_plots_have_every_run(workspace):
    for name, epochs in (("match", 5), ("snapshots", 3)):
        with open(f"results/plots/{name}.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        lines = [row["run"] for row in rows if row["run"] != "prior"]
        assert {line: lines.count(line) for line in lines} == {"aae-0": epochs, "vae-0": epochs, "vae-0 means": epochs}
    with open("results/plots/match.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    value = next(row for row in rows if row["run"] == "vae-0" and row["epoch"] == "3")["ks_max"]
    assert float(value) == load_rows("results/match/vae-0.csv")[3]["codes_sampled.ks_max"]


def test_codes_of_another_training_are_refused(workspace):
    path = Path("results/match/aae-0.csv")
    content = path.read_text()
    path.write_text("".join(content.splitlines(keepends=True)[:-1]))
    assert failure(summarize) == (
        "error: results/match/aae-0.csv: ends with epoch 3, the snapshots with 4; `dvc repro` makes both"
    )
    path.write_text(content)


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
    run_stages(*ALL)
    metrics = json.loads(Path("results/metrics/vae-0.json").read_text())
    assert f"axis_{code_size - 1}" in metrics["codes"]
    assert f"axis_{code_size}" not in metrics["codes"]
    assert Path("results/figures/vae-0/animation.gif").is_file()
    assert f"{code_size} dimension" in Path("report/index.html").read_text()


# --- report -------------------------------------------------------------------------------------------------


def test_the_report_and_its_pictures(workspace):
    names = {f"{run}-{kind}.png" for run in RUNS for kind in ("scatter", "manifold")}
    assert {path.name for path in Path("report").iterdir()} == {"index.html", "report.md"} | names
    markdown = Path("report/report.md").read_text()
    for name in names:
        figure, epoch = Path("results/figures") / name[:5], EPOCHS[-1]
        assert (Path("report") / name).read_bytes() == (figure / f"{name[6:-4]}-{epoch:03d}.png").read_bytes()
        assert f"]({name})" in markdown
    page = Path("report/index.html").read_text()
    assert all(f'id="codes-{run}"' in page and f'id="manifold-{run}-2"' in page for run in RUNS)


def test_every_link_of_the_report_leads_to_a_file(workspace):
    """Those of the results; the documentation is in the repository."""
    for name, pattern in (("index.html", r'href="(\.\./[^"]*)"'), ("report.md", r"\]\((\.\./[^)]*)\)")):
        found = re.findall(pattern, (Path("report") / name).read_text())
        assert len(found) == 3 + 4 * len(RUNS) + 1
        for link in found:
            base = ROOT if link.startswith("../docs/") else workspace
            assert (base / link.removeprefix("../")).is_file(), link


def test_the_page_tells_the_timing_and_no_other_time(workspace, monkeypatch):
    before = Path("report/index.html").read_text()
    timing = Path("results/timing/aae-0.json")
    content = timing.read_text()
    timing.write_text(content.replace("12.0", "7654.5"))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    run_stages(report)
    after = Path("report/index.html").read_text()
    timing.write_text(content)
    run_stages(report)
    assert Path("report/index.html").read_text() == before
    assert after != before
    assert after.replace("7654.5", "12.0") == before


def test_the_page_tells_the_commit(fresh):
    run_stages(*ALL)
    assert "<dd>unknown</dd>" in Path("report/index.html").read_text()

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
        done = subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q")
    git("add", "params.yaml")
    git("commit", "-qm", "experiment")
    commit = git("rev-parse", "--short=12", "HEAD")
    run_stages(report)
    assert f"<dd>{commit}</dd>" in Path("report/index.html").read_text(), "results are no changes of the sources"
    with open("params.yaml", "a") as file:
        file.write("# a change\n")
    run_stages(report)
    assert f"<dd>{commit} with changes</dd>" in Path("report/index.html").read_text()


@pytest.mark.parametrize(
    "missing",
    [
        "data/prepared/test_images.npy",
        "results/codes/vae-0.npy",
        "results/curves/vae-0.csv",
        "results/figures/aae-0/manifold-004.png",
        "results/floor.json",
        "results/history/vae-0",
        "results/match/aae-0.csv",
        "results/metrics/aae-0.json",
        "results/snapshots/vae-0",
        "results/summary.json",
        "results/timing/vae-0.json",
        "results/timing_summary.json",
    ],
)
def test_missing_results_are_named(workspace, missing):
    path, aside = Path(missing), Path("aside")
    before = Path("report/index.html").read_bytes()
    path.rename(aside)
    try:
        assert f"error: {missing}: " in failure(report)
    finally:
        aside.rename(path)
    assert Path("report/index.html").read_bytes() == before


def test_all_bytes_are_the_same_again(workspace):
    before = outputs()
    run_stages(*ALL)
    assert outputs() == before
