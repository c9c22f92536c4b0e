"""A labelled image set as uint8 arrays, and the folder it is kept in between the stages."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aae.errors import InputError

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


@dataclass(frozen=True)
class Dataset:
    """Images uint8 [n, height, width, channels] and labels uint8 [n] of the training and the test set.

    `class_names` are the names of the labels 0, 1, ...
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return self.train_images.shape[1:]

    @property
    def pixels(self) -> int:
        """Values of an image: height x width x channels."""
        return self.train_images[0].size

    @property
    def classes(self) -> int:
        """How many labels there are."""
        return len(self.class_names)


def save_dataset(dataset: Dataset, folder: Path) -> None:
    """Writes into `folder` a `.npy` file (uint8) for each array and `classes.json`, the names of the labels."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ARRAYS:
        np.save(folder / f"{name}.npy", getattr(dataset, name))
    text = json.dumps(dataset.class_names, ensure_ascii=False)
    (folder / "classes.json").write_text(text + "\n", encoding="utf-8")


def load_dataset(folder: Path) -> Dataset:
    """What `save_dataset` wrote, memory-mapped."""
    arrays = {}
    for name in ARRAYS:
        path = Path(folder) / f"{name}.npy"
        try:
            arrays[name] = np.load(path, mmap_mode="r")
        except (OSError, EOFError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error}); `dvc repro prepare` makes it") from None
    path = Path(folder) / "classes.json"
    try:
        class_names = tuple(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); `dvc repro prepare` makes it") from None
    return Dataset(**arrays, class_names=class_names)
