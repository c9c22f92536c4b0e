"""Snapshots: a model's weights at an epoch, in one self-describing safetensors file each.

The header of a file holds one entry, `config`: the model's kind and sizes, the prior that it was trained for, the shape
of its images and the names of the classes, as JSON. `config.json` beside the files holds the same. When a training is
done, `SHA256SUMS` lists all of them.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from aae.checksums import LIST, Sums, check_if_listed
from aae.errors import Damaged, InputError
from aae.files import write_whole
from aae.models import Autoencoder, find_kind, kind_name
from aae.priors import Prior, make_prior


@dataclass(frozen=True)
class Metadata:
    """What a model was trained for. `image_shape` is height, width and channels; `class_names` are the names of the
    labels 0, 1, ...
    """

    prior: Prior
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]


def save_snapshot(folder: Path, epoch: int, model: Autoencoder, metadata: Metadata) -> Path:
    """Writes `model` as snapshot `epoch` of the run in `folder`, and `config.json`; returns the snapshot's path."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    config = to_config(model, metadata)
    path = folder / f"{epoch:03d}.safetensors"
    # A single entry, because safetensors writes several in an order that changes from call to call.
    write_whole(path, save(weights, {"config": json.dumps(config)}))
    write_whole(folder / "config.json", (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode())
    return path


def load_snapshot(path: Path) -> Autoencoder:
    """Loads the model in the file `path`, on the CPU, in evaluation mode; raises InputError if it cannot be read."""
    return load_with_metadata(path)[0]


def load_with_metadata(path: Path) -> tuple[Autoencoder, Metadata]:
    """Loads the model in the file `path` like `load_snapshot`, and what it was trained for.

    If `SHA256SUMS` in the same folder lists the file, it must be as listed.
    """
    try:
        content = path.read_bytes()
        check_if_listed(path, content)
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__", {})
        if "config" not in header:
            raise ValueError("its header has no config")
        config = json.loads(header["config"])
        metadata = from_config(config)
        with torch.device("meta"):
            model = find_kind(config["kind"])(**config["sizes"])
        if math.prod(metadata.image_shape) != model.pixels:
            raise ValueError(f"the model has {model.pixels} pixels; images have the shape {metadata.image_shape}")
        model.load_state_dict(tensors, assign=True)
    except Damaged:
        raise
    except Exception as error:  # the numbers and names of a foreign header reach the model's constructor
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        if isinstance(error, OSError):
            reason = error.strerror or reason
        elif isinstance(error, KeyError):
            reason = f"its config has no {error}"
        reason = reason[:200] if reason.isprintable() else ascii(reason)[:200]
        raise Damaged(path, f"not a readable snapshot ({reason})") from None
    return model.eval().requires_grad_(False), metadata


def list_snapshots(folder: Path) -> dict[int, Path]:
    """epoch -> path of every snapshot in `folder`, in order of epoch; raises InputError if there is none."""
    paths = {int(path.stem): path for path in Path(folder).glob("*") if is_snapshot(path)}
    if not paths:
        raise InputError(f"{folder}: no snapshots (needed 000.safetensors and later); `dvc repro` makes them")
    return dict(sorted(paths.items()))


def is_snapshot(path: Path) -> bool:
    """Whether a file has the name of a snapshot."""
    return path.suffix == ".safetensors" and path.stem.isdigit()


def listed_snapshots(folder: Path) -> dict[int, Path]:
    """`list_snapshots` of a training that is done: raises InputError if they are not all those that `SHA256SUMS` lists.

    `load_snapshot` compares their contents with the list.
    """
    snapshots, sums = list_snapshots(folder), Sums(folder / LIST)
    sums.check_presence()
    for path in snapshots.values():
        if path not in sums:
            raise Damaged(path, f"{LIST} does not list it", sums.path)
    return snapshots


def last_snapshot(folder: Path) -> Path:
    """The last snapshot in `folder`; raises InputError if there is none, or if `SHA256SUMS` lists a later one."""
    snapshots = list_snapshots(folder)
    epoch = max(snapshots)
    if (folder / LIST).is_file():
        for file in Sums(folder / LIST).files:
            if is_snapshot(file) and int(file.stem) > epoch:
                raise Damaged(file, f"missing, but {LIST} lists it", folder / LIST)
    return snapshots[epoch]


def to_config(model: Autoencoder, metadata: Metadata) -> dict[str, Any]:
    """The model's kind, sizes and metadata, for JSON."""
    return {
        "kind": kind_name(type(model)),
        "sizes": model.sizes,
        "prior": metadata.prior.description,
        "image_shape": list(metadata.image_shape),
        "class_names": list(metadata.class_names),
    }


def from_config(config: dict[str, Any]) -> Metadata:
    """The metadata in a result of `to_config`. Raises KeyError, TypeError or ValueError for anything else."""
    height, width, channels = map(int, config["image_shape"])
    names = tuple(map(str, config["class_names"]))
    return Metadata(make_prior(**config["prior"]), (height, width, channels), names)
