"""Mutated data: a reader gives a dataset or InputError, in one printable line."""

import gzip
import io
import os
import random
import struct
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from PIL import Image

from aae.errors import InputError
from aae.readers.idx import IDX_FILES, decompressed, parse_idx
from aae.readers.npz import read_npz
from aae.readers.read import read_dataset
from pipeline.params import LARGEST_FILE, load_params
from tests.fuzz.mutations import INPUTS, count_refused, mutated

IMAGES = struct.pack(">HBBIII", 0, 8, 3, 2, 3, 3) + bytes(range(18))


def npz() -> bytes:
    file = io.BytesIO()
    images, labels = np.zeros((2, 3, 3), np.uint8), np.arange(2)
    np.savez(file, x_train=images, y_train=labels, x_test=images, y_test=labels)
    return file.getvalue()


def read_idx(content, path):
    return parse_idx(decompressed(content, path, 3), 3, str(path))


def read_npz_of(content, path):
    path.write_bytes(content)
    return read_npz(path)


@pytest.mark.parametrize(
    ("read", "content"),
    [(read_idx, IMAGES), (read_idx, gzip.compress(IMAGES, mtime=0)), (read_npz_of, npz())],
    ids=["idx", "idx.gz", "npz"],
)
def test_a_mutated_file_is_read_or_refused_in_one_line(read, content, tmp_path):
    dice, path = random.Random(0), tmp_path / "data"
    inputs = (mutated(content, dice) for _ in range(INPUTS))
    assert count_refused(lambda data: read(data, path), inputs) > INPUTS / 4


def picture(suffix: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.arange(35, dtype=np.uint8).reshape(5, 7)).save(file, suffix)
    return file.getvalue()


@pytest.mark.parametrize("name", ["0.png", "1.png", "1.jpeg", "1.bmp", "1.webp", "1.ppm"])
def test_a_folder_with_a_mutated_image_is_read_or_refused_in_one_line(name, tmp_path):
    """The first image gives the size of the others. All become grey, because WebP has only colour."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for each in ("0.png", "2.png"):
            (tmp_path / folder / each).write_bytes(picture("png"))
    dice, path, content = random.Random(0), tmp_path / "a" / name, picture(name.partition(".")[2])

    def read(data: bytes) -> None:
        path.write_bytes(data)
        read_dataset(tmp_path, classes=None, test_fraction=0.5, grey=True)

    read(content)
    assert count_refused(read, (mutated(content, dice) for _ in range(INPUTS))) > INPUTS / 20


@pytest.mark.parametrize("claimed", [(2, 3, 3), (2**31, 3, 3)])
def test_a_gzip_bomb_or_a_huge_claim_is_refused_in_little_memory(tmp_path, claimed):
    extra = bytes(2**29 if claimed[0] == 2 else 9)
    path = tmp_path / f"{IDX_FILES['train_images']}.gz"
    path.write_bytes(gzip.compress(struct.pack(">HBBIII", 0, 8, 3, *claimed) + extra, 1))
    del extra
    for key in ("train_labels", "test_images", "test_labels"):
        (tmp_path / IDX_FILES[key]).write_bytes(b"")
    script = f"""
        import resource, pathlib
        from aae.errors import InputError
        from aae.readers.idx import read_idx_folder
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
        try:
            read_idx_folder(pathlib.Path({str(tmp_path)!r}))
        except InputError as error:
            print(error)
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert ("too long" if claimed[0] == 2 else "truncated") in run.stdout


def test_params_yaml_that_is_no_regular_file_or_too_large_is_refused(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("fifo", "zero"):
        with pytest.raises(InputError, match="not a regular file"):
            load_params(tmp_path / name)
    with (tmp_path / "large").open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    with pytest.raises(InputError, match="allowed: at most"):
        load_params(tmp_path / "large")
