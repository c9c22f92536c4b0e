"""`kill -9` at any moment of any stage, and of several runs at a time: the next run ends with the same bytes."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.pipeline.conftest import Repository
from tests.pipeline.test_full_disk import STAGES, files, remove

pytestmark = pytest.mark.slow
WITHOUT = (".dvc/cache", ".dvc/tmp", ".git/", "__pycache__")  # what Git does not track and the stages do not write
OF_TIME = ("results/timing", "report", "dvc.lock")  # the report shows times


@pytest.fixture(scope="module")
def finished(small_repository, tmp_path_factory) -> Repository:
    """A repository with two runs of 200 epochs, with all results committed."""
    repository = prepared(small_repository, tmp_path_factory.mktemp("finished") / "repository")
    repository.run("dvc", "repro", "-q")
    repository.commit("results")
    return repository


def prepared(small_repository: Repository, root: Path) -> Repository:
    repository = small_repository.copy_to(root)
    repository.edit("epochs: 2 ", "epochs: 200 ")
    repository.edit("snapshot_every: 1 ", "snapshot_every: 40 ")
    repository.commit("200 epochs")
    return repository


def kept(repository: Repository) -> dict[str, bytes]:
    """All files, except those of DVC and Git, and those with times."""
    found = files(repository.root, *WITHOUT, *OF_TIME)
    return {name: content for name, content in found.items() if "__pycache__" not in name}


def strays(repository: Repository) -> set[str]:
    """Files that Git neither tracks nor ignores, changes other than of times, and unfinished files."""
    changed = {line[3:] for line in repository.run("git", "status", "--porcelain").splitlines()}
    unfinished = {path.name for path in repository.root.rglob("*.unfinished")}
    return {name for name in changed if not name.startswith((*OF_TIME, "results/timing_summary"))} | unfinished


@pytest.mark.parametrize("name", STAGES)
def test_a_stage(finished, tmp_path, name):
    """Kills at random moments around the writing of the outputs."""
    repository, moments = finished.copy_to(tmp_path / "repository"), random.Random(name)
    expected = kept(finished)
    command = (sys.executable, "-m", f"pipeline.{name}", *STAGES[name][1])
    outputs = [repository.root / output for output in STAGES[name][2]]
    for _ in range(6):
        if all(output.exists() for output in outputs):
            remove(name, repository.root)
        process = repository.start(*command)
        while process.poll() is None and not any(list(each.parent.glob(f"{each.name}*")) for each in outputs):
            time.sleep(0.0005)
        time.sleep(moments.choice((0, 0.001, 0.01, 0.1)) * moments.random())
        process.kill()
        process.communicate()
    repository.run(*command)
    assert kept(repository) == expected
    assert not (repository.root / "scratch/aae-0").exists()
    assert strays(repository) == set()


@pytest.mark.parametrize("of_all", [True, False], ids=["every process", "only the first process"])
def test_two_runs_at_a_time(small_repository, finished, tmp_path, of_all):
    """If only the first process is killed, the others finish their run, and the next `make repro` waits or does not
    start."""
    repository, moments = prepared(small_repository, tmp_path / "repository"), random.Random(0)
    command = (sys.executable, "-m", "pipeline.repro", "--jobs", "2")
    killed = []
    for _ in range(8):
        process = repository.start(*command, start_new_session=True)
        killed.append(process)
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=moments.uniform(1, 30))
        with suppress(ProcessLookupError):
            (os.killpg if of_all else os.kill)(process.pid, signal.SIGKILL)
    for process in killed:
        process.communicate()  # the last of its processes has ended
    repository.run(*command)
    assert kept(repository) == kept(finished)
    assert not list(repository.root.glob("scratch/*"))
    repository.commit("results")
    listed = ("git", "ls-files", "results", "report")
    assert repository.run(*listed) == finished.run(*listed)
    assert strays(repository) == set()
