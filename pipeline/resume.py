"""Interrupting a training, and the folder from which it resumes."""

import hashlib
import json
import signal
from pathlib import Path

import aae_native
import torch

from aae.data import Dataset
from pipeline.params import Params
from pipeline.paths import SCRATCH, run_name

USED = {
    "epochs",
    "snapshot_every",
    "batch_size",
    "code_size",
    "precision",
    "deterministic",
    "shards",
}  # in addition to the model's section


def scratch_folder(name: str, seed: int, params: Params, dataset: Dataset, device: torch.device) -> Path:
    """The folder of run (name, seed) for these parameters, data, code and type of device."""
    parameters = params.model_dump(include=USED | {name})
    content = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    content.update(json.dumps(dataset.class_names).encode())
    for array in (dataset.train_images, dataset.train_labels, dataset.test_images):
        if array is not None:
            content.update(hashlib.sha256(array.data).digest())
    for path in sorted([*Path("aae").rglob("*.py"), *Path("pipeline").glob("*.py")]):
        content.update(path.read_bytes())
    content.update(f"{aae_native.build_info()['source_digest']} {torch.__version__} {device.type}".encode())
    return SCRATCH / run_name(name, seed) / content.hexdigest()[:16]


class Interruption:
    """Turns Ctrl-C and a termination signal into a flag, so that training stops between two iterations."""

    def __init__(self) -> None:
        self.requested = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._request)

    def _request(self, *_: object) -> None:
        self.requested = True
