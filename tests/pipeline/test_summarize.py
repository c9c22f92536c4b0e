"""Stage `summarize` on tiny runs."""

import csv
from pathlib import Path

import numpy as np
import pytest

from aae.models import build_model
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
    model = build_model("vae", 0, pixels=15, code_size=2, encoder_widths=[8], decoder_widths=[8])
    assert summary["vae"]["flops_per_epoch"] == 20 // 4 * model.iteration_flops(None, 4)
    assert set(summary["claims"]) == {"aae"}
    for claim in ("match", "stability"):
        assert summary["claims"]["aae"][claim]["verdict"] == "too short to judge"
    assert "seeds" not in summary["claims"]["aae"]["stability"]


def test_the_summary_of_two_seeds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_inputs(seeds=(0, 3))
    run_stages(floor, evaluate, summarize)
    summary, timing = load("results/summary.json"), load("results/timing_summary.json")
    values = [load(f"results/metrics/aae-{seed}.json")["codes"]["ks_max"] for seed in (0, 3)]
    expected = {"mean": np.mean(values), "std": np.std(values, ddof=1)}
    assert summary["aae"]["final"]["ks_max"] == pytest.approx(expected, rel=1e-4)
    assert "std" in summary["aae"]["last_third"]["ks_max"]
    assert summary["aae"]["flops_per_epoch"] > summary["vae"]["flops_per_epoch"] > 0

    assert timing["aae"]["seconds_per_epoch"] == pytest.approx({"mean": 4.5, "std": 4.5**0.5}, rel=1e-5)
    assert timing["vae"]["seconds_per_epoch"] == {"mean": 2, "std": 0}
    assert timing["claims"]["aae"]["time"]["seconds"] == {"aae": 4.5, "vae": 2, "result": "for"}


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


def test_three_models(three):
    """Both AAE recipes are compared with the VAE, under their own names."""
    summary, timing = load("results/summary.json"), load("results/timing_summary.json")
    assert set(summary) == {"seeds", "epochs", "aae", "vae", "vae_means", "aae_wide", "claims"}
    assert set(timing) == {"aae", "vae", "aae_wide", "claims"}
    for name in ("aae", "aae_wide"):
        claims = summary["claims"][name] | timing["claims"][name]
        assert set(claims) == {"match", "stability", "time"}
        final = load(f"results/metrics/{name}-0.json")["codes"]["ks_max"]
        assert summary[name]["final"]["ks_max"] == {"mean": final}
        assert set(claims["match"]["chi2_per_dof"]) == {name, "vae", "result"}
        assert claims["time"]["flops"][name] == summary[name]["flops_per_epoch"]
        assert claims["time"]["flops"]["vae"] == summary["vae"]["flops_per_epoch"]
    assert summary["aae_wide"]["flops_per_epoch"] > summary["aae"]["flops_per_epoch"]
    assert all("AAE wide" in reason for reason in summary["claims"]["aae_wide"]["match"]["reasons"])
    assert lines_of("match") == {"aae-0", "vae-0", "vae-0 means", "aae_wide-0", "prior"}


def test_without_a_model_to_compare_with_there_are_no_claims(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_inputs(models=("aae_wide", "aae"))
    run_stages(floor, evaluate, summarize)
    summary, timing = load("results/summary.json"), load("results/timing_summary.json")
    assert list(summary) == ["seeds", "epochs", "aae_wide", "aae", "claims"]
    assert summary["claims"] == timing["claims"] == {}


def test_models_with_different_priors_have_a_line_each_and_are_not_compared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_inputs(changes={"    kind: normal\n    std: 1.0\n  labels": "    kind: uniform\n    bound: 2.0\n  labels"})
    run_stages(floor, evaluate, summarize)
    assert lines_of("match") == {"aae-0", "vae-0", "vae-0 means", "prior of AAE", "prior of VAE"}
    claims = load("results/summary.json")["claims"]["aae"]
    assert claims["match"]["verdict"] == claims["stability"]["verdict"] == "not comparable"
    assert claims["match"]["note"].startswith("The priors differ: ")
    assert lines_of("snapshots") == {"aae-0", "vae-0", "vae-0 means"}


@pytest.mark.parametrize("name", ["vae_means", "claims", "result"])
def test_a_model_cannot_be_called_as_something_else_in_the_summary(fresh, name):
    path = Path("params.yaml")
    text = path.read_text().replace("models: [aae, vae]", f"models: [vae, {name}]")
    path.write_text(text.replace("\naae:\n", f"\n{name}:\n"))
    assert failure(summarize) == (
        f"error: params.yaml: models: {name} has another meaning in results/summary.json; allowed: any other name"
    )


def lines_of(table: str) -> set[str]:
    """The names in the column `run`."""
    with open(f"results/plots/{table}.csv", newline="") as file:
        return {row["run"] for row in csv.DictReader(file)}


def test_codes_of_another_training_are_refused(workspace):
    path = Path("results/match/aae-0.csv")
    content = path.read_text()
    path.write_text("".join(content.splitlines(keepends=True)[:-1]))
    assert failure(summarize) == (
        "error: results/match/aae-0.csv: ends with epoch 3, results/curves/aae-0.csv with 4; "
        "`dvc repro evaluate@aae-0` makes both again"
    )
    path.write_text(content)
