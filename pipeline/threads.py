"""The share of the cores that a stage may use while `pipeline.repro` computes several runs at a time."""

import contextlib
import os
from pathlib import Path

import aae_native

THREADS_FILE = "AAE_THREADS_FILE"  # environment variable: path of a file with the present share, a number of threads


def take_share(ranks: int = 1) -> None:
    """Sets the number of threads to the present share of the cores, which grows when other runs are done.

    The `ranks` of a training divide it.
    """
    if path := os.environ.get(THREADS_FILE):
        with contextlib.suppress(OSError):  # the process that wrote it has ended
            set_threads(int(Path(path).read_text()), ranks)


def set_threads(threads: int, ranks: int) -> None:
    """Sets the number of threads of each of `ranks` processes that have `threads` together, at least one each."""
    aae_native.set_threads(max(1, threads // ranks))
