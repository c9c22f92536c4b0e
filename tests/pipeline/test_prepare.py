"""Stage `prepare` on real MNIST and on every kind of faulty IDX file."""

import gzip
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from aae.data import ARRAYS, load_dataset
from aae.readers.idx import IDX_FILES
from pipeline import prepare
from tests.pipeline.conftest import idx

ROOT = Path(__file__).parents[2]


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A folder with four small raw IDX files of 5 x 3 pixels in `raw/`, and a params.yaml that names `raw/`."""
    random = np.random.default_rng(0)
    raw = tmp_path / "raw"
    raw.mkdir()
    for part, n in (("train", 7), ("test", 4)):
        (raw / IDX_FILES[f"{part}_images"]).write_bytes(idx(random.integers(0, 256, (n, 5, 3))))
        (raw / IDX_FILES[f"{part}_labels"]).write_bytes(idx(random.integers(0, 10, n)))
    text = (ROOT / "params.yaml").read_text().replace("path: data/raw/mnist", "path: raw")
    text = text.replace("classes: auto ", "classes: 10 ")
    (tmp_path / "params.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_prepare(cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "pipeline.prepare"],
        cwd=cwd, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_real_mnist(tmp_path, monkeypatch):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "raw").symlink_to(ROOT / "data" / "raw")
    monkeypatch.chdir(tmp_path)
    prepare.main()
    dataset = load_dataset(Path("data/prepared"))
    assert dataset.train_images.shape == (60000, 28, 28, 1)
    assert dataset.test_images.shape == (10000, 28, 28, 1)
    assert {getattr(dataset, name).dtype for name in ARRAYS} == {np.dtype(np.uint8)}
    assert (dataset.shape, dataset.pixels, dataset.class_names) == ((28, 28, 1), 784, tuple("0123456789"))
    # The known class counts of MNIST's training and test labels.
    assert np.bincount(dataset.train_labels).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert np.bincount(dataset.test_labels).tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]
    digest = hashlib.sha256(dataset.test_images.tobytes()).hexdigest()
    raw = gzip.decompress((ROOT / "data/raw/mnist/t10k-images-idx3-ubyte.gz").read_bytes())
    assert digest == hashlib.sha256(raw[16:]).hexdigest()


def test_raw_files_of_any_image_size(workspace):
    prepare.main()
    dataset = load_dataset(Path("data/prepared"))
    assert dataset.train_images.shape == (7, 5, 3, 1)
    assert idx(dataset.train_images[..., 0]) == (workspace / "raw/train-images-idx3-ubyte").read_bytes()


def edit_header(offset: int, value: bytes):
    return lambda content: content[:offset] + value + content[offset + len(value) :]


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        (IMAGES, lambda c: c[:-1], "truncated: 120 bytes, but its header says 7 x 5 x 3, needed 121"),
        (IMAGES, lambda c: c + b"\0", "too long: 122 bytes"),
        (IMAGES, lambda c: c[:9], "truncated: 9 bytes, but the IDX header alone takes 16"),
        (IMAGES, lambda c: b"", "truncated: 0 bytes"),
        (IMAGES, edit_header(0, b"PK"), "not an IDX file: magic number 0x504b0803, needed 0x00000803"),
        (IMAGES, edit_header(2, b"\x0d"), "IDX type 0x0d, needed 0x08 (unsigned byte)"),
        (IMAGES, lambda c: idx(np.zeros((7, 15))), "2 dimensions, needed 3"),
        (IMAGES, lambda c: idx(np.zeros((6, 5, 3))), "has 6 images, train-labels-idx1-ubyte 7 labels"),
        (IMAGES, lambda c: idx(np.zeros((7, 3, 5))), "training images are 3 x 5, test images 5 x 3"),
        (IMAGES, lambda c: idx(np.zeros((7, 0, 3))), "empty: its header says 7 x 0 x 3"),
        (IMAGES, lambda c: gzip.compress(c)[:-9], "damaged gzip file"),
        (IMAGES, lambda c: gzip.compress(c)[:20] + b"\xff" * 30, "damaged gzip file"),
        (LABELS, lambda c: c[:-1] + b"\x0a", "label 10, needed 0 to 9 (data.classes)"),
        (LABELS, lambda c: None, "missing, and so is train-labels-idx1-ubyte.gz"),
        ("SHA256SUMS", lambda c: b"0" * 64 + b"  " + IMAGES.encode(), "SHA-256 of train-images-idx3-ubyte is "),
        ("SHA256SUMS", lambda c: b"0" * 64 + b"  ./" + IMAGES.encode(), "SHA-256 of train-images-idx3-ubyte is "),
        ("SHA256SUMS", lambda c: b"\xff\xfe", "needed lines with a SHA-256"),
        (
            IMAGES,
            lambda c: idx(np.zeros((7, 0, 0)))[:8] + b"\xff" * 4 + b"\0" * 4,
            "empty: its header says 7 x 4294967295 x 0",
        ),
        ("SHA256SUMS", lambda c: b"what is this", "needed lines with a SHA-256"),
    ],
)
def test_bad_files_give_one_line_and_status_1(workspace, file, damage, message):
    path = workspace / "raw" / file
    content = damage(path.read_bytes() if path.exists() else b"")
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)
    done = run_prepare(workspace)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.startswith("error: raw")
    assert done.stderr.count("\n") == 1
    assert "dvc repro" not in done.stderr, "no stage makes a user's file again"
    assert not (workspace / "data").exists(), "nothing half-written is left"


def test_a_checksum_of_the_compressed_file(workspace):
    path = workspace / "raw" / f"{IMAGES}.gz"
    path.write_bytes(gzip.compress((workspace / "raw" / IMAGES).read_bytes()))
    (workspace / "raw" / IMAGES).unlink()
    sums = workspace / "raw/SHA256SUMS"
    sums.write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    assert run_prepare(workspace).returncode == 0
    sums.write_text(f"{'0' * 64}  {path.name}\n")
    assert f"SHA-256 of {path.name} is " in run_prepare(workspace).stderr


def test_one_image_is_too_few(workspace):
    (workspace / "raw/t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((1, 5, 3))))
    (workspace / "raw/t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(1)))
    assert run_prepare(workspace).stderr == "error: raw/t10k-images-idx3-ubyte: 1 image, needed 2 or more\n"


def test_a_bad_parameter_stops_the_stage_before_it_works(workspace):
    path = workspace / "params.yaml"
    path.write_text(path.read_text().replace("classes: 10 ", "classes: 999 "))
    done = run_prepare(workspace)
    assert (done.returncode, done.stderr) == (
        1, "error: params.yaml: data.classes: input should be 'auto' or an integer from 1 to 256; found 999\n",
    )  # fmt: skip
    assert not (workspace / "data").exists()
