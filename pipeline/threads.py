"""The share of the cores that a stage has while `pipeline.repro` makes runs side by side."""

import contextlib
import os
from pathlib import Path

import aae_native

THREADS_FILE = "AAE_THREADS_FILE"  # environment variable: a file that holds the present share, a number of threads


def take_share() -> None:
    """Computes with the present share of the cores. It grows when other runs are done."""
    if path := os.environ.get(THREADS_FILE):
        with contextlib.suppress(OSError):  # the process that wrote it has ended
            aae_native.set_threads(int(Path(path).read_text()))
