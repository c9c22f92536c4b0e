"""A labelled image set: read from a folder of four IDX files, kept as uint8 arrays."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from aae.errors import InputError
from aae.idx import parse_idx, read_bytes, sha256

IDX_FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}


@dataclass(frozen=True)
class Dataset:
    """Images uint8 [n, height, width] and labels uint8 [n] of the training and the test set."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def read_idx_folder(folder: Path, classes: int) -> Dataset:
    """The dataset in `folder`: MNIST's four file names, each raw or with `.gz`.

    A file `SHA256SUMS` in the folder, if there is one, must agree with the uncompressed contents. Raises
    InputError in one line for anything missing, damaged or inconsistent, and for labels not below `classes`.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; data.path needs one with the four IDX files")
    sums = read_checksums(folder / "SHA256SUMS")
    arrays = {}
    for key, name in IDX_FILES.items():
        path = next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
        if path is None:
            raise InputError(f"{folder / name}: missing, and so is {name}.gz")
        content = read_bytes(path)
        arrays[key] = parse_idx(content, ndim=3 if key.endswith("images") else 1, name=str(path))
        if name in sums and sha256(content) != sums[name]:
            raise InputError(f"{path}: SHA-256 of the content is {sha256(content)}, needed {sums[name]}")
    dataset = Dataset(**arrays)
    check_consistency(dataset, folder, classes)
    return dataset


def read_checksums(path: Path) -> dict[str, str]:
    """name -> SHA-256 from a file in the format of `sha256sum`; empty where there is no such file."""
    if not path.is_file():
        return {}
    lines = [line.split() for line in path.read_text().splitlines() if line.strip()]
    if any(len(line) != 2 or len(line[0]) != 64 for line in lines):
        raise InputError(f"{path}: needed lines of a SHA-256 in hexadecimal and a file name")
    return {name.removeprefix("*"): digest.lower() for digest, name in lines}


def check_consistency(dataset: Dataset, folder: Path, classes: int) -> None:
    """Raises InputError unless counts, image sizes and labels fit together."""
    for part in ("train", "test"):
        images, labels = getattr(dataset, f"{part}_images"), getattr(dataset, f"{part}_labels")
        image_file, label_file = IDX_FILES[f"{part}_images"], IDX_FILES[f"{part}_labels"]
        if len(images) != len(labels):
            raise InputError(f"{folder}: {image_file} has {len(images)} images, {label_file} {len(labels)} labels")
        if images.size == 0:
            raise InputError(f"{folder / image_file}: no pixels (shape {images.shape})")
        if labels.max() >= classes:
            raise InputError(f"{folder / label_file}: label {labels.max()}, needed 0 to {classes - 1} (data.classes)")
    if dataset.train_images.shape[1:] != dataset.test_images.shape[1:]:
        train, test = (f"{h} x {w}" for _, h, w in (dataset.train_images.shape, dataset.test_images.shape))
        raise InputError(f"{folder}: training images are {train}, test images {test}")


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
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error}); `dvc repro prepare` makes it") from None
    return Dataset(**arrays)
