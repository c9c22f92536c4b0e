"""An image set as uint8 arrays, and the folder that keeps it between stages."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from aae.checksums import LIST, Sums, write_sums
from aae.errors import Damaged
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
    """Writes into `folder` a `.npy` file (uint8) for each array of the set, `classes.json`, the class names, and
    `SHA256SUMS`, the list of these files.

    If one of the first cannot be written, an earlier set in the folder stays as it was.
    """
    arrays = {name: array for name in ARRAYS if (array := getattr(dataset, name)) is not None}
    files: dict[Path, Content] = {folder / f"{name}.npy": partial(np.save, arr=array) for name, array in arrays.items()}
    text = json.dumps(dataset.class_names, ensure_ascii=False)
    files |= {folder / "classes.json": f"{text}\n".encode()}
    write_together(files)
    for name in set(ARRAYS) - set(arrays):
        (folder / f"{name}.npy").unlink(missing_ok=True)  # left by an earlier set
    write_sums(folder / LIST, files)


def load_dataset(folder: Path, contents: Collection[str] = ARRAYS) -> Dataset:
    """Loads what `save_dataset` wrote, memory-mapped; raises InputError if a file is missing or damaged.

    `contents` names the arrays whose elements the caller uses. They are compared with `SHA256SUMS`; of the others, only
    the length is checked.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise Damaged(folder, "no such folder (stage prepare writes data/prepared)")
    sums = Sums(folder / LIST)
    sums.check_presence()
    path = folder / "classes.json"
    try:
        class_names = tuple(json.loads(sums.read(path)))
    except (TypeError, ValueError, RecursionError) as error:
        if isinstance(error, Damaged):
            raise
        raise Damaged(path, f"cannot be read ({error})") from None
    arrays: dict[str, Any] = dict.fromkeys(ARRAYS)
    for name in ARRAYS:
        if name in LABELS and not class_names:
            continue
        path = folder / f"{name}.npy"
        if name in contents:
            sums.check(path)
        try:
            array = np.load(path, mmap_mode="r")
        except (OSError, EOFError, OverflowError, ValueError) as error:
            raise Damaged(path, f"cannot be read ({error})", sums.path) from None
        size = path.stat().st_size
        if size != array.offset + array.nbytes:
            raise Damaged(path, f"{size:,} bytes, but its header says an array of {list(array.shape)}", sums.path)
        arrays[name] = array
    return Dataset(**arrays, class_names=class_names)
