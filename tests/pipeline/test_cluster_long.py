"""Studies on a cluster that take minutes: a worker is killed in a real training, and 100 seeds."""

import re
import resource
import time

import pytest

from tests.pipeline.conftest import Repository
from tests.pipeline.stub_stages import put_stubs
from tests.pipeline.test_cluster import REPRO, dask, ran_stages, results

pytestmark = pytest.mark.slow
SEEDS = 100
SECONDS_OF_A_RUN = 420  # CPU time of a default run: docs/results.md has 42 minutes of two cores for twelve


def test_a_worker_is_killed_in_mid_training(small_repository, tmp_path):
    """The results have the bytes of a study on one machine that nothing disturbed."""
    repository = small_repository.copy_to(tmp_path / "head")
    repository.edit("epochs: 2 ", "epochs: 400 ")
    repository.edit("snapshot_every: 1 ", "snapshot_every: 20 ")  # with a checkpoint
    repository.commit("400 epochs")
    undisturbed = repository.copy_to(tmp_path / "undisturbed")
    undisturbed.run(*REPRO, "--jobs", "2")
    with dask(repository, tmp_path / "dask") as started:
        first = started.worker("--no-nanny")
        process = repository.start(*REPRO, "--cluster", started.address)
        while not list((repository.root / "scratch").glob("aae-0/*/*.safetensors")):
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.01)
        first.kill()
        started.worker()
        output, _ = process.communicate()
    assert process.returncode == 0, output
    assert results(repository) == results(undisturbed)
    assert ran_stages(repository.run("dvc", "repro")) == set()


def test_the_bookkeeping_of_a_hundred_seeds(small_repository, tmp_path, capsys):
    """CPU time of all processes, with stages that do next to nothing, is under 2 % of a study's."""
    repository: Repository = small_repository.copy_to(tmp_path / "head")
    put_stubs(repository)
    before, start = cpu_seconds(), time.monotonic()
    with dask(repository, tmp_path / "dask") as started:
        started.worker()
        started.worker()
        output = repository.run(*REPRO, "--cluster", started.address, "--seeds", str(SEEDS))
    runs = 2 * SEEDS
    assert f"{runs}/{runs}" in output
    seconds, wall = cpu_seconds() - before, time.monotonic() - start
    share = seconds / (runs * SECONDS_OF_A_RUN)
    with capsys.disabled():
        print(f"\n{runs} runs: {seconds:.0f} s of CPU time, {wall:.0f} s in all; {share:.2%} of a study")
    assert share < 0.02
    entries = re.findall(r"^  (?:train|evaluate|render)@", (repository.root / "dvc.lock").read_text(), re.MULTILINE)
    assert len(entries) == 3 * runs
    assert ran_stages(repository.run("dvc", "repro")) == set()


def cpu_seconds() -> float:
    """The CPU time of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
