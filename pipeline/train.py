"""Stage `train`: trains one run (a model and a seed); writes snapshots, history and timing."""

import contextlib
import io
import shutil
import statistics
import time
from pathlib import Path

import aae_native
import numpy as np
import torch
from dvclive import Live
from tqdm import tqdm

from aae import backprop
from aae.checkpoints import Checkpoint, load_checkpoint, remove_checkpoints, save_checkpoint
from aae.checksums import LIST, beside, write_sums
from aae.cuda_graph import GraphedIterations, graph_length
from aae.data import Dataset, load_dataset
from aae.device import choose_device
from aae.errors import Diverged, InputError
from aae.files import write_whole
from aae.machine import describe_machine
from aae.models import Recipe, build_model, kind_name, to_inputs
from aae.snapshots import Metadata, list_snapshots, save_snapshot
from aae.trainer import Trainer, train_epoch
from pipeline.cli import run_arguments, run_stage
from pipeline.extension import check_extension
from pipeline.memory import check_memory
from pipeline.params import Params, load_params
from pipeline.paths import CODES, DATA, DEVICE, HISTORY, SNAPSHOTS, TIMING, run_name
from pipeline.resume import Interruption, scratch_folder
from pipeline.tables import read_json, write_record
from pipeline.threads import take_share

TIMED_EPOCHS = 5  # at least so many epochs keep the first number of threads, so that times of models compare


def main() -> None:
    params = load_params()
    recipe, seed = run_arguments(params)
    check_extension()
    device = chosen_device()
    set_products(params, device)
    if params.threads != "auto":
        aae_native.set_threads(params.threads)
    torch.set_num_threads(1)  # more would take cores from the native passes, which do nearly all the work
    dataset = load_dataset(DATA)
    images = len(dataset.train_images)
    if images < params.batch_size:
        raise InputError(f"batch_size: {params.batch_size} is more than the {images} training images")
    check_memory(recipe, params.code_size, dataset.pixels)
    iterations = images // params.batch_size
    trainer = build_trainer(recipe, seed, params, dataset, device, params.epochs * iterations)
    scratch = scratch_folder(recipe.name, seed, params, dataset, device)
    run = run_name(recipe.name, seed)
    test_images = to_inputs(dataset.test_images).to(device)
    metadata = Metadata(recipe.prior(params.code_size, dataset.classes), dataset.shape, dataset.class_names)
    epochs = train(trainer, run, metadata, params, iterations, test_images, scratch)
    write_timing(run, params, device, iterations, epochs)
    remove_checkpoints(scratch)  # before the rest: no checkpoint may outlive its snapshots
    shutil.rmtree(scratch)
    with contextlib.suppress(OSError):  # may hold interrupted trainings with other parameters
        scratch.parent.rmdir()


def train(
    trainer: Trainer,
    run: str,
    metadata: Metadata,
    params: Params,
    iterations: int,
    test_images: torch.Tensor,
    scratch: Path,
) -> list[tuple[float, int]]:
    """Trains all epochs, starting from the last checkpoint in `scratch`; returns seconds and threads of each epoch.

    It writes the run's snapshots, its history and the encoder's outputs for the test images at every epoch. It also
    keeps all of them in `scratch`, because DVC removes a stage's outputs before it runs the stage again.
    """
    history: list[dict[str, float]] = []
    epochs: list[tuple[float, int]] = []  # seconds, threads
    spent = 0.0  # seconds that earlier processes spent on the present epoch
    if checkpoint := load_checkpoint(scratch):
        trainer.restore(checkpoint.step, checkpoint.tensors)
        history, epochs, spent = (checkpoint.notes[key] for key in ("history", "epochs", "spent"))
        print(f"{run}: resuming after iteration {trainer.step} (epoch {trainer.step / iterations:.2f})", flush=True)
    else:
        save_snapshot(scratch / "snapshots", 0, trainer.published(), metadata)
        save_outputs(scratch, 0, trainer, test_images)
    shutil.rmtree(SNAPSHOTS / run, ignore_errors=True)
    for epoch, path in list_snapshots(scratch / "snapshots").items():
        if epoch <= len(history):
            publish(path, run)

    interruption = Interruption()
    saved = time.monotonic()

    def save(spent: float) -> None:
        nonlocal saved
        notes = {"history": history, "epochs": epochs, "spent": spent}
        save_checkpoint(scratch, Checkpoint(trainer.step, trainer.state(), notes))
        saved = time.monotonic()

    def after_iteration(step: int) -> None:
        progress.update(step - progress.n)
        if interruption.requested:
            save(time.perf_counter() - start)
            raise InputError(f"{run}: interrupted after iteration {step}; `dvc repro` resumes from there")
        if time.monotonic() - saved > 60:
            save(time.perf_counter() - start)

    graphs = GraphedIterations(trainer, iterations) if params.cuda_graph and trainer.images.is_cuda else None
    live = Live(str(HISTORY / run), dvcyaml=None, save_dvc_exp=False)
    total = params.epochs * iterations
    progress = tqdm(total=total, initial=trainer.step, desc=run, unit="it", mininterval=1)
    with live, progress:
        for epoch, losses in enumerate(history, start=1):
            log_epoch(live, epoch, losses)
        for epoch in range(len(history) + 1, params.epochs + 1):
            start, spent = time.perf_counter() - spent, 0.0
            if params.threads == "auto" and epoch > TIMED_EPOCHS:
                take_share()
            try:
                losses = train_epoch(trainer, epoch, iterations, after_iteration, graphs.advance if graphs else None)
            except Diverged as error:
                last = max(list_snapshots(scratch / "snapshots"))
                raise InputError(
                    f"{run}: {error}; the last good snapshot is of epoch {last}; a smaller learning rate usually helps"
                ) from None
            history.append(losses)
            epochs.append((time.perf_counter() - start, aae_native.get_threads()))
            save_outputs(scratch, epoch, trainer, test_images)
            log_epoch(live, epoch, losses)
            progress.set_postfix({"epoch": epoch} | {key: f"{value:.3f}" for key, value in losses.items()})
            if epoch % params.snapshot_every == 0 or epoch == params.epochs:
                publish(save_snapshot(scratch / "snapshots", epoch, trainer.published(), metadata), run)
                save(0.0)
    (HISTORY / run / "metrics.json").unlink(missing_ok=True)  # DVCLive's copy of the tables' last rows
    CODES.mkdir(parents=True, exist_ok=True)
    outputs = [np.load(scratch / "outputs" / f"{epoch:03d}.npy") for epoch in range(params.epochs + 1)]
    codes = CODES / f"{run}.npy"
    np.save(codes, np.stack(outputs))
    write_sums(beside(codes), [codes])
    write_sums(SNAPSHOTS / run / LIST, (SNAPSHOTS / run).iterdir())
    return epochs


def save_outputs(scratch: Path, epoch: int, trainer: Trainer, test_images: torch.Tensor) -> None:
    """Saves the encoder's outputs at `epoch`, float32 [test images, outputs], in the scratch folder."""
    content = io.BytesIO()
    np.save(content, trainer.encode(test_images).cpu().numpy())
    write_whole(scratch / "outputs" / f"{epoch:03d}.npy", content.getvalue())


def publish(snapshot: Path, run: str) -> None:
    """Copies a snapshot and `config.json` from the scratch folder to the run's results."""
    folder = SNAPSHOTS / run
    folder.mkdir(parents=True, exist_ok=True)
    for name in (snapshot.name, "config.json"):
        shutil.copyfile(snapshot.with_name(name), folder / name)


def chosen_device() -> torch.device:
    """The device that stage `device` found; raises InputError if training can no longer run on it."""
    return choose_device(read_json(DEVICE)["device"])


def set_products(params: Params, device: torch.device) -> None:
    """Sets precision and determinism of PyTorch's products. The CPU's native ones are float32 and deterministic."""
    if device.type == "cuda":
        backprop.set_products(params.precision, params.deterministic)
    elif params.precision != "float32":
        raise InputError(f"precision: {params.precision}, but training runs on the CPU; allowed there: float32")


def build_trainer(
    recipe: Recipe, seed: int, params: Params, dataset: Dataset, device: torch.device, steps: int
) -> Trainer:
    """The trainer of a run on the dataset's training images, for `steps` iterations in all."""
    images = torch.from_numpy(dataset.train_images.reshape(len(dataset.train_images), -1).copy()).to(device)
    labels = None
    if dataset.train_labels is not None:
        labels = torch.from_numpy(dataset.train_labels.astype("int64")).to(device)
    sizes = recipe.sizes(dataset.pixels, params.code_size, dataset.classes)
    model = build_model(kind_name(recipe.kind), seed, **sizes).to(device)
    prior = recipe.prior(params.code_size, dataset.classes)
    training = {"seed": seed, "batch_size": params.batch_size, "steps": steps}
    return model.trainer(recipe.settings, images, labels, prior, **training)


def log_epoch(live: Live, epoch: int, losses: dict[str, float]) -> None:
    """Adds one row to the history."""
    live.step = epoch
    for key, value in losses.items():
        live.log_metric(key, value)
    live.make_summary()


def write_timing(
    run: str, params: Params, device: torch.device, iterations: int, epochs: list[tuple[float, int]]
) -> None:
    """Writes the run's timing and a description of the machine and the settings.

    Seconds per epoch are the median over the epochs with as many threads as the first one.
    """
    on_gpu, threads = device.type == "cuda", epochs[0][1]
    timing = {
        "seconds": round(sum(seconds for seconds, _ in epochs), 2),
        "seconds_per_epoch": round(statistics.median(seconds for seconds, of in epochs if of == threads), 4),
        "precision": params.precision,
        "deterministic": params.deterministic or not on_gpu,
        "iterations": f"CUDA graphs of {graph_length(iterations)}" if params.cuda_graph and on_gpu else "one by one",
        **describe_machine(device),
        "threads": threads,
    }
    write_record(TIMING / f"{run}.json", timing)


if __name__ == "__main__":
    run_stage(main)
