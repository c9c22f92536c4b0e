"""All stages after training, on tiny runs with other priors and code sizes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pipeline.tiny_runs import ALL, load, outputs, run_stages, write_inputs

PRIOR = "  prior:\n    kind: normal\n    std: 1.0\n  labels: false "  # the AAE's


@pytest.mark.parametrize(
    ("prior", "labels"),
    [
        ("mixture", "false"),
        ("mixture", "true"),
        ("swiss_roll", "true"),
        ("swiss_roll", "true\n  labelled: 10"),
        ("uniform", "false"),
    ],
)
def test_other_priors(tmp_path, monkeypatch, prior, labels):
    monkeypatch.chdir(tmp_path)
    write_inputs(changes={PRIOR: f"  prior: {prior}\n  labels: {labels} "})
    run_stages(*ALL)
    summary = load("results/summary.json")
    floors = {model: load(f"results/floor/{model}.json")["codes"] for model in ("aae", "vae")}
    assert floors["aae"] != floors["vae"], "each model has its own prior"
    for model in ("aae", "vae"):
        floor_of = floors[model]["sliced_wasserstein"]
        assert summary[model]["final"]["sliced_wasserstein"]["mean"] > 0
        assert 0 < floor_of["low"] <= floor_of["mean"] <= floor_of["high"]
    pixels = np.array(Image.open("results/figures/aae-0/scatter-004.png").convert("RGB")).reshape(-1, 3)
    grey = (np.ptp(pixels.astype(int), axis=1) < 4) & (abs(pixels[:, 0].astype(int) - 170) < 12)
    other = np.array(Image.open("results/figures/vae-0/scatter-004.png").convert("RGB")).reshape(-1, 3)
    circles = (np.ptp(other.astype(int), axis=1) < 4) & (abs(other[:, 0].astype(int) - 170) < 12)
    assert grey.sum() > 3000 + circles.sum(), "the picture shows samples of the prior"


@pytest.mark.parametrize(
    ("posterior", "name", "title"),
    [("gaussian", "means", "means of q(z|x)"), ("universal", "noiseless", "codes without noise")],
)
def test_a_posterior_with_samples(tmp_path, monkeypatch, posterior, name, title):
    """Its means or codes without noise are pictured, its samples compared with the prior; the page explains both."""
    monkeypatch.chdir(tmp_path)
    write_inputs(changes={PRIOR: f"  posterior: {posterior}\n  prior: normal\n  labels: false "})
    run_stages(*ALL)
    summary, metrics = load("results/summary.json"), load("results/metrics/aae-0.json")
    assert np.load("results/codes/aae-0.npy").shape[2] == 4
    assert summary["aae"]["final"]["mmd2"] == {"mean": metrics["codes_sampled"]["mmd2"]}
    assert summary[f"aae_{name}"]["final"]["mmd2"] == {"mean": metrics["codes"]["mmd2"]}
    page = Path("report/index.html").read_text()
    for codes in (title, "samples of q(z|x)"):
        assert f"AAE, {codes}</em>: one code" in page


def test_one_dimension_and_the_uniform_prior(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_inputs(1, changes={PRIOR: "  prior: uniform\n  labels: false "})
    run_stages(*ALL)
    assert "correlation" not in load("results/summary.json")["aae"]["final"]


@pytest.mark.parametrize("code_size", [1, 4])
def test_other_code_sizes(tmp_path, monkeypatch, code_size):
    monkeypatch.chdir(tmp_path)
    write_inputs(code_size)
    run_stages(*ALL)
    metrics = load("results/metrics/vae-0.json")
    assert f"axis_{code_size - 1}" in metrics["codes"]
    assert f"axis_{code_size}" not in metrics["codes"]
    assert Path("results/figures/vae-0/animation.gif").is_file()
    assert f"{code_size} dimension" in Path("report/index.html").read_text()


def test_all_bytes_are_the_same_again(workspace):
    before = outputs()
    run_stages(*ALL)
    assert outputs() == before
