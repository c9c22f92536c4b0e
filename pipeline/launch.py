"""Starts the ranks of one training by torchrun's agent, and ends them together.

The stage's process only waits. Each rank runs the stage's command again, in a session of its own, so Ctrl-C reaches the
stage's process alone. They agree through files in a folder: the stage's process writes `stop`, and a rank that fails
writes its error to `error-<rank>`. That rank exits with status 0. The agent takes any other status for a lost rank, and
starts all ranks again; they resume from the last checkpoint.
"""

import logging
import os
import sys
import tempfile
import time
import traceback
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import NoReturn

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from aae.errors import InputError, told_in_one_line
from aae.files import write_whole
from aae.ranks import LostRankError, lost_rank
from pipeline.params import Params
from pipeline.resume import Interruption

FOLDER = "AAE_RANKS_FOLDER"  # environment variable of the ranks: the folder through which they agree
MAX_RESTARTS = 3
SECONDS_TO_TELL = 0.5  # in which a rank that meets the same error as another writes its own line


# --- the stage's process ---


def launch(run: str, params: Params, device: torch.device) -> None:
    """Runs the stage's command in `params.ranks` processes; returns when the training is done.

    Raises InputError if the ranks do not fit the machine, and with the line of a rank that ends with an error.
    """
    check_ranks(params, device)
    interruption = Interruption()
    with tempfile.TemporaryDirectory(prefix="aae-ranks-") as name:
        folder = Path(name)
        failures: list[BaseException] = []
        # In a thread, the agent leaves the signals to this process.
        agent = Thread(target=run_agent, args=(params.ranks, folder, failures), daemon=True)
        agent.start()
        while agent.is_alive():
            agent.join(0.1)
            if interruption.requested:
                (folder / "stop").touch()
        if told := lines_told(folder):
            raise InputError(told[0])
    if failures:
        raise_failure(run, failures[0])


def raise_failure(run: str, failure: BaseException) -> NoReturn:
    """Raises the agent's failure: InputError if ranks were lost too often."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    if not isinstance(failure, ChildFailedError):
        raise failure
    rank, ended = failure.get_first_failure()
    raise InputError(
        f"{run}: ranks were lost {MAX_RESTARTS + 1} times, the last time rank {rank}, with exit status "
        f"{ended.exitcode}; `dvc repro` resumes from the last checkpoint"
    )


def check_ranks(params: Params, device: torch.device) -> None:
    """Raises InputError unless each rank has a GPU of its own, and no CUDA graph; on the CPU, anything goes."""
    if device.type != "cuda":
        return
    if (gpus := torch.cuda.device_count()) < params.ranks:
        raise InputError(f"ranks: must be at most the number of GPUs, which is {gpus}; found {params.ranks}")
    if params.cuda_graph:
        raise InputError(f"cuda_graph: must be false with several ranks; found true, and ranks is {params.ranks}")


def run_agent(ranks: int, folder: Path, failures: list[BaseException]) -> None:
    """Runs the ranks, and all of them again if one is lost, at most `MAX_RESTARTS` times."""
    # Trainings in one process start faster without these.
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=ranks,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=MAX_RESTARTS,
        logs_specs=DefaultLogsSpecs(log_dir=str(folder / "logs")),
    )
    os.environ[FOLDER] = str(folder)
    logging.disable()  # it logs what the stage says in one line
    try:
        elastic_launch(config, sys.executable)("-m", "pipeline.train", *sys.argv[1:])
    except BaseException as error:
        failures.append(error)
    finally:
        logging.disable(logging.NOTSET)
        del os.environ[FOLDER]


# --- the ranks ---


class StopFile:
    """The request to stop, for a rank: the stage's process gets the signals."""

    @property
    def requested(self) -> bool:
        return (folder_of_ranks() / "stop").exists()


def is_rank() -> bool:
    """Whether this process is a rank that `launch` started."""
    return FOLDER in os.environ


def interruption() -> Interruption | StopFile:
    """Tells the training when to stop."""
    return StopFile() if is_rank() else Interruption()


@contextmanager
def joined_ranks(device: torch.device) -> Iterator[None]:
    """Connects the ranks, of which this process may be one. An error ends all ranks."""
    if not is_rank():
        yield
        return
    rank = int(os.environ["RANK"])
    Thread(target=watch, args=(rank, os.getppid()), daemon=True).start()
    try:
        with told_in_one_line():
            if device.type == "cuda":
                torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
            connect("nccl" if device.type == "cuda" else "gloo")
            yield
            dist.destroy_process_group()
    except LostRankError:
        time.sleep(2 * SECONDS_TO_TELL)  # did it end with an error?
        end(0 if lines_told(folder_of_ranks()) else 1)
    except SystemExit as told:
        if not isinstance(told.code, str):
            raise
        tell(rank, told.code.removeprefix("error: "))
    except Exception:
        traceback.print_exc()
        tell(rank, f"rank {rank} failed with the exception above")


def connect(backend: str) -> None:
    """Makes the process group. After a restart, the agent's store still has the addresses of the ranks before it."""
    with lost_rank():
        store, rank, ranks = next(rendezvous("env://"))
        store = PrefixStore(f"attempt-{os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
        dist.init_process_group(backend, store=store, rank=rank, world_size=ranks)


def tell(rank: int, line: str) -> NoReturn:
    """Writes the line with which the stage ends, and ends this rank."""
    write_whole(folder_of_ranks() / f"error-{rank:04d}", line.encode())
    end(0)


def watch(rank: int, parent: int) -> NoReturn:
    """Ends this process when another rank has told an error, or when the stage's process is gone."""
    while os.getppid() == parent:
        time.sleep(0.1)
        if lines_told(folder_of_ranks()):
            time.sleep(SECONDS_TO_TELL)
            end(0)
    end(1)


def end(status: int) -> NoReturn:
    """Ends the process at once: a collective that waits for a lost rank would wait for long."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def lines_told(folder: Path) -> list[str]:
    """The errors that ranks have told, the first rank's first."""
    return [path.read_text() for path in sorted(folder.glob("error-????"))]


def folder_of_ranks() -> Path:
    return Path(os.environ[FOLDER])
