"""Stage `summarize` on tiny runs."""

import csv
from pathlib import Path

import numpy as np
import pytest

from aae.flops import iteration_flops
from pipeline import evaluate, floor, summarize
from tests.pipeline.tiny_runs import failure, load, load_rows, outputs, run_stages, write_inputs


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
