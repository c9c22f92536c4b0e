"""Makes a task in a clone of its own, on the machine on which this is called.

The clone is of the head's commit. `pipeline.make_task` works in it, as a process group of its own that ends when its
standard input closes: because the head wants it to stop, or because this process has died. A training then writes a
checkpoint.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from aae.errors import InputError

SCRATCH = "scratch"
RESULT = "result.tar"  # beside the clone

at_work: dict[str, list[subprocess.Popen[str]]] = {}  # study -> its processes on this machine
stopped: set[str] = set()  # studies


@dataclass(frozen=True)
class Order:
    """A task for any machine.

    Args:
        study: an identifier. Files of this name in the head's folders tell a machine that it sees these folders.
        root: the head's repository.
        commit: of which the clone is made.
        origin: an address from which machines that do not see `root` clone; may be empty.
        cache: the head's cache, through which results travel; empty if they travel through a remote.
        config: content of `.dvc/config.local`: the cache or the remote.
        files: path in the clone -> content, of files that differ from the commit.
        arguments: of `pipeline.make_task`.
    """

    study: str
    root: str
    commit: str
    origin: str
    cache: str
    config: str
    files: dict[str, bytes]
    arguments: tuple[str, ...]


def make(order: Order, tell: Callable[[str], object], folder: str | None = None, threads: int = 0) -> bytes:
    """Makes the task in a clone in `folder` (the system's temporary folder by default), and returns its result.

    Stages use `threads` threads if that is not 0 and OMP_NUM_THREADS is not set. Calls `tell` with every line of the
    task, see `pipeline.make_task`. Raises InputError if this machine cannot make it.
    """
    if order.cache and not sees(order, Path(order.cache)):
        raise InputError(
            f"{socket.gethostname()}: does not see the cache {order.cache}; share the folder with all machines, or add "
            "a remote with `dvc remote add --default`"
        )
    with TemporaryDirectory(prefix="aae-task-", dir=folder, ignore_cleanup_errors=True) as name:
        clone, log = Path(name) / "clone", Path(name) / "log"
        clone_commit(order, clone)
        for path, content in order.files.items():
            (clone / path).parent.mkdir(parents=True, exist_ok=True)
            (clone / path).write_bytes(content)
        (clone / ".dvc/config.local").write_text(order.config)
        if sees(order, Path(order.root) / SCRATCH):
            (clone / SCRATCH).symlink_to(Path(order.root) / SCRATCH)
        run(order, clone, log, tell, {"OMP_NUM_THREADS": str(threads)} if threads else {})
        return (clone.parent / RESULT).read_bytes()


def run(order: Order, clone: Path, log: Path, tell: Callable[[str], object], defaults: dict[str, str]) -> None:
    """Runs `pipeline.make_task` in the clone; raises InputError with its last line if it gives no result."""
    command = [sys.executable, "-m", "pipeline.make_task", *order.arguments, "--results", f"../{RESULT}", "--attached"]
    # DVC would leave files of every clone in the usual folder.
    environment = defaults | os.environ | {"DVC_SITE_CACHE_DIR": str(clone.parent / "site")}
    environment.pop("PYTHONPATH", None)  # the clone's modules, not this checkout's
    with (
        open(log, "w") as errors,
        subprocess.Popen(
            command, cwd=clone, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            text=True, start_new_session=True,
        ) as process,
    ):  # fmt: skip
        at_work.setdefault(order.study, []).append(process)
        try:
            if order.study in stopped:
                close_input(process)
            assert process.stdout is not None
            for line in process.stdout:
                tell(line.rstrip("\n"))
            process.wait()
        finally:
            at_work[order.study].remove(process)
            close_input(process)
            wait_for_group(process.pid)
    if process.returncode and not (clone.parent / RESULT).exists():
        said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        reason = said[-1].removeprefix("error: ") if said else f"ended with status {process.returncode}"
        raise InputError(f"{socket.gethostname()}: {reason}")


def wait_for_group(group: int) -> None:
    """Waits until the last process of a group has ended, at most half a minute: it may write a checkpoint."""
    for _ in range(300):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)


def stop(study: str) -> None:
    """Stops the study's tasks on this machine; those that begin later stop at once."""
    stopped.add(study)
    for process in at_work.get(study, []):
        close_input(process)


def close_input(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        process.stdin.close()


def sees(order: Order, folder: Path) -> bool:
    """Whether `folder` is the head's, and not another folder with the same path."""
    return (folder / mark(order.study)).exists()


def mark(study: str) -> str:
    """The name of the file that marks the head's folders."""
    return f".study-{study}"


def clone_commit(order: Order, clone: Path) -> None:
    """Clones the head's commit."""
    here = sees(order, Path(order.root) / SCRATCH)
    source, options = (order.root, ["--shared"]) if here else (order.origin, [])
    if not source:
        raise InputError(
            f"{socket.gethostname()}: does not see {order.root}, and that repository has no remote `origin` to clone"
        )
    for command in (
        ["clone", "-q", "--no-checkout", *options, source, str(clone)],
        ["-C", str(clone), "checkout", "-q", "--detach", order.commit],
    ):
        done = subprocess.run(["git", *command], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            said = " ".join(done.stderr.split())
            hint = "" if here else "; push the commit first"
            raise InputError(f"{socket.gethostname()}: cannot clone {order.commit[:10]} from {source}: {said}{hint}")
