"""Interrupting a training, and the folder from which it resumes."""

import hashlib
import io
import json
import signal
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import aae_native
import numpy as np
import torch

from aae.checkpoints import Checkpoint, load_checkpoint, remove_checkpoints, save_checkpoint
from aae.checksums import line_of, parse_sums
from aae.data import Dataset
from aae.files import GrowingFile, is_whole, sha256_of
from aae.snapshots import Metadata, save_snapshot
from aae.trainer import Trainer
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
    root = Path(__file__).parents[1]
    for path in sorted([*root.glob("aae/**/*.py"), *root.glob("pipeline/*.py")]):
        content.update(path.read_bytes())
    content.update(f"{aae_native.build_info()['source_digest']} {torch.__version__} {device.type}".encode())
    return SCRATCH / run_name(name, seed) / content.hexdigest()[:16]


@dataclass(frozen=True)
class Epoch:
    """What is noted of an epoch: its losses, and how long it took with how many threads."""

    losses: dict[str, float]
    seconds: float
    threads: int


class Progress:
    """All that a training has done so far, in its scratch folder.

    Snapshots, and three files that grow: `epochs.jsonl` has a line for each epoch, `codes.npy` the encoder's outputs
    for the test images, before training and after each epoch, and `snapshots/SHA256SUMS` the digests of the snapshots.
    A checkpoint holds the length and the digest of each of the three. So neither the time that an epoch takes nor the
    memory depends on the number of epochs before it, and everything that is read back is verified.

    Args:
        folder: the scratch folder, see `scratch_folder`.
        epochs: of the whole training.
    """

    def __init__(self, folder: Path, epochs: int):
        self.folder, self.snapshots, self.total = folder, folder / "snapshots", epochs
        self.checkpoint = load_checkpoint(folder)  # where the training resumes
        self.open_files()
        if self.checkpoint and not all(is_whole(path, digest) for path, digest in self.listed_snapshots()):
            self.checkpoint = None
            self.open_files()
        if not self.checkpoint:
            remove_checkpoints(folder)

    def open_files(self) -> None:
        """Opens the files that grow, and cuts off what the checkpoint does not know."""
        marks = self.checkpoint.files if self.checkpoint else {}

        def opened(name: str) -> GrowingFile:
            return GrowingFile(self.folder / name, marks[name][0] if marks else 0)

        self.files = {name: opened(name) for name in ("epochs.jsonl", "codes.npy", "snapshots/SHA256SUMS")}
        self.log, self.codes, self.sums = self.files.values()

    def add_epoch(self, epoch: Epoch) -> None:
        """Notes the next epoch."""
        self.log.append(f"{json.dumps(asdict(epoch))}\n".encode())

    def epochs(self) -> Iterator[Epoch]:
        """The epochs so far, from the first."""
        with open(self.log.path, encoding="utf-8") as file:
            for line in file:
                yield Epoch(**json.loads(line))

    def add_codes(self, outputs: np.ndarray) -> None:
        """Adds the encoder's outputs [test images, outputs], float32, of the next epoch; the first are of epoch 0."""
        if not self.codes.length:
            self.codes.append(npy_header((self.total + 1, *outputs.shape), outputs.dtype))
        self.codes.append(np.ascontiguousarray(outputs).tobytes())

    def add_snapshot(self, epoch: int, trainer: Trainer, metadata: Metadata) -> Path:
        """Saves the snapshot of `epoch`; returns its path."""
        path = save_snapshot(self.snapshots, epoch, trainer.published(), metadata)
        for each in (path,) if self.sums.length else (path, path.with_name("config.json")):
            self.sums.append(line_of(sha256_of(each), each.name))
        return path

    def listed_snapshots(self) -> Iterator[tuple[Path, str]]:
        """Path and digest of every snapshot that `SHA256SUMS` lists, and of `config.json`."""
        for name, digest in parse_sums(self.sums.path.read_bytes()).items():
            yield self.snapshots / name, digest

    def save(self, trainer: Trainer, epochs: int, spent: float) -> None:
        """Writes a checkpoint, `spent` seconds after epoch `epochs` was done."""
        files = {name: file.mark() for name, file in self.files.items()}
        save_checkpoint(
            self.folder, Checkpoint(trainer.step, trainer.state(), {"epochs": epochs, "spent": spent}, files)
        )


def npy_header(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    """What a `.npy` file of an array begins with. The array's bytes, row by row, follow."""
    header = io.BytesIO()
    description = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, description)
    return header.getvalue()


class Interruption:
    """Turns Ctrl-C and a termination signal into a flag, so that training stops between two iterations."""

    def __init__(self) -> None:
        self.requested = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._request)

    def _request(self, *_: object) -> None:
        self.requested = True
