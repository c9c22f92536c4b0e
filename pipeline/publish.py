"""What stage `train` writes into `results/`: snapshots and history during the training, codes and timing at its end."""

import shutil
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import torch

from aae.checksums import LIST, beside, line_of
from aae.cuda_graph import graph_length
from aae.files import append, write_together, write_whole
from aae.machine import describe_machine
from pipeline.params import Params
from pipeline.paths import CODES, HISTORY, SNAPSHOTS, TIMING
from pipeline.resume import Progress
from pipeline.tables import write_record


def publish_progress(run: str, progress: Progress, losses: tuple[str, ...]) -> None:
    """Writes everything so far, in place of what an earlier training of `run` left."""
    for folder in (SNAPSHOTS / run, HISTORY / run):
        shutil.rmtree(folder, ignore_errors=True)
    for path, _ in progress.listed_snapshots():
        publish_snapshot(run, path)
    publish_history(run, progress, losses)


def publish_snapshot(run: str, path: Path) -> None:
    """Copies a snapshot or its `config.json` from the scratch folder."""
    write_whole(SNAPSHOTS / run / path.name, content_of(path))


def publish_history(run: str, progress: Progress, losses: tuple[str, ...]) -> None:
    """Writes a table of each loss, a row per epoch."""

    def table_of(loss: str) -> Callable[[BinaryIO], None]:
        def write(file: BinaryIO) -> None:
            file.write(f"step\t{loss}\n".encode())
            for number, epoch in enumerate(progress.epochs(), start=1):
                file.write(row(number, epoch.losses[loss]))

        return write

    write_together({history_table(run, loss): table_of(loss) for loss in losses})


def add_to_history(run: str, number: int, losses: dict[str, float]) -> None:
    """Adds the row of epoch `number` to each table, so that `dvc plots` and editors show a training at work."""
    for loss, value in losses.items():
        append(history_table(run, loss), row(number, value))


def history_table(run: str, loss: str) -> Path:
    return HISTORY / run / "plots/metrics" / f"{loss}.tsv"


def row(number: int, value: float) -> bytes:
    return f"{number}\t{value!r}\n".encode()


def publish_codes(run: str, progress: Progress) -> None:
    """Writes the encoder's outputs at every epoch, float32 [epochs + 1, test images, outputs], and their SHA-256."""
    codes, (_, digest) = CODES / f"{run}.npy", progress.codes.mark()
    write_whole(codes, content_of(progress.codes.path))
    write_whole(beside(codes), line_of(digest, codes.name))


def publish_list(run: str, progress: Progress) -> None:
    """Writes the list of the snapshots, with the SHA-256 that each had when it was saved."""
    write_whole(SNAPSHOTS / run / LIST, content_of(progress.sums.path))


def content_of(source: Path) -> Callable[[BinaryIO], None]:
    """The content of a file that may be larger than the memory, for `write_whole`."""

    def copy(file: BinaryIO) -> None:
        with open(source, "rb") as content:
            shutil.copyfileobj(content, file)

    return copy


def publish_timing(run: str, params: Params, device: torch.device, iterations: int, progress: Progress) -> None:
    """Writes the run's timing and a description of the machine and the settings.

    Seconds per epoch are the median over the epochs with as many threads as the first one.
    """
    on_gpu, threads = device.type == "cuda", next(progress.epochs()).threads
    seconds = sum(epoch.seconds for epoch in progress.epochs())
    per_epoch = statistics.median(epoch.seconds for epoch in progress.epochs() if epoch.threads == threads)
    timing = {
        "seconds": round(seconds, 2),
        "seconds_per_epoch": round(per_epoch, 4),
        "precision": params.precision,
        "deterministic": params.deterministic or not on_gpu,
        "iterations": f"CUDA graphs of {graph_length(iterations)}" if params.cuda_graph and on_gpu else "one by one",
        **describe_machine(device),
        "threads": threads,
        "ranks": params.ranks,
    }
    write_record(TIMING / f"{run}.json", timing)
