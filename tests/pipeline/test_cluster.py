"""Runs in clones of the last commit: by workers of Dask, and on this machine."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dask import config as dask_config

from aae.errors import InputError
from pipeline import clones, cluster, lockfile
from pipeline.tasks import with_seeds
from tests.pipeline.conftest import Repository
from tests.pipeline.stub_stages import put_stubs

ROOT = Path(__file__).parents[2]
OF_TIME = ("results/timing", "report/")  # the report shows times
REPRO = ("python", "-m", "pipeline.repro")


@pytest.fixture(scope="module")
def stubs(small_repository, tmp_path_factory) -> Repository:
    """A repository whose stages do next to nothing."""
    repository = small_repository.copy_to(tmp_path_factory.mktemp("cluster") / "stubs")
    put_stubs(repository)
    return repository


@pytest.fixture
def repository(stubs, tmp_path) -> Repository:
    return stubs.copy_to(tmp_path / "head")


class Dask:
    """A scheduler and its workers, each a process of its own."""

    def __init__(self, repository: Repository, folder: Path):
        self.repository, self.folder, self.processes = repository, folder, []
        self.file = folder / "scheduler.json"
        self.start("scheduler", "--port", "0", "--host", "127.0.0.1")
        while not self.file.exists():
            time.sleep(0.1)
        self.address = json.loads(self.file.read_text())["address"]

    def start(self, *arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "dask", *arguments, "--scheduler-file", str(self.file), "--no-dashboard"]
        with open(self.folder / "log", "a") as log:
            process = subprocess.Popen(
                command, cwd=self.repository.root, env=self.repository.environment, stdout=log, stderr=log
            )
        self.processes.append(process)
        return process

    def worker(self, *options: str) -> subprocess.Popen:
        folder = self.folder / f"worker-{len(self.processes)}"
        return self.start("worker", "--nthreads", "1", "--local-directory", str(folder), *options)


@contextmanager
def dask(repository: Repository, folder: Path) -> Iterator[Dask]:
    folder.mkdir()
    started = Dask(repository, folder)
    try:
        yield started
    finally:
        for process in reversed(started.processes):
            process.terminate()
        for process in started.processes:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:  # a worker may wait for long for a scheduler that has ended
                process.kill()
                process.wait()


def results(repository: Repository) -> dict[str, bytes]:
    """All results except those of time."""
    paths = [path for path in (repository.root / "results").rglob("*") if path.is_file()]
    named = {str(path.relative_to(repository.root)): path.read_bytes() for path in paths}
    return {
        name: content for name, content in named.items() if not name.startswith((*OF_TIME, "results/timing_summary"))
    }


def ran_stages(output: str) -> set[str]:
    return set(re.findall(r"Running stage '([^']+)'", output)) - {"device"}


def wait_for(path: Path, process: subprocess.Popen) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)


# --- dvc.lock ---------------------------------------------------------------------------------------


def test_the_lock_keeps_its_bytes():
    path = ROOT / "dvc.lock"
    entries = lockfile.read_entries(path)
    assert lockfile.text_of(entries) == path.read_text()
    assert "prepare" in entries
    assert Path("results/codes/aae-0.npy") in lockfile.outputs_of("train@aae-0", entries["train@aae-0"])
    assert list(lockfile.cut(entries, ["train@vae-0", "prepare"])) == ["prepare", "train@vae-0"]


@pytest.mark.parametrize(
    "text", ["", "stages:\n", "schema: '2.0'\nstages:\n  a:\n    cmd: x\nother:\n", "<<<<<<< HEAD\n"]
)
def test_another_format_is_refused(text):
    with pytest.raises(InputError, match=r"dvc\.lock: is not in the format that DVC writes; `git checkout dvc\.lock`"):
        lockfile.parse(text)


@pytest.mark.parametrize("old", ["seeds: [0, 1]", "seeds:\n  - 0\n  - 1", "seeds:\n- 0"])
def test_seeds_are_changed_in_either_layout(old):
    assert with_seeds(f"a: 1\n{old}  # note\nb: 2\n", [3, 4]) == "a: 1\nseeds: [3, 4]  # note\nb: 2\n"


# --- what is refused --------------------------------------------------------------------------------


def test_a_tree_with_changes_is_refused_before_anything_changes(repository):
    (repository.root / "aae/new.py").write_text("")
    output = repository.run(*REPRO, "--cluster", "local", "--seeds", "2", status=1)
    assert output == "error: aae/new.py: differs from the last commit, of which the clones are made; commit it first\n"
    (repository.root / "aae/new.py").unlink()
    repository.edit("batch_size: 8 ", "batch_size: 4 ")
    assert "error: params.yaml: differs from" in repository.run(*REPRO, "--cluster", "local", status=1)
    assert not (repository.root / "dvc.lock").exists()


def test_a_task_is_not_made_in_a_checkout_with_changes(repository):
    repository.edit("batch_size: 8 ", "batch_size: 4 ")
    output = repository.run("python", "-m", "pipeline.make_task", "--seed", "0", "--results", "seed-0.tar", status=1)
    assert output == "error: params.yaml: differs from the last commit; this program is for a fresh clone\n"


def test_without_the_package_one_line_says_how_to_install_it(repository):
    code = "import sys; sys.modules['distributed'] = None; from pipeline import repro; repro.run_stage(repro.main)"
    output = repository.run("python", "-c", code, "--cluster", "tcp://127.0.0.1:1", status=1)
    assert output == "error: --cluster: needs the package `distributed`; `pip install .[cluster]` installs it\n"


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr(cluster, "SECONDS_TO_CONNECT", 1)
    with pytest.raises(InputError, match=r"--cluster: no scheduler answers at tcp://127\.0\.0\.1:1 "):  # noqa: SIM117
        with cluster.workers("tcp://127.0.0.1:1", 1, 1, "study", print):
            pass


def test_settings_for_tls_refuse_another_address():
    line = r"--cluster: Dask's settings require encryption; needed tls://host:port, found tcp://127\.0\.0\.1:1$"
    with dask_config.set({"distributed.comm.require-encryption": True}), pytest.raises(InputError, match=line):  # noqa: SIM117
        with cluster.workers("tcp://127.0.0.1:1", 1, 1, "study", print):
            pass


def test_a_machine_that_sees_neither_cache_nor_repository_says_so(tmp_path):
    order = clones.Order("study", str(tmp_path), "0" * 40, "", str(tmp_path / "cache"), "", {}, ())
    with pytest.raises(
        InputError, match=r"does not see the cache .*; share the folder with all machines, or add a remote"
    ):
        clones.make(order, print)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / clones.mark("study")).touch()
    with pytest.raises(InputError, match=r"does not see .*, and that repository has no remote `origin` to clone"):
        clones.make(order, print)


# --- studies ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undisturbed(stubs, tmp_path_factory) -> dict[str, bytes]:
    """The results of DVC alone, with two seeds."""
    repository = stubs.copy_to(tmp_path_factory.mktemp("undisturbed") / "repository")
    repository.edit("seeds: [0]", "seeds: [0, 1]")
    repository.run("dvc", "repro", "-q")
    return results(repository)


@pytest.mark.slow
def test_two_workers_make_what_dvc_makes_and_a_failure_leaves_the_others(repository, undisturbed, tmp_path):
    """With a shared cache."""
    scratch = repository.root / "scratch"
    scratch.mkdir()
    (scratch / "fail-vae-1").touch()
    with dask(repository, tmp_path / "dask") as started:
        started.worker()
        started.worker()
        command = (*REPRO, "--cluster", started.address)
        output = repository.run(*command, "--seeds", "2", status=1)
        assert "\nfailed: vae-1: vae-1: fails\n" in output
        assert output.endswith(
            f"error: 1 failed; `make repro CLUSTER={started.address}` makes them again, and no others\n"
        )
        assert "Traceback" not in output
        assert repository.run("dvc", "status", "train@aae-0", "render@aae-1").startswith(
            "Data and pipelines are up to date"
        )
        (scratch / "fail-vae-1").unlink()
        assert "1/1" in repository.run(*command)
    assert results(repository) == undisturbed
    assert ran_stages(repository.run("dvc", "repro")) == set()
    assert not scratch.exists()
    assert not list((repository.root / ".dvc/cache").glob(".study-*"))


def test_results_travel_through_a_remote(repository, undisturbed, tmp_path):
    """Clones then have caches of their own."""
    repository.run("dvc", "remote", "add", "--default", "store", "../store")
    repository.commit("a remote")
    repository.run(*REPRO, "--cluster", "local", "--jobs", "2", "--seeds", "2")
    assert results(repository) == undisturbed
    assert ran_stages(repository.run("dvc", "repro")) == set()
    repository.run("rm", "-r", ".dvc/cache", "results/snapshots")
    repository.run("dvc", "pull", "-q", "train")
    assert results(repository) == undisturbed, "everything is in the remote"


def test_a_worker_that_is_killed_is_replaced_and_its_training_goes_on(repository, undisturbed, tmp_path):
    scratch = repository.root / "scratch"
    scratch.mkdir()
    (scratch / "slow").touch()
    with dask(repository, tmp_path / "dask") as started:
        first = started.worker("--no-nanny")
        process = repository.start(*REPRO, "--cluster", started.address, "--seeds", "2")
        while not list(scratch.glob("done-*")):
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.05)
        time.sleep(0.5)
        started.worker("--no-nanny")
        first.kill()
        output, _ = process.communicate()
    assert process.returncode == 0, output
    assert results(repository) == undisturbed
    began = [int(line) for path in scratch.glob("began-*") for line in path.read_text().split()]
    assert len(began) == 5, "four runs, one of which began twice"
    assert len([first for first in began if first > 0]) == 1


@pytest.mark.slow
def test_control_c_stops_cleanly_and_the_next_run_goes_on(repository, undisturbed):
    scratch = repository.root / "scratch"
    scratch.mkdir()
    (scratch / "slow").touch()
    command = (*REPRO, "--cluster", "local", "--jobs", "1", "--seeds", "2")
    process = repository.start(*command, start_new_session=True)
    wait_for(scratch / "done-aae-0", process)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate()
    assert process.returncode == 1
    assert output.endswith("error: interrupted; the same command goes on from here\n")
    assert "Traceback" not in output
    assert not (scratch / "began-aae-1").exists(), "nothing else starts"
    (scratch / "slow").unlink()
    repository.run(*command)
    assert results(repository) == undisturbed
