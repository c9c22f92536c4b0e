"""Stage `train`: one run, a (model, seed), from the prepared images to snapshots, history and timing."""

import json
import platform
import statistics
import time
from pathlib import Path

import aae_native
import torch
from dvclive import Live
from tqdm import tqdm

from aae.data import Dataset, load_dataset
from aae.errors import InputError
from aae.models import build_model
from aae.priors import NormalPrior
from aae.snapshots import save_snapshot
from aae.training import AAETrainer, VAETrainer, train_epoch
from pipeline.cli import run_arguments, run_stage
from pipeline.extension import check_extension
from pipeline.params import Params, load_params
from pipeline.paths import DATA, HISTORY, SNAPSHOTS, TIMING, run_name
from pipeline.prior import build_prior


def main() -> None:
    name, seed = run_arguments()
    params = load_params()
    check_extension()
    device = choose_device(params.device)
    dataset = load_dataset(DATA)
    images = len(dataset.train_images)
    iterations = images // params.batch_size
    if iterations == 0:
        raise InputError(f"batch_size: {params.batch_size} is more than the {images} training images")

    trainer = build_trainer(name, seed, params, dataset, device)
    snapshots = SNAPSHOTS / run_name(name, seed)
    save_snapshot(snapshots, 0, trainer.model)
    seconds = []
    live = Live(str(HISTORY / run_name(name, seed)), dvcyaml=None, save_dvc_exp=False)
    progress = tqdm(total=params.epochs * iterations, desc=run_name(name, seed), unit="it", mininterval=1)
    with live, progress:
        for epoch in range(1, params.epochs + 1):
            start = time.perf_counter()
            losses = train_epoch(trainer, epoch, iterations, progress.update)
            seconds.append(time.perf_counter() - start)
            log_epoch(live, epoch, losses)
            progress.set_postfix({"epoch": epoch} | {key: f"{value:.3f}" for key, value in losses.items()})
            if epoch % params.snapshot_every == 0 or epoch == params.epochs:
                save_snapshot(snapshots, epoch, trainer.model)
    write_timing(run_name(name, seed), device, seconds)


def choose_device(name: str) -> torch.device:
    """The device that `device: auto|cpu|cuda` means on this machine."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device: cuda, but PyTorch sees no CUDA device; allowed here: auto, cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def build_trainer(name: str, seed: int, params: Params, dataset: Dataset, device: torch.device):
    """The trainer of run (name, seed) on the dataset's training images."""
    images = torch.from_numpy(dataset.train_images.reshape(len(dataset.train_images), -1).copy()).to(device)
    settings = (params.aae if name == "aae" else params.vae).model_dump()
    sizes = {"pixels": images.shape[1], "code_size": params.code_size}
    sizes |= {key: settings.pop(key) for key in list(settings) if key.endswith("_widths")}
    settings |= {"seed": seed, "batch_size": params.batch_size}
    if name == "vae":
        prior = NormalPrior(params.code_size, params.prior.normal.std)
        return VAETrainer(build_model(name, seed, **sizes).to(device), images, prior, **settings)
    prior = build_prior(params)
    if params.prior.labels:
        sizes["label_classes"] = prior.classes
        settings["labels"] = torch.from_numpy(dataset.train_labels.astype("int64")).to(device)
    return AAETrainer(build_model(name, seed, **sizes).to(device), images, prior, **settings)


def log_epoch(live: Live, epoch: int, losses: dict[str, float]) -> None:
    """One row of the history."""
    live.step = epoch
    for key, value in losses.items():
        live.log_metric(key, value)
    live.make_summary()


def processor_name() -> str:
    """The processor's name, or its architecture where the system does not tell."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def write_timing(run: str, device: torch.device, seconds: list[float]) -> None:
    """What differs from one repetition to the next, and the machine that it was measured on."""
    timing = {
        "seconds": round(sum(seconds), 2),
        "seconds_per_epoch": round(statistics.median(seconds), 4),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name(),
        "threads": aae_native.get_threads(),
        "instructions": aae_native.build_info()["isa"],
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    TIMING.mkdir(parents=True, exist_ok=True)
    (TIMING / f"{run}.json").write_text(json.dumps(timing, indent=2) + "\n")


if __name__ == "__main__":
    run_stage(main)
