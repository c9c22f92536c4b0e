"""Reading the IDX format of the MNIST files, gzipped or raw (http://yann.lecun.com/exdb/mnist/)."""

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from aae.errors import InputError

UINT8 = 0x08  # the IDX type code of unsigned bytes, the only type that MNIST-like sets use


def read_bytes(path: Path) -> bytes:
    """The file's content, decompressed if it is gzipped."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path}: damaged gzip file: {error}") from None


def parse_idx(content: bytes, ndim: int, name: str) -> np.ndarray:
    """The array in `content`, an IDX file of unsigned bytes with `ndim` dimensions.

    `name` is how messages call the file. Returns a read-only uint8 array that shares memory with `content`.
    Raises InputError where magic number, type, number of dimensions or length are not as they should be.
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
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def sha256(content: bytes) -> str:
    """The SHA-256 of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
