"""The paper's experiments: each one as a tiny run from training to the report, and what its parameters must be."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from aae.errors import InputError
from paper import quick
from paper.experiment import EXPERIMENTS
from paper.many_samples import number_of_samples
from paper.params import load_experiment
from pipeline.cli import run_stage
from tests.pipeline.conftest import write_idx_files
from tests.pipeline.test_dvc_yaml import closure

ROOT = Path(__file__).parents[2]
STAGES = YAML(typ="safe").load(ROOT / "paper/dvc.yaml")["stages"]


def shrunk(value):
    """The parameters with small networks and minibatches."""
    if isinstance(value, dict):
        small = {"batch_size": 4, "recent_codes": 4, "labelled": 10}
        return {key: [4] if key.endswith("_widths") else small.get(key, shrunk(entry)) for key, entry in value.items()}
    return value


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder in which `make paper-quick` has run on 40 images of 5 x 3 pixels."""
    folder = tmp_path_factory.mktemp("paper")
    yaml = YAML()
    base = yaml.load(ROOT / "params.yaml")
    base["data"]["path"] = "raw"
    base["device"], base["threads"] = "cpu", 1
    yaml.dump(base, folder / "params.yaml")
    (folder / "paper").mkdir()
    yaml.dump(shrunk(yaml.load(ROOT / "paper/params.yaml")), folder / "paper/params.yaml")
    write_idx_files(folder / "raw")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["quick"])
        run_stage(quick.main)
    return folder / "build/paper-quick"


def test_every_run_is_measured(folder):
    for path in (folder / "paper/results/measures").iterdir():
        (measures,) = json.loads(path.read_text())
        assert all(isinstance(value, float | int) for value in measures.values())
    runs = {path.stem for path in (folder / "paper/results/measures").iterdir()}
    content = YAML(typ="safe").load(ROOT / "paper/params.yaml")
    assert runs == {f"{model}-0" for name in EXPERIMENTS for model in content[name]["models"]}


def test_the_reports_show_every_measure(folder):
    text, page = (folder / "paper/results.md").read_text(), (folder / "paper/report/index.html").read_text()
    for path in (folder / "paper/results/measures").iterdir():
        (measures,) = json.loads(path.read_text())
        for name in ("log_likelihood",):
            if name in measures:
                assert f"{measures[name]:.1f}" in text
                assert f"{measures[name]:.1f}" in page
    assert "344.1 ± 1.9" in text
    (controls,) = json.loads((folder / "paper/results/controls.json").read_text())
    assert f"| {controls['neighbour_means']:.1f} |" in text
    (many,) = json.loads((folder / "paper/results/many_samples.json").read_text())
    assert many["many_samples"] == quick.SAMPLES
    assert f"on 20,000 samples | {many['many_log_likelihood']:.1f} | 427 (recalled) |" in text
    assert "missed" in text


@pytest.mark.parametrize("found", ["0", "1e7", "many", "true"])
def test_the_number_of_samples_is_checked(found, tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text(f"many_samples: {found}\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"^paper/params.yaml: many_samples: must be .* of at least 1; found"):
        number_of_samples()


def test_the_committed_parameters_are_valid(monkeypatch):
    monkeypatch.chdir(ROOT / "paper")
    for experiment in EXPERIMENTS:
        assert len(load_experiment(experiment).seeds) >= 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("epochs: ", "epoch: ", "likelihood.training: must be a mapping with epochs, snapshot_every"),
        ("code_size: 8", "code_size: 0", "code_size: input should be greater than or equal to 1; found 0"),
        ("kind: aae_joint", "kind: gan", "likelihood.kind: input should be one of"),
        ("likelihood:\n  seeds", "unlikely:\n  seeds", "likelihood: must be the section of an experiment"),
    ],
)
def test_a_mistake_is_named_in_one_line(old, new, message, tmp_path, monkeypatch):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    text = (ROOT / "paper/params.yaml").read_text()
    assert old in text
    (tmp_path / "paper").mkdir()
    (tmp_path / "paper/params.yaml").write_text(text.replace(old, new, 1))
    monkeypatch.chdir(tmp_path / "paper")
    with pytest.raises(ValueError, match=r"^paper/params.yaml: likelihood: ") as error:
        load_experiment("likelihood")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("stage", list(STAGES))
def test_dependencies_are_the_import_closure(stage):
    """Except for results, which are other stages' outputs. A training depends only on the kinds of its experiment."""
    listed = {os.path.normpath(f"paper/{dep}") for dep in STAGES[stage]["deps"]}
    listed = {dep for dep in listed if not dep.startswith(("data/", "results/", "paper/results/"))}
    module, _, experiment = stage.partition("_")
    if experiment not in EXPERIMENTS:
        module = stage
    kinds = {section["kind"] for section in of_models(experiment)} if module == "train" else None
    assert listed == closure(ROOT / f"paper/{module}.py", kinds)


def of_models(experiment: str) -> list[dict]:
    """The sections of the experiment's models in the committed parameters."""
    section = YAML(typ="safe").load(ROOT / "paper/params.yaml")[experiment]
    return [section[model] for model in section["models"]]


def test_dvc_makes_everything_once(small_repository, tmp_path):
    """As a user would: `make paper` of small networks on a small data set, twice."""
    repository = small_repository.copy_to(tmp_path / "repository")
    yaml = YAML()
    path = repository.root / "paper/params.yaml"
    content = shrunk(yaml.load(path)) | {"many_samples": 100}
    for experiment in EXPERIMENTS:
        content[experiment].update(seeds=[0], models=content[experiment]["models"][:1])
        content[experiment]["training"].update(epochs=1, snapshot_every=1)
    yaml.dump(content, path)
    repository.run("python", "-m", "paper.repro", "--jobs", "2")
    assert (repository.root / "paper/report/index.html").is_file()
    assert "| target |" in (repository.root / "paper/results.md").read_text()
    status = repository.run("dvc", "--cd", "paper", "status")
    assert "up to date" in status
    assert "paper" not in repository.run("dvc", "status"), "the top pipeline does not know it"
