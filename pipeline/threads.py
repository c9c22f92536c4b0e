"""The share of the cores that a stage may use while `pipeline.repro` computes several runs at a time."""

import contextlib
import os
from pathlib import Path

import aae_native

from aae.errors import InputError
from pipeline.paths import PARAMS

THREADS_FILE = "AAE_THREADS_FILE"  # environment variable: path of a file with the present share, a number of threads


def set_threads(count: int, ranks: int = 1) -> None:
    """Starts the threads of each of `ranks` processes that have `count` together, at least one each.

    Raises InputError if the system refuses so many.
    """
    try:
        aae_native.set_threads(max(1, count // ranks))
    except RuntimeError as error:
        raise InputError(f"{PARAMS}: {str(error).replace('set_threads', 'threads')}") from error


def take_share(ranks: int = 1) -> None:
    """Sets the number of threads to the present share of the cores, which grows when other runs are done.

    The `ranks` of a training divide it.
    """
    if path := os.environ.get(THREADS_FILE):
        # The process that wrote it has ended, or the system refuses more threads than there are.
        with contextlib.suppress(OSError, InputError):
            set_threads(int(Path(path).read_text()), ranks)
