"""A separate small repository for tests that run the real `dvc`, and folders with tiny runs for tests of stages."""

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.tiny_runs import ALL, run_stages, write_inputs

ROOT = Path(__file__).parents[2]
REPLACEMENTS = {
    "models: [aae, aae_joint, vae]": "models: [aae, vae]",
    "epochs: 100 ": "epochs: 2 ",
    "snapshot_every: 10 ": "snapshot_every: 1 ",
    "batch_size: 128 ": "batch_size: 8 ",
    "device: auto ": "device: cpu ",
    "threads: auto ": "threads: 1 ",
    "path: data/raw/mnist ": "path: data/raw/small ",
    "[512]": "[16]",
    "cells: 20 ": "cells: 4 ",
    "projections: 128 ": "projections: 8 ",
    "floor_samples: 100 ": "floor_samples: 5 ",
    "manifold_size: 30 ": "manifold_size: 4 ",
}


def idx(array: np.ndarray) -> bytes:
    """The content of an IDX file of unsigned bytes with `array`."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_idx_files(folder: Path) -> None:
    """Writes 40 training and 24 test images of 5 x 3 pixels, and their labels, as IDX files."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for stem, n in (("train", 40), ("t10k", 24)):
        (folder / f"{stem}-images-idx3-ubyte").write_bytes(idx(random.integers(0, 256, (n, 5, 3))))
        (folder / f"{stem}-labels-idx1-ubyte").write_bytes(idx(np.arange(n) % 10))


class Repository:
    """A checkout in which commands run as a user would type them."""

    def __init__(self, root: Path):
        self.root = root
        scripts = Path(sys.executable).parent
        identity = {
            f"GIT_{who}_{what}": "test@example.invalid" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        # One thread each, because the tests run in parallel.
        extra = {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
        self.environment = os.environ | extra | identity
        self.environment.pop("PYTHONPATH", None)

    def start(self, *command: str, **options) -> subprocess.Popen:
        """Starts `command` with standard output and error as one stream."""
        return subprocess.Popen(
            command, cwd=self.root, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            **options,
        )  # fmt: skip

    def run(self, *command: str, status: int = 0) -> str:
        """Runs `command`, which must exit with `status`. Returns its standard output and error."""
        with self.start(*command) as process:
            output, _ = process.communicate()
        assert process.returncode == status, f"{' '.join(command)} ended with {process.returncode}:\n{output}"
        return output

    def copy_to(self, root: Path) -> "Repository":
        """A copy of the checkout, with everything in it, in the new folder `root`."""
        shutil.copytree(self.root, root)
        return Repository(root)

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", message)

    def edit(self, old: str, new: str) -> None:
        """Replaces text in params.yaml."""
        path = self.root / "params.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


@pytest.fixture(scope="session")
def small_repository(tmp_path_factory) -> Repository:
    """This checkout's files with a small data set of 5 x 3 pixels and a matching experiment, committed but not run."""
    root = tmp_path_factory.mktemp("repository")
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for name in files:
        source = ROOT / name
        results = ("data/", "results/", "paper/results/", "paper/results.md")
        if name.startswith(results) or source.name == "dvc.lock" or not source.is_file():
            continue
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
        target.chmod(source.stat().st_mode)

    repository = Repository(root)
    for old, new in REPLACEMENTS.items():
        repository.edit(old, new)
    write_idx_files(root / "data/raw/small")
    repository.run("git", "init", "-q", "-b", "main")
    repository.commit("small experiment")
    return repository


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A folder in which all stages have run."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_inputs()
        run_stages(*ALL)
    return folder


@pytest.fixture(scope="session")
def finished_three(tmp_path_factory):
    """A folder in which all stages have run with three models, two of them of one kind."""
    folder = tmp_path_factory.mktemp("three")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_inputs(models=("aae", "vae", "aae_wide"))
        run_stages(*ALL)
    return folder


@pytest.fixture
def three(finished_three, monkeypatch):
    """Makes the folder with three models the working folder. Tests must not change it."""
    monkeypatch.chdir(finished_three)
    return finished_three


@pytest.fixture
def workspace(finished, monkeypatch):
    """Makes the finished folder the working folder. A test that changes it must restore it."""
    monkeypatch.chdir(finished)
    return finished


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """A folder with only the inputs of the stages."""
    monkeypatch.chdir(tmp_path)
    write_inputs()
    return tmp_path
