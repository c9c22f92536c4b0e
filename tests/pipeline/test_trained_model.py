"""`aae.load` needs only the outputs of stage `train`, and reproduces the codes of training bit for bit."""

import json
from pathlib import Path

import numpy as np
import pytest

import aae
from aae.data import load_dataset
from aae.priors import MixturePrior, NormalPrior
from pipeline import device, prepare, train
from tests.pipeline.conftest import write_idx_files
from tests.pipeline.tiny_runs import run_stages, write_inputs


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder in which a model of each kind was trained for four epochs, one of them with a mixture prior."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        changes = {"path: data/raw/mnist ": "path: raw "}
        changes |= {"    kind: normal\n    std: 1.0\n  labels: false": "    kind: mixture\n  labels: true"}
        write_inputs(changes=changes, models=("aae", "aae_joint", "vae"))
        write_idx_files(Path("raw"))
        run_stages(prepare, device)
        for model in ("aae", "aae_joint", "vae"):
            patch.setattr("sys.argv", ["stage", "--model", model, "--seed", "0"])
            train.main()
    return folder


@pytest.mark.parametrize(
    ("kind", "prior"),
    [("aae", MixturePrior(10)), ("aae_joint", MixturePrior(10)), ("vae", NormalPrior(2))],
)
def test_codes_are_those_of_training(trained, monkeypatch, kind, prior):
    monkeypatch.chdir(trained)
    model = aae.load(f"results/snapshots/{kind}-0")
    data = load_dataset(Path("data/prepared"))
    codes = np.load(f"results/codes/{kind}-0.npy")[-1][:, :2]  # a VAE's codes are followed by log-variances
    assert np.array_equal(model.encode(np.asarray(data.test_images)), codes)
    assert (model.prior, model.image_shape, model.class_names) == (prior, data.shape, data.class_names)
    assert json.loads(Path(f"results/snapshots/{kind}-0/config.json").read_text())["kind"] == kind
