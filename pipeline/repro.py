"""`dvc repro` with runs side by side, which is what `make repro` does.

DVC makes one stage after another. Runs do not need each other, and two trainings on a core each are done sooner than
one after the other on both. So the stages of each run are a `dvc repro` of their own, as many at a time as there are
cores; DVC's locks allow for that. The floor, which needs no run, takes its turn among them. What is left is for one
more `dvc repro`.
"""

import argparse
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from threading import Event, Lock

from aae.errors import InputError
from aae.files import write_whole
from pipeline.cli import run_stage
from pipeline.extension import check_extension
from pipeline.params import load_params
from pipeline.paths import run_name

LOCK = Path(".dvc/tmp/repro.lock")  # held by a process of this program while it works
DVC = (sys.executable, "-m", "dvc")
OTHERS = ("prepare", "train", "floor", "evaluate", "render", "summarize", "report")  # stages but `device`
interrupted = Event()


def main() -> None:
    parser = argparse.ArgumentParser(description="`dvc repro` with runs side by side")
    parser.add_argument("--jobs", type=int, help="how many at a time; one a core by default, and one alone on a GPU")
    jobs = parser.parse_args().jobs
    if jobs is not None and jobs < 1:
        raise InputError(f"--jobs: must be at least 1; found {jobs}")
    with alone():
        make_all(jobs)


@contextmanager
def alone() -> Iterator[None]:
    """Raises InputError if another process of this program is at work in this folder; the system frees a dead one's
    lock."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with open(LOCK, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError("another `make repro` is at work in this folder; wait until it is done") from None
        yield


def make_all(jobs: int | None) -> None:
    """All stages, the runs `jobs` at a time."""
    params = load_params()
    # Ctrl-C tells what runs, too, and trainings answer with a checkpoint and a line; then nothing else is begun.
    signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    repro("device")  # which runs always, so that the status of the others tells whether they would do anything
    if subprocess.run([*DVC, "status", "--quiet", *OTHERS]).returncode:
        repro("prepare")
        check_extension()
        from aae_native import available_cores

        cores = available_cores()
        fitting = 1 if trains_on_gpu(params.device) else cores // (1 if params.threads == "auto" else params.threads)
        runs = [run_name(model, seed) for model in params.models for seed in params.seeds]
        targets = [[f"{stage}@{run}" for stage in ("train", "evaluate", "render")] for run in runs]
        targets += [[f"floor@{model}"] for model in params.models]
        jobs = min(len(targets), jobs or fitting)
        if jobs > 1:
            side_by_side(targets, jobs, cores)
    repro()


def repro(*arguments: str, **environment: str) -> None:
    """`dvc repro`, which says itself what is wrong; its failure is this program's."""
    command = [*DVC, "--wait-for-lock", "repro", *arguments]
    if interrupted.is_set() or subprocess.run(command, env=os.environ | environment).returncode:
        sys.exit(1)


def side_by_side(targets: list[list[str]], jobs: int, cores: int) -> None:
    """`jobs` of the lists of stages at a time, each list in its order; their processes share the cores equally.

    When fewer lists are left than `jobs`, they take the cores of those that are done. A training does so only after its
    first epochs, by which it is timed: all runs begin with the same number of threads.
    """
    from pipeline.threads import THREADS_FILE  # brings the extension

    places: SimpleQueue[int] = SimpleQueue()  # lines of the terminal, one for each job's progress bar
    for place in range(jobs):
        places.put(place)
    left, lock, users_own = len(targets), Lock(), "OMP_NUM_THREADS" in os.environ

    def share() -> str:
        return str(max(1, cores // min(jobs, max(1, left))))

    def make(stages: list[str]) -> None:
        nonlocal left
        place = places.get()
        try:
            threads = {} if users_own else {"OMP_NUM_THREADS": str(max(1, cores // jobs)), THREADS_FILE: str(file)}
            repro("--single-item", *stages, TQDM_POSITION=str(place), **threads)
        finally:
            places.put(place)
            with lock:
                left -= 1
                write_whole(file, share().encode())

    with TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        file = Path(folder) / "threads"
        file.write_text(share())
        done = [pool.submit(make, stages) for stages in targets]
    for future in done:
        future.result()  # or its failure


def trains_on_gpu(device: str) -> bool:
    """Whether a training has a GPU, which it fills better alone and is timed on."""
    if device == "cpu" or shutil.which("nvidia-smi") is None:
        return False
    from aae.device import choose_device  # brings PyTorch, which takes seconds: only where the answer needs it

    return choose_device(device).type == "cuda"


if __name__ == "__main__":
    run_stage(main)
