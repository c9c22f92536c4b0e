"""The checks that apply to every image set, whichever reader it comes from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aae.data import Dataset
from aae.errors import InputError

MOST_CLASSES = 256  # labels are bytes


@dataclass(frozen=True)
class Source:
    """The source of the arrays in messages: `path`, and the name in it of each of `aae.data.ARRAYS`."""

    path: Path
    names: Mapping[str, str]
    separator: str = ": "

    def place(self, array: str) -> str:
        return f"{self.path}{self.separator}{self.names[array]}"


def build_dataset(
    arrays: Mapping[str, np.ndarray], source: Source, classes: int | None, class_names: Sequence[str] | None = None
) -> Dataset:
    """The dataset of `arrays`, checked.

    Args:
        arrays: images uint8 [n, height, width, channels] and, if there are any, labels [n] of an integer type, under
            the names of `aae.data.ARRAYS`.
        source: the source to name in messages.
        classes: the required number of classes. With None, it is the number of names or, without names, the largest
            label plus one.
        class_names: the names of the labels 0, 1, ..., or None to use their numbers.

    Raises:
        InputError: counts, image sizes, labels, `classes` and `class_names` do not fit together.
    """
    parts = ("train", "test")
    for part in parts:
        images, n = f"{part}_images", len(arrays[f"{part}_images"])
        labels = arrays.get(f"{part}_labels")
        if labels is not None and n != len(labels):
            name, other = source.names[images], source.names[f"{part}_labels"]
            raise InputError(f"{source.path}: {name} has {n} images, {other} {len(labels)} labels")
        if n < 2:  # no measure of the match is defined for a single image
            raise InputError(f"{source.place(images)}: {n} {'image' if n == 1 else 'images'}, needed 2 or more")
    train, test = (described(arrays[f"{part}_images"].shape[1:]) for part in parts)
    if train != test:
        raise InputError(f"{source.path}: training images are {train}, test images {test}")
    if "train_labels" not in arrays:
        if classes is not None:
            raise InputError(f"{source.path}: has no labels, but data.classes is {classes}; allowed: auto")
        return Dataset(arrays["train_images"], None, arrays["test_images"], None, class_names=())

    if class_names is not None and classes not in (None, len(class_names)):
        raise InputError(f"{source.path}: has {len(class_names)} class names; data.classes is {classes}")
    count, reason = (classes, "data.classes") if class_names is None else (len(class_names), "class names")
    allowed = count or MOST_CLASSES
    for part in parts:
        labels = arrays[f"{part}_labels"]
        bad = labels[(labels < 0) | (labels >= allowed)]
        if len(bad):
            because = f" ({reason})" if count else ""
            raise InputError(f"{source.place(f'{part}_labels')}: label {bad.max()}, needed 0 to {allowed - 1}{because}")
    train_labels, test_labels = (arrays[f"{part}_labels"].astype(np.uint8) for part in parts)
    if class_names is None:
        count = count or 1 + int(max(train_labels.max(), test_labels.max()))
        class_names = [str(label) for label in range(count)]
    return Dataset(arrays["train_images"], train_labels, arrays["test_images"], test_labels, tuple(class_names))


def described(shape: Sequence[int]) -> str:
    """An image's height, width and channels in words."""
    height, width, channels = shape
    return f"{height} x {width}{'' if channels == 1 else ' in colour'}"


def read_class_names(path: Path) -> list[str] | None:
    """The lines of `path`, one name per label from 0 on, or None if there is no such file."""
    if not path.is_file():
        return None
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text; needed one class name per line") from None
    return checked_class_names([line.strip() for line in lines], path)


def checked_class_names(names: Sequence[str], place: Path | str) -> list[str]:
    """`names` unchanged; raises InputError, which names `place`, if names are repeated or not printable."""
    if not 1 <= len(names) <= MOST_CLASSES:
        raise InputError(f"{place}: {len(names)} class names, needed 1 to {MOST_CLASSES}")
    for i, name in enumerate(names):
        if not name or not name.isprintable():
            raise InputError(f"{place}: class name {i} is {name!r}; needed printable text")
        if name in names[:i]:
            raise InputError(f"{place}: class name {name!r} is repeated")
    return list(names)
