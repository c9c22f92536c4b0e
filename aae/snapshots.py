"""Snapshots: a model's weights at an epoch, one safetensors file each, that say themselves what they hold."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from aae.errors import InputError
from aae.files import write_whole
from aae.models import Autoencoder, find_kind, kind_name


def save_snapshot(folder: Path, epoch: int, model: Autoencoder) -> Path:
    """Writes `model` as snapshot `epoch` of the run in `folder`, with its layer sizes in the file's header."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    # One entry, because safetensors writes several in an order that changes from call to call.
    header = {"model": json.dumps({"name": kind_name(type(model))} | model.sizes)}
    path = folder / f"{epoch:03d}.safetensors"
    write_whole(path, save(weights, header))
    return path


def load_snapshot(path: Path) -> Autoencoder:
    """The model in the file `path`, on the CPU, in evaluation mode."""
    try:
        with safe_open(path, framework="pt") as file:
            sizes = json.loads(file.metadata()["model"])
            with torch.device("meta"):
                model = find_kind(sizes.pop("name"))(**sizes)
            model.load_state_dict({name: file.get_tensor(name) for name in file.keys()}, assign=True)  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not a readable snapshot ({reason}); `dvc repro` makes it again") from None
    return model.eval().requires_grad_(False)


def list_snapshots(folder: Path) -> dict[int, Path]:
    """epoch -> path of every snapshot in `folder`, by epoch."""
    paths = {int(path.stem): path for path in Path(folder).glob("*.safetensors") if path.stem.isdigit()}
    if not paths:
        raise InputError(f"{folder}: no snapshots (needed 000.safetensors and later); `dvc repro` makes them")
    return dict(sorted(paths.items()))
