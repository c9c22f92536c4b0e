"""How runs share the cores, and how a training uses a share that grows."""

import time
from pathlib import Path

import aae_native
import pytest
import torch

from pipeline import repro
from pipeline.params import load_params
from pipeline.publish import publish_timing
from pipeline.resume import Epoch, Progress
from pipeline.threads import THREADS_FILE, take_share
from tests.pipeline.tiny_runs import load

ROOT = Path(__file__).parents[2]


def test_who_is_left_takes_the_cores_of_those_that_are_done(monkeypatch):
    found = {}

    def make(*arguments, **environment):
        stage, file = arguments[-1], Path(environment[THREADS_FILE])
        assert environment["OMP_NUM_THREADS"] == "2", "all begin with the same number of threads"
        found[stage] = [file.read_text()]
        deadline = time.monotonic() + 60
        while stage == "long" and file.read_text() == "2" and time.monotonic() < deadline:
            time.sleep(0.01)
        found[stage].append(file.read_text())

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(repro, "repro", make)
    repro.side_by_side([["long"], ["short"], ["late"]], jobs=2, cores=4)
    assert found["long"] == ["2", "4"]
    assert found["short"] == ["2", "2"]


def test_a_users_number_of_threads_stands(monkeypatch):
    environments = []
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(repro, "repro", lambda *arguments, **environment: environments.append(environment))
    repro.side_by_side([["one"], ["two"]], jobs=2, cores=4)
    assert all(set(environment) == {"TQDM_POSITION"} for environment in environments)


@pytest.fixture
def threads():
    before = aae_native.get_threads()
    yield
    aae_native.set_threads(before)


def test_a_training_takes_its_share(tmp_path, monkeypatch, threads):
    file = tmp_path / "threads"
    monkeypatch.setenv(THREADS_FILE, str(file))
    for share in (2, 1):
        file.write_text(str(share))
        take_share()
        assert aae_native.get_threads() == share
    file.unlink()
    take_share()
    assert aae_native.get_threads() == 1, "the number stays if the process that gave the share is gone"


def test_the_time_of_an_epoch_is_of_one_number_of_threads(tmp_path, monkeypatch):
    params = load_params(ROOT / "params.yaml")
    monkeypatch.chdir(tmp_path)
    progress = Progress(tmp_path / "scratch", 6)
    for seconds, of in [(1.0, 1), (2.0, 1), (4.0, 1), (0.5, 2), (0.5, 2), (0.5, 2)]:
        progress.add_epoch(Epoch({"loss": 1.0}, seconds, of))
    publish_timing("aae-0", params, torch.device("cpu"), 468, progress)
    timing = load("results/timing/aae-0.json")
    assert (timing["threads"], timing["seconds"], timing["seconds_per_epoch"]) == (1, 8.5, 2.0)
