"""Makes the runs of one seed in a clone, and packs their results.

    python -m pipeline.make_task --seed 7 --results seed-7.tar

What it changes (`params.yaml`, `dvc.lock`, results) is for a clone that is thrown away. `python -m pipeline.merge`
takes the result into another checkout of the commit. In between, weights, codes and pictures are in DVC's cache or, if
the clone has a default remote, there.

If a run fails, the archive has the others, and the exit status is 1. It prints a line for each run that begins, is done
or has failed: `running aae-7`, `done aae-7`, `failed aae-7 reason`. All other output goes to standard error.
"""

from pipeline.extension import check_extension

import argparse
import fcntl
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import BinaryIO

from ruamel.yaml import YAML

from aae.errors import InputError
from aae.files import write_whole
from pipeline import lockfile
from pipeline.cli import run_stage
from pipeline.paths import DEVICE, PARAMS, SCRATCH, run_name
from pipeline.tables import read_json
from pipeline.tasks import DVC, PREPARE, default_remote, git, kept_by_git, stages_of, with_seeds


def main() -> None:
    parser = argparse.ArgumentParser(description="the runs of one seed, in a clone that is thrown away")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--models", nargs="+", help="all models of params.yaml by default")
    parser.add_argument("--results", type=Path, required=True, help="the archive to write")
    parser.add_argument("--attached", action="store_true", help="end when standard input closes")
    arguments = parser.parse_args()
    if arguments.attached:
        Thread(target=end_with_input, daemon=True).start()
    elif changed := git("status", "--porcelain", "--untracked-files=no"):
        raise InputError(f"{changed.split()[1]}: differs from the last commit; this program is for a fresh clone")
    check_extension()
    models = arguments.models or YAML(typ="safe").load(PARAMS.read_text())["models"]  # which stage `device` checks
    runs = [run_name(model, arguments.seed) for model in models]
    write_whole(PARAMS, with_seeds(PARAMS.read_text(), [arguments.seed]).encode())
    stages = [stage for run in runs for stage in stages_of(run)]
    entries = lockfile.cut(lockfile.read_entries(), [PREPARE, *stages])
    lockfile.write_entries(entries)
    with alone_with(arguments.seed) as lock:
        check_device()
        remote = default_remote()
        get_inputs(stages, remote)
        failed = []
        for run in runs:
            # DVC reads and writes all that is in the lock for every stage.
            lockfile.write_entries(lockfile.cut(entries, [PREPARE, *stages_of(run)]))
            if not make(run, lock):
                failed.append(run)
            entries |= lockfile.read_entries()
        made = lockfile.cut(entries, stages)
        lockfile.write_entries(made)
        if remote:
            call("push", "--quiet", *made)
        pack(arguments.results, made)
    if failed:
        raise InputError(f"{', '.join(failed)}: failed; the others are in {arguments.results}")


def end_with_input() -> None:
    """Ends the process group when standard input closes; a training writes a checkpoint first."""
    while os.read(sys.stdin.fileno(), 4096):  # not by sys.stdin, whose lock Python needs when it ends
        pass
    os.killpg(os.getpgrp(), signal.SIGTERM)


@contextmanager
def alone_with(seed: int) -> Iterator[int]:
    """Waits until no other process makes the same seed with this scratch folder; gives a descriptor that holds the
    lock. A machine that is taken for lost may still be at work.
    """
    path = SCRATCH / "locks" / f"seed-{seed}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def check_device() -> None:
    """Checks the parameters, and that this machine trains on the device of `results/device.json`."""
    wanted = read_json(DEVICE)
    call_python("pipeline.device")
    if (found := read_json(DEVICE)) != wanted:
        raise InputError(f"{DEVICE}: this machine trains on {found}, but the runs are for {wanted}")


def get_inputs(stages: Sequence[str], remote: str) -> None:
    """Gets the data, and what the stages made before, from the cache or the remote."""
    get = ("pull", "--quiet") if remote else ("checkout", "--quiet", "--force")
    call(*get, PREPARE)
    if known := list(lockfile.cut(lockfile.read_entries(), stages)):
        subprocess.run([*DVC, *get, "--allow-missing", *known], stdout=sys.stderr)  # what is missing is made again


def make(run: str, lock: int) -> bool:
    """Makes the stages of a run. Tells whether they are done."""
    print("running", run, flush=True)
    command = [*DVC, "repro", "--single-item", *stages_of(run)]
    reason = "`dvc repro` failed"
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", pass_fds=[lock]
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stderr.write(line)
            if line.startswith("error: "):
                reason = line.removeprefix("error: ").strip()
    if process.returncode:
        print("failed", run, reason, flush=True)
    else:
        print("done", run, flush=True)
    return process.returncode == 0


def pack(archive: Path, entries: lockfile.Entries) -> None:
    """Writes dvc.lock and the files of the stages' outputs that Git keeps."""
    outputs = [path for stage, lines in entries.items() for path in lockfile.outputs_of(stage, lines)]
    names = [str(lockfile.LOCK), *kept_by_git(outputs)]

    def write(file: BinaryIO) -> None:
        with tarfile.open(fileobj=file, mode="w") as tar:
            for name in names:
                tar.add(name)

    write_whole(archive, write)


def call(*arguments: str) -> None:
    """Runs DVC. If it fails, it has reported the error, and this program fails, too."""
    if subprocess.run([*DVC, *arguments], stdout=sys.stderr).returncode:
        raise InputError(f"`dvc {' '.join(arguments[:3])}` failed")


def call_python(module: str) -> None:
    """Runs a stage. If it fails, it has reported the error, and this program fails, too."""
    if subprocess.run([sys.executable, "-m", module], stdout=sys.stderr).returncode:
        sys.exit(1)


if __name__ == "__main__":
    run_stage(main)
