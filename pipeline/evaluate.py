"""Stage `evaluate`: one run on the test images in numbers, every snapshot in full and the codes of every epoch."""

from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import aae_native
import numpy as np
import torch

from aae.data import load_dataset
from aae.errors import InputError
from aae.metrics import Split, epoch_metrics, model_metrics
from aae.models import to_inputs
from aae.snapshots import list_snapshots, load_snapshot
from aae.summary import flatten, last_third
from aae.targets import Target, build_target
from pipeline.cli import run_arguments, run_stage
from pipeline.extension import check_extension
from pipeline.params import load_params
from pipeline.paths import CODES, CURVES, DATA, MATCH, METRICS, SNAPSHOTS, run_name
from pipeline.prior import prior_of
from pipeline.tables import read_codes, write_csv, write_json


def main() -> None:
    name, seed = run_arguments()
    params = load_params()
    check_extension()
    run = run_name(name, seed)
    snapshots = list_snapshots(SNAPSHOTS / run)
    prior = prior_of(name, params)
    measures = {"cells": params.evaluation.cells, "projections": params.evaluation.projections}

    data = load_dataset(DATA)
    n = len(data.test_images)
    # As many training images as test images, evenly over the set: their match is measured with the same noise.
    chosen = np.linspace(0, len(data.train_images), min(n, len(data.train_images)), endpoint=False, dtype=np.int64)
    target = build_target(prior, n, **measures)
    train_target = target if len(chosen) == n else build_target(prior, len(chosen), **measures)
    test = Split(to_inputs(data.test_images), np.asarray(data.test_labels), target)
    train = Split(to_inputs(data.train_images[chosen]), data.train_labels[chosen], train_target)

    def measure(epoch: int, path: Path) -> dict:
        try:
            return {"epoch": epoch} | model_metrics(load_snapshot(path), test, train, prior, seed=seed)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    # Snapshots and epochs share the cores, one each: there are more of them than a product has work for threads.
    torch.set_num_threads(1)
    with ThreadPoolExecutor(aae_native.get_threads()) as pool:
        curves = list(pool.map(measure, *zip(*snapshots.items(), strict=True)))
        match = match_of_epochs(run, params.code_size, target, seed, pool)
    flat = [flatten(metrics) for metrics in curves]
    write_csv(CURVES / f"{run}.csv", flat)
    write_csv(MATCH / f"{run}.csv", match)
    write_json(METRICS / f"{run}.json", curves[-1] | {"last_third": last_third(match, flat)})


def match_of_epochs(run: str, code_size: int, target: Target, seed: int, pool: Executor) -> list[dict]:
    """A row an epoch: the match of the codes that training left in `results/codes`."""
    path = CODES / f"{run}.npy"
    outputs = read_codes(path)
    if outputs.ndim != 3 or outputs.shape[1] != target.n or outputs.shape[2] not in (code_size, 2 * code_size):
        raise InputError(
            f"{path}: found an array of shape {list(outputs.shape)}, needed [epochs + 1, {target.n}, encoder outputs]; "
            "`dvc repro` makes it"
        )

    def measure(epoch: int) -> dict:
        try:
            return {"epoch": epoch} | flatten(epoch_metrics(np.array(outputs[epoch]), code_size, target, seed=seed))
        except InputError as error:
            raise InputError(f"{path}: epoch {epoch}: {error}") from None

    return list(pool.map(measure, range(len(outputs))))


if __name__ == "__main__":
    run_stage(main)
