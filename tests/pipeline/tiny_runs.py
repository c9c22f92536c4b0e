"""Tiny runs of every model, in the form that stage `train` writes, and calls of the later stages in this process."""

import csv
import json
import signal
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from aae.backprop_cpu import forward
from aae.checksums import LIST, beside, write_sums
from aae.data import Dataset, save_dataset
from aae.evaluation_samples import posterior_noise
from aae.models import build_model, kind_name, to_inputs
from aae.snapshots import Metadata, save_snapshot
from pipeline import evaluate, floor, render, report, summarize, train
from pipeline.cli import run_stage
from pipeline.params import load_params

ROOT = Path(__file__).parents[2]
EPOCHS = [0, 2, 4]
RUNS = ["aae-0", "vae-0"]
ALL = (floor, evaluate, render, summarize, report)
CHANGES = {
    "epochs: 100 ": "epochs: 4 ",
    "snapshot_every: 10 ": "snapshot_every: 2 ",
    "batch_size: 128 ": "batch_size: 4 ",
    "[512]": "[8]",
    "cells: 20 ": "cells: 3 ",
    "projections: 128 ": "projections: 8 ",
    "floor_samples: 100 ": "floor_samples: 5 ",
    "manifold_size: 30 ": "manifold_size: 4 ",
}

# A second recipe of the kind aae.
WIDE = """
aae_wide:
  kind: aae
  prior: normal
  labels: false
  encoder_widths: [12]
  decoder_widths: [12]
  discriminator_widths: [8]
  autoencoder: {learning_rate: 0.001, betas: [0.9, 0.999]}
  discriminator: {learning_rate: 0.001, betas: [0.9, 0.999]}
  generator: {learning_rate: 0.001, betas: [0.9, 0.999]}
"""


def write_inputs(
    code_size: int = 2, seeds: tuple = (0,), changes: dict | None = None, models: tuple = ("aae", "vae")
) -> None:
    """Writes the outputs of earlier stages to the working folder: 40 test images of 5 x 3 pixels and a run per model.

    Epoch e of a run is a model initialised from 10 * seed + e, so every epoch has its own codes. `aae_wide` may be one
    of the models.
    """
    text = (ROOT / "params.yaml").read_text()
    edits = {
        "code_size: 2 ": f"code_size: {code_size} ",
        "seeds: [0] ": f"seeds: {list(seeds)} ",
        "models: [aae, aae_joint, vae]": f"models: [{', '.join(models)}]",
    }
    for old, new in (CHANGES | edits | (changes or {})).items():
        assert old in text
        text = text.replace(old, new)
    Path("params.yaml").write_text(text + (WIDE if "aae_wide" in models else ""))
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (60, 5, 3, 1)).astype(np.uint8)
    labels = (np.arange(60) % 10).astype(np.uint8)
    data = Dataset(images[:20], labels[:20], images[20:], labels[20:], tuple("0123456789"))
    save_dataset(data, Path("data/prepared"))
    params = load_params()
    for recipe, seed in ((recipe, seed) for recipe in params.recipes for seed in seeds):
        run = f"{recipe.name}-{seed}"
        sizes = recipe.sizes(data.pixels, code_size, data.classes)
        models = [build_model(kind_name(recipe.kind), 10 * seed + epoch, **sizes) for epoch in range(5)]
        metadata = Metadata(recipe.prior(code_size, data.classes), data.shape, data.class_names)
        for epoch in EPOCHS:
            save_snapshot(Path(f"results/snapshots/{run}"), epoch, models[epoch], metadata)
        Path("results/codes").mkdir(exist_ok=True)
        test, noise = to_inputs(images[20:]), posterior_noise(code_size, 40, seed)
        outputs = [
            model.outputs(test, noise, partial(forward, model.requires_grad_(False).encoder)) for model in models
        ]
        np.save(f"results/codes/{run}.npy", torch.stack(outputs).numpy())
        list_sums(run)
        Path("results/timing").mkdir(exist_ok=True)
        seconds = 2.0 if recipe.name == "vae" else 3.0 + seed
        Path(f"results/timing/{run}.json").write_text(
            json.dumps([{"seconds": 4 * seconds, "seconds_per_epoch": seconds, "device": "a processor"}])
        )
        history = Path(f"results/history/{run}/plots/metrics")
        history.mkdir(parents=True)
        for loss in (loss for chart in recipe.kind.loss_charts for loss in chart.lines):
            rows = [f"{epoch}\t{10 / epoch}" for epoch in range(1, 5)]
            (history / f"{loss}.tsv").write_text("\n".join([f"step\t{loss}", *rows]) + "\n")


def list_sums(run: str) -> None:
    """Writes the lists of SHA-256 that `train` writes."""
    folder, codes = Path(f"results/snapshots/{run}"), Path(f"results/codes/{run}.npy")
    write_sums(folder / LIST, [path for path in folder.iterdir() if path.name != LIST])
    write_sums(beside(codes), [codes])


def run_stages(*stages) -> None:
    """Calls the stages in this process: stages of a run once per run, and `floor` once per model."""
    params = load_params()
    of_models = [["--model", model] for model in params.models]
    of_runs = [["--model", model, "--seed", str(seed)] for model in params.models for seed in params.seeds]
    for stage in stages:
        for arguments in {floor: of_models, train: of_runs, evaluate: of_runs, render: of_runs}.get(stage, [[]]):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", ["stage", *arguments])
                run_stage(stage.main)


def in_process(*stages) -> None:
    """Like `run_stages`, but signals, which `train` handles, become the tests' again."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        run_stages(*stages)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def failure(stage, *arguments: str) -> str:
    """The one line with which a stage exits on bad input."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["stage", *arguments])
        with pytest.raises(SystemExit) as exit_:
            run_stage(stage.main)
    assert exit_.value.code.startswith("error: ")
    assert "\n" not in exit_.value.code
    return exit_.value.code


def outputs() -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for path in [*Path("results").rglob("*"), *Path("report").rglob("*")]
        if path.is_file()
    }


def load(path: str | Path) -> dict:
    """Loads standard JSON, without NaN and Infinity. For an array, returns its only entry."""
    content = json.loads(Path(path).read_text(), parse_constant=pytest.fail)
    if isinstance(content, list):
        (content,) = content
    return content


def load_rows(path: str, delimiter: str = ",") -> list[dict[str, float]]:
    with open(path, newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file, delimiter=delimiter)]
