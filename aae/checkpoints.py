"""Checkpoints: all that an interrupted training needs to go on to the same bits, in a folder of its own.

Random numbers are functions of the step, so there is no generator to save: tensors, the step and the losses so far.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from aae.files import write_whole

KEPT = 2  # a checkpoint and, should it turn out to be damaged, the one before


@dataclass(frozen=True)
class Checkpoint:
    """The training after `step` iterations: named tensors, and `notes`, which JSON can hold."""

    step: int
    tensors: dict[str, Tensor]
    notes: dict


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes `checkpoint` into `folder` and removes all but the newest few."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    header = {"step": checkpoint.step, "notes": checkpoint.notes, "digest": digest(tensors)}
    write_whole(folder / f"{checkpoint.step:012d}.safetensors", save(tensors, {"checkpoint": json.dumps(header)}))
    for path in newest_first(folder)[KEPT:]:
        path.unlink()


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint in `folder` that is whole, on the CPU, or None if there is none."""
    for path in newest_first(folder):
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads(file.metadata()["checkpoint"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, TypeError, KeyError, ValueError):
            continue
        if digest(tensors) == header["digest"]:
            return Checkpoint(header["step"], tensors, header["notes"])
    return None


def remove_checkpoints(folder: Path) -> None:
    """Takes back that a training can go on from `folder`: it begins anew, whatever else of it goes and when."""
    for path in newest_first(folder):
        path.unlink()


def newest_first(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, whole or not."""
    return sorted(folder.glob("*.safetensors"), reverse=True)


def digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 of the tensors' content: a file of the right length may still have lost some of it."""
    content = hashlib.sha256()
    for name in sorted(tensors):
        content.update(name.encode())
        content.update(tensors[name].numpy().tobytes())
    return content.hexdigest()
