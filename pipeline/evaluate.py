"""Stage `evaluate`: every snapshot of one run on the test images, in numbers."""

import csv
import json

import torch

from aae.data import load_dataset
from aae.errors import InputError
from aae.metrics import flatten, model_metrics, prior_sample_metrics
from aae.snapshots import list_snapshots, load_snapshot
from pipeline.cli import run_arguments, run_stage
from pipeline.extension import check_extension
from pipeline.params import load_params, normal_std
from pipeline.paths import CURVES, DATA, METRICS, SNAPSHOTS, run_name


def main() -> None:
    name, seed = run_arguments()
    params = load_params()
    std = normal_std(params)
    check_extension()
    run = run_name(name, seed)
    snapshots = list_snapshots(SNAPSHOTS / run)
    test = load_dataset(DATA).test_images
    images = torch.from_numpy(test.reshape(len(test), -1).astype("float32") / 255)
    measures = {"seed": seed, "std": std} | params.evaluation.model_dump()

    curves = []
    for epoch, path in snapshots.items():
        model = load_snapshot(path)
        try:
            metrics = {"epoch": epoch} | model_metrics(model, images, **measures)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        curves.append(metrics)
    write_curves(run, curves)
    reference = prior_sample_metrics(len(images), model.code_size, **measures)
    write_metrics(run, curves[-1] | {"prior_sample": reference})


def write_curves(run: str, curves: list[dict]) -> None:
    """One row a snapshot, with the flattened names of its metrics as columns."""
    CURVES.mkdir(parents=True, exist_ok=True)
    rows = [rounded(flatten(metrics)) for metrics in curves]
    with open(CURVES / f"{run}.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_metrics(run: str, metrics: dict) -> None:
    """The metrics of the last snapshot, nested."""
    METRICS.mkdir(parents=True, exist_ok=True)
    (METRICS / f"{run}.json").write_text(json.dumps(rounded(metrics), indent=2) + "\n", encoding="utf-8")


def rounded(value):
    """Every float in `value` to six significant digits, which is more than the measures are good for."""
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    return float(f"{value:.6g}") if isinstance(value, float) else value


if __name__ == "__main__":
    run_stage(main)
