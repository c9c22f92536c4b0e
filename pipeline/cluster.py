"""Runs on other machines, through the scheduler of Dask distributed, or in clones on this machine.

A task (`pipeline.tasks`) goes to any worker, which makes it in a clone (`pipeline.clones`). If a worker is lost, the
scheduler gives its task to another one. Results are taken one by one as they come, because a finished task whose worker
leaves would be made again.
"""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event

from aae.errors import InputError
from pipeline import clones, lockfile
from pipeline.merge import finish, merge
from pipeline.progress import Progress
from pipeline.tasks import Orders, Task

LOCAL = "local"  # in place of an address: clones on this machine
SECONDS_TO_CONNECT = 30
SECONDS_TO_STOP = 60  # in which trainings write a checkpoint


class Workers:
    """Where tasks are made.

    Args:
        executor: makes orders.
        make: what it runs for an order.
        stop: ends the tasks that are being made.
    """

    def __init__(self, executor: Executor, make: Callable[[clones.Order], bytes], stop: Callable[[], object]):
        self.executor, self.make, self.stop = executor, make, stop


def make_tasks(tasks: list[Task], address: str, jobs: int, threads: int, interrupted: Event) -> dict[str, str]:
    """Makes the tasks and takes their results into this checkout.

    On this machine, `jobs` tasks at a time have `threads` threads each.
    Returns the runs or seeds that failed, each with its reason. Raises InputError if `interrupted` is set meanwhile,
    and if the scheduler at `address` does not answer.
    """
    study, before = uuid.uuid4().hex[:16], lockfile.read_entries()
    orders = Orders(study)
    progress = Progress(sum(len(task.runs) for task in tasks))
    try:
        with marks(orders), workers(address, jobs, threads, study, progress.tell) as pool:
            orders.push(tasks)
            collect(tasks, orders, pool, progress, interrupted)
    finally:
        progress.close()
    if lockfile.read_entries() != before:
        finish(list(before))
    if interrupted.is_set():
        raise InputError("interrupted; the same command goes on from here")
    return progress.failed


def collect(tasks: list[Task], orders: Orders, pool: Workers, progress: Progress, interrupted: Event) -> None:
    """Gives out the tasks and merges each result at once."""
    pending: dict[Future[bytes], Task] = {}
    for task in tasks:
        pending[pool.executor.submit(pool.make, orders.order(task))] = task
    while pending and not interrupted.is_set():
        done, _ = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
        while done:  # afterwards nothing holds the results any longer, so the workers drop them
            take(pending, done.pop(), progress)
    if interrupted.is_set():
        for future, task in pending.items():
            if progress.running.isdisjoint(task.runs):
                future.cancel()
        pool.stop()
        wait(pending, timeout=SECONDS_TO_STOP)
        for future in [each for each in pending if each.done() and not each.cancelled() and not each.exception()]:
            take(pending, future, progress)


def take(pending: dict[Future[bytes], Task], future: Future[bytes], progress: Progress) -> None:
    """Merges the result of a pending task that is done, or notes why there is none."""
    task = pending.pop(future)
    name = f"seed {task.seed}"
    try:
        merge(future.result(), name)
    except CancelledError:
        progress.fail(name, task.runs, "the scheduler gave the task up")
    except InputError as error:
        progress.fail(name, task.runs, str(error))
    except Exception as error:
        progress.fail(name, task.runs, reason_of(error))


def reason_of(error: Exception) -> str:
    """An error of the scheduler or of a worker in one line."""
    if type(error).__name__ == "KilledWorker":
        return "every worker that made it was lost"
    if isinstance(error, ModuleNotFoundError):
        return f"a worker does not find {error.name}; start it in a checkout by `python -m dask worker`"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


@contextmanager
def marks(orders: Orders) -> Iterator[None]:
    """Marks the head's folders, so that machines can tell them from others with the same path."""
    paths = [folder / clones.mark(orders.study) for folder in orders.marked]
    try:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        yield
    finally:
        for path in paths:
            path.unlink(missing_ok=True)
        remove_locks(orders.root / clones.SCRATCH)


def remove_locks(scratch: Path) -> None:
    """Removes the locks of tasks, and the folder if no interrupted training is in it."""
    for path in (scratch / "locks").glob("seed-*"):
        path.unlink(missing_ok=True)
    for folder in (scratch / "locks", scratch):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


@contextmanager
def workers(address: str, jobs: int, threads: int, study: str, tell: Callable[[str], None]) -> Iterator[Workers]:
    """`jobs` threads of this process if `address` is `local`, or else the workers of the scheduler at `address`.

    On this machine, the stages of a task use `threads` threads.
    """
    if address == LOCAL:
        with ThreadPoolExecutor(jobs) as executor:
            yield Workers(executor, partial(clones.make, tell=tell, threads=threads), partial(clones.stop, study))
        return
    from distributed import Client, Security

    if Security().require_encryption and not address.startswith(("tls://", "wss://")):  # Client would wait for a minute
        raise InputError(f"--cluster: Dask's settings require encryption; needed tls://host:port, found {address}")
    try:
        client = Client(address, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"--cluster: no scheduler answers at {address} ({' '.join(str(error).split())})") from None
    with client:
        client.subscribe_topic(study, lambda event: tell(event[1]))
        yield Workers(client.get_executor(pure=False), make_on_worker, partial(client.run, clones.stop, study))


def make_on_worker(order: clones.Order) -> bytes:
    """Makes an order on a worker of Dask."""
    from distributed import get_worker

    worker = get_worker()
    if worker.state.nthreads != 1:
        raise InputError(f"{worker.address}: makes {worker.state.nthreads} tasks at a time; start it with --nthreads 1")
    return clones.make(order, partial(worker.log_event, order.study), worker.local_directory)


def check_package(address: str) -> None:
    """Raises InputError if Dask distributed is needed and missing."""
    if address == LOCAL:
        return
    try:
        import distributed  # noqa: F401
    except ModuleNotFoundError:
        raise InputError("--cluster: needs the package `distributed`; `pip install .[cluster]` installs it") from None
