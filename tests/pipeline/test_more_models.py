"""Additional models through the real pipeline: a second recipe of a kind, and a new kind.

The tests change only the files that docs/extending.md names: a module in aae/kinds/ and params.yaml.
"""

import csv
import shutil
from pathlib import Path

import pytest

from tests.pipeline import tiny_runs
from tests.pipeline.conftest import Repository

SECTIONS = """
aae_wide:
  kind: aae
  prior: {kind: normal, std: 2.0}
  labels: false
  encoder_widths: [24]
  decoder_widths: [24]
  discriminator_widths: [24]
  autoencoder:
    learning_rate: {start: 0.002, end: 0.0001, shape: exponential}
    betas: [0.9, 0.999]
  discriminator: {learning_rate: 0.001, betas: [0.5, 0.999]}
  generator: {learning_rate: 0.001, betas: [0.9, 0.999]}

toy:
  kind: toy
  encoder_widths: [16]
  decoder_widths: [16]
  adam:
    learning_rate: {start: 0.01, end: 0.001}
    betas: [0.9, 0.999]
  penalty: {start: 0.01, end: 0.1, shape: exponential, until: 0.5}
"""
MODELS = ["aae", "vae", "aae_wide", "aae_joint", "toy"]
RUNS = [f"{model}-0" for model in MODELS]


@pytest.fixture(scope="module")
def repository(small_repository, tmp_path_factory) -> Repository:
    """The small experiment with two additional models, after `dvc repro`."""
    root = tmp_path_factory.mktemp("models") / "repository"
    shutil.copytree(small_repository.root, root)
    repository = Repository(root)
    shutil.copy(Path(__file__).with_name("toy_kind.py"), root / "aae/kinds/toy.py")
    repository.edit("models: [aae, vae]", f"models: [{', '.join(MODELS)}]")
    params = root / "params.yaml"
    params.write_text(params.read_text() + SECTIONS)
    repository.run("dvc", "repro")
    return repository


def load(repository: Repository, path: str) -> dict:
    return tiny_runs.load(repository.root / path)


def test_every_model_is_trained_evaluated_and_drawn(repository):
    for run in RUNS:
        assert len(list((repository.root / "results/snapshots" / run).glob("*.safetensors"))) == 3
        assert (repository.root / f"results/figures/{run}/animation.gif").is_file()
        metrics = load(repository, f"results/metrics/{run}.json")
        assert metrics["epoch"] == 2
        assert metrics["reconstruction"]["nats"] > 0
    toy = load(repository, "results/metrics/toy-0.json")
    assert set(toy["codes"]) >= {"axis_0", "axis_1"}
    assert "axis_2" not in toy["codes"], "an output that is not part of the code is not measured"
    assert "codes_sampled" not in toy
    assert "discriminator" not in toy


def test_each_model_is_compared_with_its_own_prior(repository):
    floors = {model: load(repository, f"results/floor/{model}.json") for model in MODELS}
    assert floors["aae"] == floors["vae"] == floors["toy"]
    wide, narrow = (floors[model]["codes"]["sliced_wasserstein"]["mean"] for model in ("aae_wide", "aae"))
    assert wide == pytest.approx(2 * narrow, rel=1e-5)


def test_the_claims_are_judged_for_every_aae_beside_the_vae(repository):
    summary, timing = load(repository, "results/summary.json"), load(repository, "results/timing_summary.json")
    assert set(summary["claims"]) == set(timing["claims"]) == {"aae", "aae_wide", "aae_joint"}
    comparison = summary["claims"]["aae_wide"]["match"]["sliced_wasserstein"]
    assert set(comparison) == {"aae_wide", "vae", "result"}
    assert set(MODELS) < set(summary)


def test_the_report_has_all_of_them(repository):
    page = (repository.root / "report/index.html").read_text()
    for title in ("AAE wide", "Toy", "toy autoencoder", "Penalty"):
        assert title.lower() in page.lower()
    markdown = (repository.root / "report/report.md").read_text()
    for run in RUNS:
        assert f"{run}-scatter.png" in markdown
        assert (repository.root / f"report/{run}-scatter.png").is_file()
    with open(repository.root / "results/plots/match.csv", newline="") as file:
        assert set(RUNS) < {row["run"] for row in csv.DictReader(file)}


def test_a_recipe_is_the_parameter_of_its_own_runs_only(repository):
    repository.edit("prior: {kind: normal, std: 2.0}", "prior: {kind: normal, std: 1.5}")
    output = repository.run("dvc", "repro")
    assert "Running stage 'train@aae_wide-0'" in output
    for run in ("aae-0", "vae-0", "toy-0"):
        assert f"Running stage 'train@{run}'" not in output
        assert f"Running stage 'evaluate@{run}'" not in output
