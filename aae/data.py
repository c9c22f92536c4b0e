"""A labelled image set as uint8 arrays, and the folder it is kept in between the stages."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from aae.errors import InputError


@dataclass(frozen=True)
class Dataset:
    """Images uint8 [n, height, width] and labels uint8 [n] of the training and the test set."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def save_dataset(dataset: Dataset, folder: Path) -> None:
    """Writes one `.npy` file (uint8) an array into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for field in fields(dataset):
        np.save(folder / f"{field.name}.npy", getattr(dataset, field.name))


def load_dataset(folder: Path) -> Dataset:
    """What `save_dataset` wrote, memory-mapped."""
    arrays = {}
    for field in fields(Dataset):
        path = Path(folder) / f"{field.name}.npy"
        try:
            arrays[field.name] = np.load(path, mmap_mode="r")
        except (OSError, EOFError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error}); `dvc repro prepare` makes it") from None
    return Dataset(**arrays)
