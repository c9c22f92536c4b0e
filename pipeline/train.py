"""Stage `train`: trains one run (a model and a seed); writes snapshots, history and timing."""

from pipeline.extension import check_extension

import contextlib
import shutil
import time

import aae_native
import numpy as np
import torch
from tqdm import tqdm

from aae import backprop
from aae.checkpoints import remove_checkpoints
from aae.cuda_graph import GraphedIterations
from aae.data import Dataset, load_dataset
from aae.device import choose_device
from aae.errors import Diverged, InputError
from aae.evaluation_samples import posterior_noise
from aae.files import alone
from aae.models import Recipe, build_model, kind_name, to_inputs
from aae.ranks import Shards
from aae.snapshots import Metadata, list_snapshots
from aae.trainer import Trainer, train_epoch
from pipeline.cli import run_arguments, run_stage
from pipeline.launch import interruption, is_rank, joined_ranks, launch
from pipeline.memory import check_memory
from pipeline.params import Params, load_params
from pipeline.paths import DATA, DEVICE, SNAPSHOTS, run_name
from pipeline.publish import (
    add_to_history,
    publish_codes,
    publish_history,
    publish_list,
    publish_progress,
    publish_snapshot,
    publish_timing,
)
from pipeline.resume import Epoch, Progress, scratch_folder
from pipeline.tables import read_json
from pipeline.threads import set_threads, take_share

TIMED_EPOCHS = 5  # at least so many epochs keep the first number of threads, so that times of models compare


def main() -> None:
    params = load_params()
    recipe, seed = run_arguments(params)
    check_extension()
    device = chosen_device()
    if params.ranks > 1 and not is_rank():
        launch(run_name(recipe.name, seed), params, device)
        return
    with joined_ranks(device):
        train_run(recipe, seed, params, load_dataset(DATA), device)


def train_run(recipe: Recipe, seed: int, params: Params, dataset: Dataset, device: torch.device) -> None:
    """Trains a run, or a rank's part of it: the first rank writes the results, the others only train."""
    set_products(params, device)
    if params.threads != "auto" or params.ranks > 1:
        set_threads(aae_native.get_threads() if params.threads == "auto" else params.threads, params.ranks)
    torch.set_num_threads(1)  # more would take cores from the native passes, which do nearly all the work
    images = len(dataset.train_images)
    if images < params.batch_size:
        raise InputError(f"batch_size: {params.batch_size} is more than the {images} training images")
    check_memory(recipe, params.code_size, dataset.pixels)
    iterations = images // params.batch_size
    trainer = build_trainer(recipe, seed, params, dataset, device, params.epochs * iterations)
    if trainer.shards.rank > 0:
        follow(trainer, params, iterations)
        return
    run = run_name(recipe.name, seed)
    test_images = to_inputs(dataset.test_images).to(device)
    metadata = Metadata(recipe.prior(params.code_size, dataset.classes), dataset.shape, dataset.class_names)
    scratch = scratch_folder(recipe.name, seed, params, dataset, device)
    with alone(scratch / "lock", f"{run}: another process trains it; wait until it is done"):
        progress = Progress(scratch, params.epochs)
        train(trainer, run, metadata, params, iterations, test_images, progress)
        publish_history(run, progress, trainer.losses)  # the rows since the start may have been removed in the meantime
        publish_codes(run, progress)
        publish_list(run, progress)
        publish_timing(run, params, device, iterations, progress)
        remove_checkpoints(scratch)  # before the rest: no checkpoint may outlive its snapshots
        shutil.rmtree(scratch)
    with contextlib.suppress(OSError):  # may hold interrupted trainings with other parameters
        scratch.parent.rmdir()


def follow(trainer: Trainer, params: Params, iterations: int) -> None:
    """Trains all epochs from the first rank's state on, and writes nothing."""
    trainer.follow_first_rank()
    for epoch in range(trainer.step // iterations + 1, params.epochs + 1):
        if params.threads == "auto" and epoch > TIMED_EPOCHS:
            take_share(params.ranks)
        train_epoch(trainer, epoch, iterations)


def train(
    trainer: Trainer,
    run: str,
    metadata: Metadata,
    params: Params,
    iterations: int,
    test_images: torch.Tensor,
    progress: Progress,
) -> None:
    """Trains all epochs, starting from the last checkpoint of `progress`.

    It writes the run's snapshots and its history. `progress` also keeps them, because DVC removes a stage's outputs
    before it runs the stage again.
    """
    done, spent = 0, 0.0  # epochs, and seconds that earlier processes spent on the present epoch
    if checkpoint := progress.checkpoint:
        trainer.restore(checkpoint.step, checkpoint.tensors)
        done, spent = checkpoint.notes["epochs"], checkpoint.notes["spent"]
        print(f"{run}: resuming after iteration {trainer.step} (epoch {trainer.step / iterations:.2f})", flush=True)
    else:
        progress.add_snapshot(0, trainer, metadata)
        progress.add_codes(codes_of(trainer, test_images))
    trainer.follow_first_rank()
    publish_progress(run, progress, trainer.losses)

    stop = interruption()
    saved = time.monotonic()

    def save(spent: float) -> None:
        nonlocal saved
        progress.save(trainer, done, spent)
        saved = time.monotonic()

    def after_iteration(step: int) -> None:
        bar.update(step - bar.n)
        if stop.requested:
            save(time.perf_counter() - start)
            raise InputError(f"{run}: interrupted after iteration {step}; `dvc repro` resumes from there")
        if time.monotonic() - saved > 60:
            save(time.perf_counter() - start)

    graphs = GraphedIterations(trainer, iterations) if params.cuda_graph and trainer.images.is_cuda else None
    total = params.epochs * iterations
    with tqdm(total=total, initial=trainer.step, desc=run, unit="it", mininterval=1) as bar:
        for epoch in range(done + 1, params.epochs + 1):
            start, spent = time.perf_counter() - spent, 0.0
            if params.threads == "auto" and epoch > TIMED_EPOCHS:
                take_share(params.ranks)
            try:
                losses = train_epoch(trainer, epoch, iterations, after_iteration, graphs.advance if graphs else None)
            except Diverged as error:
                last = max(list_snapshots(SNAPSHOTS / run))
                raise InputError(
                    f"{run}: {error}; the last good snapshot is of epoch {last}; a smaller learning rate usually helps"
                ) from None
            progress.add_epoch(Epoch(losses, time.perf_counter() - start, aae_native.get_threads()))
            progress.add_codes(codes_of(trainer, test_images))
            done = epoch
            add_to_history(run, epoch, losses)
            shown = {"epoch": epoch} | {key: f"{value:.3f}" for key, value in losses.items()}
            bar.set_postfix(shown, refresh=False)  # with the next line, at most one per second
            if epoch % params.snapshot_every == 0 or epoch == params.epochs:
                publish_snapshot(run, progress.add_snapshot(epoch, trainer, metadata))
                save(0.0)


def codes_of(trainer: Trainer, images: torch.Tensor) -> np.ndarray:
    """The encoder's outputs for `images`, float32 [images, outputs]."""
    noise = posterior_noise(trainer.model.code_size, len(images), trainer.seed).to(images.device)
    return trainer.encode(images, noise).cpu().numpy()


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
    """The trainer of a run on the dataset's training images, for `steps` iterations in all.

    Raises InputError for settings that do not fit the data.
    """
    images = torch.from_numpy(dataset.train_images.reshape(len(dataset.train_images), -1).copy()).to(device)
    labels = None
    if dataset.train_labels is not None:
        labels = torch.from_numpy(dataset.train_labels.astype("int64")).to(device)
    sizes = recipe.sizes(dataset.pixels, params.code_size, dataset.classes)
    model = build_model(kind_name(recipe.kind), seed, **sizes).to(device)
    prior = recipe.prior(params.code_size, dataset.classes)
    training = {"seed": seed, "batch_size": params.batch_size, "steps": steps, "shards": Shards(params.shards)}
    try:
        return model.trainer(recipe.settings, images, labels, prior, **training)
    except InputError as error:  # begins with the key within the section
        raise InputError(f"{recipe.name}.{error}") from None


if __name__ == "__main__":
    run_stage(main)
