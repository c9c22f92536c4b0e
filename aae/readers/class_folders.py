"""Reading a folder of images: one folder per class, or images without classes."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aae.data import Dataset
from aae.errors import InputError
from aae.readers.checks import Source, build_dataset, checked_class_names
from aae.readers.images import SUFFIXES, read_images
from aae.readers.split import indices_of_test_set

PARTS = ("train", "test")


@dataclass(frozen=True)
class Listed:
    """The images in a folder, and the class of each as an index into `classes`, which is empty without labels."""

    paths: list[Path]
    labels: list[int]
    classes: list[str]


def read_class_folders(
    folder: Path, classes: int | None = None, *, test_fraction: float = 0.2, grey: bool = False
) -> Dataset:
    """Reads the images in `folder`, which holds one of these:

    - `train/` and `test/`, each with one folder per class, or each with images only;
    - one folder per class, or images only; `aae.readers.split` selects `test_fraction` of them as the test set.

    A label is the place of its class in the sorted class names. Images are sorted by class, then by file name. Names
    are sorted by their Unicode code points, in the normal form NFC, so no order depends on the file system. Names that
    begin with a dot are ignored. So are files beside class folders, unless they are images. With `grey`, colour becomes
    grey; `classes` is as in `build_dataset`. Raises InputError, one line that names the file, for anything that is not
    an image or differs in size from the first image.
    """
    folder = Path(folder)
    names = [path.name for path in entries(folder) if path.is_dir()]
    if set(PARTS) <= set(names):
        if others := [name for name in names if name not in PARTS]:
            raise InputError(f"{folder / others[0]}: no other folder is allowed beside train and test")
        train, test = (list_images(folder / part) for part in PARTS)
        for name in test.classes:
            if name not in train.classes:
                raise InputError(f"{folder / 'test' / name}: no such class in {folder / 'train'}")
        if train.classes and not test.classes:
            raise InputError(f"{folder / 'test'}: has no class folders, unlike {folder / 'train'}")
        labels = [train.classes.index(test.classes[label]) for label in test.labels]
        images = read_images([*train.paths, *test.paths], grey)
        return made(folder, images, [*train.labels, *labels], np.arange(len(train.paths), len(images)), train, classes)
    whole = list_images(folder)
    images = read_images(whole.paths, grey)
    return made(folder, images, whole.labels, indices_of_test_set(len(images), test_fraction), whole, classes)


def made(
    folder: Path, images: np.ndarray, labels: Sequence[int], test: np.ndarray, listed: Listed, classes: int | None
) -> Dataset:
    """The dataset of `images`; `test` holds the indices of the test set, ascending."""
    in_test = np.zeros(len(images), bool)
    in_test[test] = True
    arrays = {"train_images": images[~in_test], "test_images": images[in_test]}
    if listed.classes:
        label_array = np.array(labels)
        arrays |= {"train_labels": label_array[~in_test], "test_labels": label_array[in_test]}
    source = Source(folder, {f"{part}_{kind}": f"{part} set" for part in PARTS for kind in ("images", "labels")})
    return build_dataset(arrays, source, classes, listed.classes or None)


def list_images(folder: Path) -> Listed:
    """The images in the class folders of `folder` or, if it has none, in `folder` itself."""
    folders = [path for path in entries(folder) if path.is_dir()]
    if not folders:
        return Listed(images_in(folder), [], [])
    for path in entries(folder):
        if path.is_file() and path.suffix.lower() in SUFFIXES:
            raise InputError(f"{path}: an image beside class folders; allowed: images in class folders, or no folders")
    classes = checked_class_names([unicodedata.normalize("NFC", path.name) for path in folders], folder)
    paths = [images_in(path) for path in folders]
    labels = [label for label, of_class in enumerate(paths) for _ in of_class]
    return Listed([path for of_class in paths for path in of_class], labels, classes)


def images_in(folder: Path) -> list[Path]:
    """The images in `folder`, which may hold nothing else."""
    paths = entries(folder)
    for path in paths:
        if not path.is_file() or path.suffix.lower() not in SUFFIXES:
            raise InputError(f"{path}: not an image by its name; allowed in this folder: *{', *'.join(SUFFIXES)}")
    if not paths:
        raise InputError(f"{folder}: holds no images; needed *{', *'.join(SUFFIXES)}")
    return paths


def entries(folder: Path) -> list[Path]:
    """The contents of `folder` without names that begin with a dot, sorted as `read_class_folders` says.

    Raises InputError for a name with control characters: a terminal would obey them in any message that has the name.
    """
    visible = [path for path in folder.iterdir() if not path.name.startswith(".")]
    for path in visible:
        if re.search(r"[\x00-\x1f\x7f]", path.name):
            raise InputError(f"{folder}: must have no names with control characters; found {path.name!r}")
    return sorted(visible, key=lambda path: (unicodedata.normalize("NFC", path.name), path.name))
