"""Checkpoints: everything that an interrupted training needs to resume with the same bits, in a separate folder.

Random numbers are functions of the step, so there is no generator to save. A checkpoint holds tensors, the step and
the losses so far.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from aae.files import write_whole

KEPT = 2  # the last checkpoint, and the one before in case the last is damaged


@dataclass(frozen=True)
class Checkpoint:
    """The training after `step` iterations: named tensors, and `notes`, which JSON can hold."""

    step: int
    tensors: dict[str, Tensor]
    notes: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes `checkpoint` into `folder` and removes all but the newest few."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    header: dict[str, Any] = {"step": checkpoint.step, "notes": checkpoint.notes}
    header["digest"] = digest(header["step"], header["notes"], tensors)
    write_whole(folder / file_name(checkpoint.step), save(tensors, {"checkpoint": json.dumps(header)}))
    for path in newest_first(folder)[KEPT:]:
        path.unlink()


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest undamaged checkpoint in `folder`, on the CPU, or None if there is none."""
    for path in newest_first(folder):
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads(file.metadata()["checkpoint"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            step, notes = header["step"], header["notes"]
            if path.name == file_name(step) and header["digest"] == digest(step, notes, tensors):
                return Checkpoint(step, tensors, notes)
        except (OSError, SafetensorError, TypeError, KeyError, ValueError):
            continue
    return None


def remove_checkpoints(folder: Path) -> None:
    """Removes the checkpoints, so a training starts again even if the rest of `folder` is only partly deleted."""
    for path in newest_first(folder):
        path.unlink()


def file_name(step: int) -> str:
    return f"{step:012d}.safetensors"


def newest_first(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, newest first, damaged or not."""
    return sorted(folder.glob("*.safetensors"), reverse=True)


def digest(step: int, notes: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """SHA-256 of everything that is read back: a file of the right length may still have lost content.

    It covers the name, dtype, shape and bytes of each tensor.
    """
    content = hashlib.sha256(json.dumps([step, notes]).encode())
    for name in sorted(tensors):
        array = tensors[name].numpy()
        content.update(json.dumps([name, str(array.dtype), array.shape]).encode())
        content.update(array.tobytes())
    return content.hexdigest()
