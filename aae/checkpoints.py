"""Checkpoints: everything that an interrupted training needs to resume with the same bits, in a separate folder.

Random numbers are functions of the step, so there is no generator to save. A checkpoint holds tensors and the step.
What grows with every epoch is in other files of the folder. The checkpoint holds their lengths and digests, so its size
does not depend on the number of epochs.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from aae.files import begins_with, write_whole

KEPT = 2  # the last checkpoint, and the one before in case the last is damaged


@dataclass(frozen=True)
class Checkpoint:
    """The training after `step` iterations: named tensors, and `notes`, which JSON can hold.

    `files` has the mark of each file that belongs to it: name in the folder -> length and SHA-256, as
    `aae.files.GrowingFile.mark` gives them.
    """

    step: int
    tensors: dict[str, Tensor]
    notes: dict[str, Any]
    files: dict[str, tuple[int, str]] = field(default_factory=dict)


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes `checkpoint` into `folder` and removes all but it and the one before.

    It also removes later ones: the training did not continue from them, because they are damaged.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    header: dict[str, Any] = {"step": checkpoint.step, "notes": checkpoint.notes, "files": checkpoint.files}
    header["digest"] = digest(header, tensors)
    path = folder / file_name(checkpoint.step)
    write_whole(path, save(tensors, {"checkpoint": json.dumps(header)}))
    found = newest_first(folder)
    place = found.index(path)
    for each in found[:place] + found[place + KEPT :]:
        each.unlink()


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest undamaged checkpoint in `folder` whose files are undamaged, on the CPU, or None if there is none."""
    for path in newest_first(folder):
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads(file.metadata()["checkpoint"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if header.pop("digest") != digest(header, tensors) or path.name != file_name(header["step"]):
                continue
            files = {name: (length, sha256) for name, (length, sha256) in header["files"].items()}
            if all(begins_with(folder / name, mark) for name, mark in files.items()):
                return Checkpoint(header["step"], tensors, header["notes"], files)
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


def digest(header: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """SHA-256 of everything that is read back: a file of the right length may still have lost content.

    It covers the header and the name, dtype, shape and bytes of each tensor.
    """
    content = hashlib.sha256(json.dumps(header).encode())
    for name in sorted(tensors):
        array = tensors[name].numpy()
        content.update(json.dumps([name, str(array.dtype), array.shape]).encode())
        content.update(array.tobytes())
    return content.hexdigest()
