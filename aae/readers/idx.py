"""Reading a folder of IDX files, MNIST's format, gzipped or raw (http://yann.lecun.com/exdb/mnist/)."""

import gzip
import hashlib
import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from aae.checksums import Sums
from aae.data import Dataset
from aae.errors import InputError
from aae.readers.checks import Source, build_dataset, read_class_names

IDX_FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}

PIECE = 2**20  # bytes decompressed at a time
UINT8 = 0x08  # the IDX type code of unsigned bytes, the only type that MNIST-like sets use


def holds_idx_files(folder: Path) -> bool:
    """Whether a file in `folder` has one of MNIST's names."""
    return any((folder / f"{name}{suffix}").is_file() for name in IDX_FILES.values() for suffix in ("", ".gz"))


def read_idx_folder(folder: Path, classes: int | None = None) -> Dataset:
    """The dataset in `folder`: MNIST's four files, each raw or with `.gz`, as in torchvision's `MNIST/raw`.

    The two label files may both be missing. The class names are the lines of `classes.txt` or, if there is no such
    file, the labels' numbers; `classes` is as in `build_dataset`. If the folder has a file `SHA256SUMS`, it must agree
    with the files that it names; a name without `.gz` refers to the uncompressed content. Raises InputError, one line,
    for anything missing, damaged or inconsistent.
    """
    folder = Path(folder)
    sums = read_checksums(folder / "SHA256SUMS")
    paths = {key: found(folder / name) for key, name in IDX_FILES.items()}
    if paths["train_labels"] is None and paths["test_labels"] is None:
        del paths["train_labels"], paths["test_labels"]
    arrays = {}
    for key, path in paths.items():
        name = IDX_FILES[key]
        if path is None:
            raise InputError(f"{folder / name}: missing, and so is {name}.gz")
        raw = path.read_bytes()
        ndim = 3 if key.endswith("images") else 1
        content = decompressed(raw, path, ndim)
        arrays[key] = parse_idx(content, ndim, name=str(path))
        for listed, text in ((name, content), (path.name, raw)):
            if listed in sums and sha256(text) != sums[listed]:
                raise InputError(f"{path}: SHA-256 of {listed} is {sha256(text)}, needed {sums[listed]}")
    for key in ("train_images", "test_images"):
        arrays[key] = arrays[key][..., None]  # grey: one channel
    source = Source(folder, IDX_FILES, separator="/")
    return build_dataset(arrays, source, classes, read_class_names(folder / "classes.txt"))


def found(path: Path) -> Path | None:
    """The file `path`, or else the file with `.gz` appended to its name, or else None."""
    return next((each for each in (path, path.with_name(f"{path.name}.gz")) if each.is_file()), None)


def read_checksums(path: Path) -> dict[str, str]:
    """name -> SHA-256 from a file in the format of `sha256sum`; empty if there is no such file."""
    if not path.is_file():
        return {}
    return Sums(path).sums


def decompressed(content: bytes, path: Path, ndim: int) -> bytes:
    """The content of the file `path`, decompressed if it is gzipped.

    Stops one byte after the size that the IDX header needs, so that a small file cannot fill the memory.
    """
    if content[:2] != b"\x1f\x8b":
        return content
    header = 4 + 4 * ndim
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            data = bytearray(file.read(header))
            limit = header + 1
            if len(data) == header:
                limit = header + math.prod(struct.unpack(f">{ndim}I", data[4:])) + 1
            # In pieces: one read would allocate what the header claims.
            while piece := file.read(min(PIECE, limit - len(data))):
                data += piece
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path}: damaged gzip file: {error}") from None
    return bytes(data)


def parse_idx(content: bytes, ndim: int, name: str) -> np.ndarray:
    """The array in `content`, an IDX file of unsigned bytes with `ndim` dimensions.

    Messages call the file `name`. Returns a read-only uint8 array that shares memory with `content`. Raises InputError
    if the magic number, the type, the number of dimensions or the length is wrong.
    """
    header = 4 + 4 * ndim
    if len(content) < header:
        raise InputError(f"{name}: truncated: {len(content)} bytes, but the IDX header alone takes {header}")
    zeros, dtype, found_ndim = struct.unpack(">HBB", content[:4])
    if zeros != 0:
        raise InputError(f"{name}: not an IDX file: magic number 0x{content[:4].hex()}, needed 0x000008{ndim:02x}")
    if dtype != UINT8:
        raise InputError(f"{name}: IDX type 0x{dtype:02x}, needed 0x08 (unsigned byte)")
    if found_ndim != ndim:
        raise InputError(f"{name}: {found_ndim} dimensions, needed {ndim}")
    shape = struct.unpack(f">{ndim}I", content[4:header])
    expected = header + math.prod(shape)
    if len(content) != expected:
        state = "truncated" if len(content) < expected else "too long"
        size = " x ".join(map(str, shape))
        raise InputError(f"{name}: {state}: {len(content)} bytes, but its header says {size}, needed {expected}")
    if 0 in shape:
        raise InputError(f"{name}: empty: its header says {' x '.join(map(str, shape))}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def sha256(content: bytes) -> str:
    """The SHA-256 of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
