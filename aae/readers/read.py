"""Selects the reader for a path."""

from dataclasses import replace
from pathlib import Path

from aae.data import Dataset
from aae.errors import InputError
from aae.readers.class_folders import entries, read_class_folders
from aae.readers.grey import to_grey
from aae.readers.idx import holds_idx_files, read_idx_folder
from aae.readers.images import SUFFIXES
from aae.readers.npz import read_npz

ALLOWED = "a folder with MNIST's IDX files, an .npz file, or a folder of images"


def read_dataset(path: Path, *, classes: int | None, test_fraction: float, grey: bool) -> Dataset:
    """Reads the image set at `path`, from any of the sources.

    Args:
        path: a folder with a file that has one of MNIST's IDX names, an `.npz` file, or any other folder.
        classes: the required number of classes, or None for as many as the data has.
        test_fraction: the fraction of images that become the test set if a folder of images has no test set.
        grey: whether colour images become grey (`to_grey`).

    Raises:
        InputError: something is missing, damaged or inconsistent. The message is one line.
    """
    path = Path(path)
    if path.is_file():
        if path.suffix != ".npz":
            raise InputError(f"{path}: data.path does not take this file; allowed: {ALLOWED}")
        dataset = read_npz(path, classes)
    elif not path.is_dir():
        raise InputError(f"{path}: no such file or folder; data.path takes {ALLOWED}")
    elif holds_idx_files(path):
        dataset = read_idx_folder(path, classes)
    elif any(each.is_dir() or each.suffix.lower() in SUFFIXES for each in entries(path)):
        return read_class_folders(path, classes, test_fraction=test_fraction, grey=grey)
    else:
        raise InputError(f"{path}: holds no images; data.path takes {ALLOWED}")
    if not grey:
        return dataset
    return replace(dataset, train_images=to_grey(dataset.train_images), test_images=to_grey(dataset.test_images))
