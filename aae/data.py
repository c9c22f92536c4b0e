"""An image set as uint8 arrays, and the folder that keeps it between stages."""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from aae.errors import InputError
from aae.files import Content, write_together

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
LABELS = ("train_labels", "test_labels")  # missing in a set without labels


@dataclass(frozen=True)
class Dataset:
    """Images uint8 [n, height, width, channels] and labels uint8 [n] of the training and the test set.

    An image has one channel (grey) or three (colour). `class_names` are the names of the labels 0, 1, ... A set without
    labels has None in place of both label arrays, and no class names.
    """

    train_images: np.ndarray
    train_labels: np.ndarray | None
    test_images: np.ndarray
    test_labels: np.ndarray | None
    class_names: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return self.train_images.shape[1:]

    @property
    def picture_shape(self) -> tuple[int, ...]:
        """The shape of an image in pictures: [height, width], or [height, width, channels] in colour."""
        return self.shape if self.shape[2] > 1 else self.shape[:2]

    @property
    def pixels(self) -> int:
        """The number of values in an image: height x width x channels."""
        return self.train_images[0].size

    @property
    def classes(self) -> int:
        """The number of classes, 0 for a set without labels."""
        return len(self.class_names)


def save_dataset(dataset: Dataset, folder: Path) -> None:
    """Writes into `folder` a `.npy` file (uint8) for each array of the set, and `classes.json`, the class names.

    If that fails, an earlier set in the folder stays as it was.
    """
    arrays = {name: array for name in ARRAYS if (array := getattr(dataset, name)) is not None}
    files: dict[Path, Content] = {folder / f"{name}.npy": partial(np.save, arr=array) for name, array in arrays.items()}
    text = json.dumps(dataset.class_names, ensure_ascii=False)
    write_together(files | {folder / "classes.json": f"{text}\n".encode()})
    for name in set(ARRAYS) - set(arrays):
        (folder / f"{name}.npy").unlink(missing_ok=True)  # left by an earlier set


def load_dataset(folder: Path) -> Dataset:
    """Loads what `save_dataset` wrote, memory-mapped; raises InputError if a file is missing or damaged."""
    path = Path(folder) / "classes.json"
    try:
        class_names = tuple(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); `dvc repro prepare` makes it") from None
    arrays: dict[str, Any] = dict.fromkeys(ARRAYS)
    for name in ARRAYS:
        if name in LABELS and not class_names:
            continue
        path = Path(folder) / f"{name}.npy"
        try:
            arrays[name] = np.load(path, mmap_mode="r")
        except (OSError, EOFError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error}); `dvc repro prepare` makes it") from None
    return Dataset(**arrays, class_names=class_names)
