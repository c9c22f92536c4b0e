"""Stage `evaluate`: the metrics of one run, all of them for each snapshot and the match for every epoch."""

from pipeline.extension import check_extension

from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aae_native
import numpy as np
import torch

from aae.data import load_dataset
from aae.errors import Damaged, InputError
from aae.metrics import Sample, Split, epoch_metrics, model_metrics
from aae.models import Autoencoder, to_inputs
from aae.snapshots import listed_snapshots, load_snapshot
from aae.summary import flatten, last_third
from aae.targets import Target, build_target, training_sample
from pipeline.cli import run_arguments, run_stage
from pipeline.memory import check_projections
from pipeline.params import load_params
from pipeline.paths import CODES, CURVES, DATA, MATCH, METRICS, SNAPSHOTS, run_name
from pipeline.tables import read_codes, write_csv, write_record
from pipeline.threads import take_share


def main() -> None:
    params = load_params()
    recipe, seed = run_arguments(params)
    check_extension()
    run = run_name(recipe.name, seed)
    snapshots = listed_snapshots(SNAPSHOTS / run)
    settings, data = params.evaluation, load_dataset(DATA)
    check_projections(settings.projections, len(data.train_images))
    prior = recipe.prior(params.code_size, data.classes)
    images, train_images = len(data.test_images), len(data.train_images)

    def target_for(n: int, cells: int) -> Target:
        return build_target(prior, n, cells=cells, projections=settings.projections)

    target = target_for(images, settings.cells)
    test = Split(to_inputs(data.test_images), data.test_labels, target)
    train_target = target_for(train_images, settings.train_cells)
    train = Split(to_inputs(data.train_images), data.train_labels, train_target)
    indices = training_sample(train_images, images)
    sample = Sample(indices, target if len(indices) == images else target_for(len(indices), settings.cells))

    def measure(epoch: int, path: Path) -> dict[str, Any]:
        model = load_snapshot(path)
        try:
            return {"epoch": epoch} | model_metrics(model, test, train, sample, prior, seed=seed)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    # One thread per snapshot or epoch: there are many of them, and a single product is too small for several threads.
    torch.set_num_threads(1)
    take_share()
    with ThreadPoolExecutor(aae_native.get_threads()) as pool:
        curves = list(pool.map(measure, *zip(*snapshots.items(), strict=True)))
        match = match_of_epochs(run, load_snapshot(snapshots[max(snapshots)]), target, seed, pool)
    flat = [flatten(metrics) for metrics in curves]
    write_csv(CURVES / f"{run}.csv", flat)
    write_csv(MATCH / f"{run}.csv", match)
    write_record(METRICS / f"{run}.json", curves[-1] | {"last_third": last_third(match, flat)})


def match_of_epochs(run: str, model: Autoencoder, target: Target, seed: int, pool: Executor) -> list[dict[str, Any]]:
    """One row per epoch: the match of the codes in `results/codes`. `model` may be any snapshot of the run."""
    path = CODES / f"{run}.npy"
    outputs = read_codes(path)
    needed = (target.n, model.output_size)
    if outputs.ndim != 3 or outputs.shape[1:] != needed:
        found = f"found an array of shape {list(outputs.shape)}"
        raise Damaged(path, f"{found}, needed [epochs + 1, {needed[0]}, {needed[1]}]")

    def measure(epoch: int) -> dict[str, Any]:
        try:
            return {"epoch": epoch} | flatten(epoch_metrics(model, np.array(outputs[epoch]), target, seed=seed))
        except InputError as error:
            raise InputError(f"{path}: epoch {epoch}: {error}") from None

    return list(pool.map(measure, range(len(outputs))))


if __name__ == "__main__":
    run_stage(main)
