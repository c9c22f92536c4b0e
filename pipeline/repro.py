"""`make repro`: `dvc repro` with several runs at a time.

DVC runs one stage after another. Runs do not depend on each other, and two trainings with one core each finish sooner
than one after the other on both cores. So a separate `dvc repro` computes the stages of each run, as many at a time as
there are cores; DVC's locks permit this. The floor does not depend on a run and is computed among them. A last
`dvc repro` computes the rest.

With `--cluster`, the runs are made in clones of the last commit, on other machines or on this one
(`pipeline/cluster.py`).
"""

from pipeline.extension import check_extension

import argparse
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from threading import Event, Lock

from aae.errors import InputError
from aae.files import alone, write_whole
from pipeline.cli import run_stage
from pipeline.params import Params, load_params
from pipeline.paths import PARAMS, run_name
from pipeline.tasks import DVC, check_tree, stages_of, tasks_of, with_seeds

LOCK = Path(".dvc/tmp/repro.lock")  # held by a process of this program while it works
OTHERS = ("prepare", "train", "floor", "evaluate", "render", "summarize", "report")  # all stages except `device`
interrupted = Event()
locks: list[int] = []  # descriptors that keep LOCK held; running `dvc` share them if this process is killed


def main() -> None:
    parser = argparse.ArgumentParser(description="`dvc repro` with several runs at a time")
    parser.add_argument("--jobs", type=int, help="runs at a time (one per core; a single one on a GPU)")
    parser.add_argument("--cluster", metavar="ADDRESS", help="of Dask's scheduler, or `local`: clones on this machine")
    parser.add_argument("--seeds", type=int, help="first write so many seeds into params.yaml, from 0 on")
    arguments = parser.parse_args()
    for name in ("jobs", "seeds"):
        if (number := getattr(arguments, name)) is not None and number < 1:
            raise InputError(f"--{name}: must be at least 1; found {number}")
    with alone(LOCK, "another `make repro` is at work in this folder; wait until it is done") as lock:
        locks.append(lock.fileno())
        if arguments.cluster is not None:
            check_cluster(arguments.cluster)
        if arguments.seeds:
            write_whole(PARAMS, with_seeds(PARAMS.read_text(), range(arguments.seeds)).encode())
        make_all(arguments.jobs, arguments.cluster)


def check_cluster(address: str) -> None:
    """Raises InputError if runs cannot be made in clones; before anything changes."""
    from pipeline.cluster import check_package

    check_package(address)
    check_tree()


def make_all(jobs: int | None, cluster: str | None = None) -> None:
    """All stages, the runs `jobs` at a time or on the cluster at this address."""
    check_extension()  # before DVC, which would add lines of its own
    params = load_params()
    start_nothing_after_interrupt()
    repro("device")  # always runs; afterwards the status of the others shows whether they need to run
    if cluster is not None:
        repro("prepare")
        in_clones(params, cluster, jobs)
    elif subprocess.run([*DVC, "status", "--quiet", *OTHERS]).returncode:
        repro("prepare")
        runs = [run_name(model, seed) for model in params.models for seed in params.seeds]
        targets = [stages_of(run) for run in runs]
        targets += [[f"floor@{model}"] for model in params.models]
        cores, fitting = cores_and_jobs(params)
        jobs = min(len(targets), jobs or fitting)
        if jobs > 1:
            side_by_side(targets, jobs, cores)
    repro()


def start_nothing_after_interrupt() -> None:
    """Ctrl-C also reaches the running processes. Trainings then write a checkpoint and a line. Nothing else starts."""
    signal.signal(signal.SIGINT, lambda *_: interrupted.set())


def cores_and_jobs(params: Params) -> tuple[int, int]:
    """The cores of this machine, and how many runs fit it at a time."""
    from aae_native import available_cores

    cores = available_cores()
    return cores, 1 if trains_on_gpu(params.device) else cores // (1 if params.threads == "auto" else params.threads)


def in_clones(params: Params, cluster: str, jobs: int | None) -> None:
    """The runs that are not up to date, in clones. If some fail, lists them, and this program fails."""
    from pipeline.cluster import make_tasks

    cores, fitting = cores_and_jobs(params)
    tasks = tasks_of(params)
    jobs = max(1, min(len(tasks), jobs or fitting))
    failed = make_tasks(tasks, cluster, jobs, cores // jobs, interrupted) if tasks else {}
    for name, reason in failed.items():
        print(f"failed: {name}: {reason}", file=sys.stderr)
    if failed:
        raise InputError(f"{len(failed)} failed; `make repro CLUSTER={cluster}` makes them again, and no others")


def repro(*arguments: str, **environment: str) -> None:
    """Runs `dvc repro`. If it fails, it has reported the error, and this program fails, too."""
    command = [*DVC, "--wait-for-lock", "repro", *arguments]
    if interrupted.is_set() or subprocess.run(command, env=os.environ | environment, pass_fds=locks).returncode:
        sys.exit(1)


def side_by_side(targets: list[list[str]], jobs: int, cores: int) -> None:
    """Runs `jobs` of the lists of stages at a time, each list in order; their processes share the cores equally.

    When fewer than `jobs` lists remain, they take over the cores of finished ones. A training does so only after the
    first epochs, which are timed, so all runs are timed with the same number of threads.
    """
    from pipeline.threads import THREADS_FILE  # imports the extension

    places: SimpleQueue[int] = SimpleQueue()  # lines of the terminal, one per job, for progress bars
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
        write_whole(file, share().encode())
        done = [pool.submit(make, stages) for stages in targets]
    failed = [stages[0].removeprefix("train@") for stages, future in zip(targets, done, strict=True) if failure(future)]
    if failed and not interrupted.is_set():
        raise InputError(f"{', '.join(failed)}: failed; `make repro` makes what failed again, and no others")
    for future in done:
        future.result()  # raises if it failed


def failure(future: Future[None]) -> bool:
    """Whether `dvc repro` failed, which `repro` reports by SystemExit. Raises any other exception."""
    if isinstance(future.exception(), SystemExit):
        return True
    future.result()
    return False


def trains_on_gpu(device: str) -> bool:
    """Whether trainings run on a GPU. A single training uses it well, and a second one would disturb the timing."""
    if device == "cpu" or shutil.which("nvidia-smi") is None:
        return False
    from aae.device import choose_device  # imports PyTorch, which takes seconds, so only if needed

    return choose_device(device).type == "cuda"


if __name__ == "__main__":
    run_stage(main)
