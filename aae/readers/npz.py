"""Reading an `.npz` file with Keras's array names."""

import math
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from aae.data import Dataset
from aae.errors import InputError
from aae.readers.checks import Source, build_dataset, checked_class_names

NPZ_NAMES = {"train_images": "x_train", "train_labels": "y_train", "test_images": "x_test", "test_labels": "y_test"}
CLASS_NAMES = "class_names"


def read_npz(path: Path, classes: int | None = None) -> Dataset:
    """The dataset in the file `path`, an uncompressed or compressed `.npz`.

    It holds `x_train` and `x_test`, uint8 [n, height, width] or [n, height, width, 1 or 3], and the labels `y_train`
    and `y_test`, integers [n] or [n, 1], which may both be missing. `class_names`, an array of strings, may name the
    labels; `classes` is as in `build_dataset`. Other arrays are ignored. Nothing is unpickled, and the size in an
    array's header must be the size of its member in the file. Raises InputError, one line, for anything else.
    """
    path = Path(path)
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # the parsers raise several kinds for damaged files
        raise InputError(f"{path}: not a readable .npz file ({error})") from None
    with archive:
        members = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}
        wanted = dict(NPZ_NAMES)
        if not {"y_train", "y_test"} & members.keys():
            del wanted["train_labels"], wanted["test_labels"]
        for name in wanted.values():
            if name not in members:
                found = ", ".join(sorted(members)) or "no array"
                raise InputError(f"{path}: {name} is missing; found {ascii(found)[1:-1]}")
        arrays = {key: read_array(archive, members[name], path, name) for key, name in wanted.items()}
        names = None
        if CLASS_NAMES in members and "train_labels" in wanted:
            names = read_array(archive, members[CLASS_NAMES], path, CLASS_NAMES).tolist()
            names = checked_class_names(names, f"{path}: {CLASS_NAMES}")
    return build_dataset(arrays, Source(path, NPZ_NAMES), classes, names)


def read_array(archive: zipfile.ZipFile, member: str, path: Path, name: str) -> np.ndarray:
    """The array `name`, checked before it is read: images [n, height, width, channels], labels or names [n]."""
    place = f"{path}: {name}"
    try:
        with archive.open(member) as file:
            version = npy.read_magic(file)
            read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
            shape, _, dtype = read_header(file)
            size, needed = archive.getinfo(member).file_size, file.tell() + math.prod(shape) * dtype.itemsize
            if not dtype.hasobject and size != needed:
                raise InputError(f"{place}: {size} bytes, but its header says {list(shape)} of {dtype}, {needed} bytes")
        check_kind(name, shape, dtype, place)
        with archive.open(member) as file:
            array = npy.read_array(file, allow_pickle=False)
    except InputError:
        raise
    except Exception as error:  # zlib, struct and NumPy raise different errors for damaged files
        reason = " ".join(str(error).split())
        raise InputError(f"{place}: not a readable array ({reason})") from None
    array = np.ascontiguousarray(array)
    if not name.startswith("x_"):
        return array.reshape(-1)
    return array[..., None] if array.ndim == 3 else array


def check_kind(name: str, shape: tuple[int, ...], dtype: np.dtype, place: str) -> None:
    """Raises InputError if `dtype` or `shape` is not allowed for the array `name`."""
    if name.startswith("x_"):
        if dtype != np.uint8:
            raise InputError(f"{place}: {dtype}, needed uint8: pixels are 0 to 255")
        if not (len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))) or 0 in shape:
            needed = "[n, height, width], or with a last axis of 1 or 3 channels"
            raise InputError(f"{place}: shape {list(shape)}, needed {needed}")
        return
    kinds, needed = ("U", "strings") if name == CLASS_NAMES else ("iu", "integers")
    if dtype.kind not in kinds:
        raise InputError(f"{place}: {dtype}, needed {needed}")
    if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
        raise InputError(f"{place}: shape {list(shape)}, needed [n] or [n, 1]")
