"""The readers of image sets return accepted data unchanged, and one line names what they refuse."""

import gzip
import io
import os
import zipfile
import zlib
from fractions import Fraction
from math import floor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from aae.data import ARRAYS, Dataset, load_dataset, save_dataset
from aae.errors import InputError
from aae.ops import Stream
from aae.readers.class_folders import read_class_folders
from aae.readers.grey import to_grey
from aae.readers.read import read_dataset
from aae.readers.split import indices_of_test_set
from aae.reference import random_words
from tests.pipeline.conftest import idx

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (12, 5, 3), dtype=np.uint8)
COLOUR = RANDOM.integers(0, 256, (12, 5, 3, 3), dtype=np.uint8)
LABELS = np.arange(12) % 3


def read(path: Path, classes: int | None = None, test_fraction: float = 0.25, grey: bool = False) -> Dataset:
    return read_dataset(path, classes=classes, test_fraction=test_fraction, grey=grey)


def refused(*arguments, **settings) -> str:
    """The line with which a reader refuses a set."""
    with pytest.raises(InputError) as error:
        read(*arguments, **settings)
    assert "\n" not in str(error.value)
    return str(error.value)


def picture(path: Path, pixels: np.ndarray, **settings) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **settings)
    return path


# --- the choice between them ----------------------------------------------------------------------


@pytest.mark.parametrize("content", ["nothing", "text", "folder"])
def test_what_is_no_source_is_refused_with_what_is_one(tmp_path, content):
    path = tmp_path / "set"
    if content == "text":
        path.write_text("images")
    if content == "folder":
        path.mkdir()
        (path / "README.md").write_text("no images")
    line = refused(path)
    assert line.startswith(f"{path}: ")
    assert "a folder with MNIST's IDX files, an .npz file, or a folder of images" in line


def test_prepared_sets_with_and_without_labels(tmp_path):
    labels = LABELS.astype(np.uint8)
    with_labels = Dataset(COLOUR[:8], labels[:8], COLOUR[8:], labels[8:], ("a", "b|<i>", "ü"))
    without = Dataset(COLOUR[:8], None, COLOUR[8:], None, ())
    for dataset in (with_labels, without):  # the second replaces the first
        save_dataset(dataset, tmp_path)
        found = load_dataset(tmp_path)
        assert found.class_names == dataset.class_names
        for name in ARRAYS:
            assert np.array_equal(getattr(found, name), getattr(dataset, name))
    assert not (tmp_path / "train_labels.npy").exists()
    assert (found.classes, found.picture_shape) == (0, (5, 3, 3))


# --- IDX ------------------------------------------------------------------------------------------


def write_idx(folder: Path, labels: bool = True) -> Path:
    folder.mkdir()
    for stem, rows in (("train", slice(0, 8)), ("t10k", slice(8, 12))):
        (folder / f"{stem}-images-idx3-ubyte").write_bytes(idx(GREY[rows]))
        if labels:
            (folder / f"{stem}-labels-idx1-ubyte").write_bytes(idx(LABELS[rows]))
    return folder


def test_idx_files_say_how_many_classes_there_are(tmp_path):
    folder = write_idx(tmp_path / "raw")
    assert read(folder).class_names == ("0", "1", "2")
    assert read(folder, classes=5).class_names == ("0", "1", "2", "3", "4")
    assert refused(folder, classes=2) == f"{folder}/train-labels-idx1-ubyte: label 2, needed 0 to 1 (data.classes)"


def test_raw_files_and_their_compressed_twins_in_one_folder(tmp_path):
    """torchvision leaves both in MNIST/raw."""
    folder = write_idx(tmp_path / "raw")
    for path in list(folder.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    both = read(folder)
    for path in folder.glob("*ubyte"):
        path.unlink()
    compressed = read(folder)
    for name in ARRAYS:
        assert (getattr(both, name) == getattr(compressed, name)).all()
    assert (both.train_images[..., 0] == GREY[:8]).all()


def test_idx_files_with_class_names(tmp_path):
    folder = write_idx(tmp_path / "raw")
    (folder / "classes.txt").write_text("T-shirt/top\nDress \n<script>\n", encoding="utf-8")
    assert read(folder).class_names == ("T-shirt/top", "Dress", "<script>")
    assert refused(folder, classes=10) == f"{folder}: has 3 class names; data.classes is 10"
    for text, reason in [
        ("a\nb\n", "train-labels-idx1-ubyte: label 2, needed 0 to 1 (class names)"),
        ("a\nb\na\n", "classes.txt: class name 'a' is repeated"),
        ("a\n\nb\n", "classes.txt: class name 1 is ''; needed printable text"),
        ("a\nb\x07\nc\n", r"classes.txt: class name 1 is 'b\x07'; needed printable text"),
        ("", "classes.txt: 0 class names, needed 1 to 256"),
    ]:
        (folder / "classes.txt").write_text(text)
        assert refused(folder) == f"{folder}/{reason}"
    (folder / "classes.txt").write_bytes(b"\xff\xfe")
    assert refused(folder) == f"{folder}/classes.txt: not UTF-8 text; needed one class name per line"


def test_idx_files_without_labels(tmp_path):
    dataset = read(write_idx(tmp_path / "raw", labels=False))
    assert (dataset.train_labels, dataset.test_labels, dataset.class_names) == (None, None, ())
    assert (dataset.test_images[..., 0] == GREY[8:]).all()
    assert "has no labels, but data.classes is 10; allowed: auto" in refused(tmp_path / "raw", classes=10)


# --- npz ------------------------------------------------------------------------------------------


def npz(path: Path, **changes) -> Path:
    """Writes a file of 8 training and 4 test images with `changes`. None omits an array."""
    content = {"x_train": GREY[:8], "y_train": LABELS[:8], "x_test": GREY[8:], "y_test": LABELS[8:]} | changes
    np.savez(path, **{name: array for name, array in content.items() if array is not None})
    return path


@given(
    images=arrays.arrays(
        np.uint8, st.tuples(st.just(5), st.integers(1, 4), st.integers(1, 4), st.sampled_from([1, 3]))
    ),
    labels=arrays.arrays(st.sampled_from([np.uint8, np.int64, np.uint64, np.int8]), 5, elements=st.integers(0, 127)),
    column=st.booleans(),
    order=st.sampled_from("CF"),
)
def test_an_npz_file_comes_out_as_it_went_in(tmp_path_factory, images, labels, column, order):
    path = tmp_path_factory.mktemp("npz") / "set.npz"
    stored = np.asarray(images[..., 0] if images.shape[-1] == 1 and column else images, order=order)
    classes = labels[:, None] if column else labels
    np.savez_compressed(path, x_train=stored[:3], y_train=classes[:3], x_test=stored[3:], y_test=classes[3:])
    dataset = read(path)
    assert (np.concatenate([dataset.train_images, dataset.test_images]) == images).all()
    assert np.concatenate([dataset.train_labels, dataset.test_labels]).tolist() == labels.tolist()
    assert dataset.train_labels.dtype == np.uint8
    assert dataset.class_names == tuple(map(str, range(int(labels.max()) + 1)))


def test_an_npz_file_without_labels_and_one_with_class_names(tmp_path):
    assert read(npz(tmp_path / "a.npz", y_train=None, y_test=None)).class_names == ()
    assert read(npz(tmp_path / "b.npz", class_names=np.array(["x", "y", "z"]))).class_names == ("x", "y", "z")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"x_test": None}, "x_test is missing; found x_train, y_test, y_train"),
        ({"y_test": None}, "y_test is missing; found x_test, x_train, y_train"),
        ({"x_train": GREY[:8] / 255}, "x_train: float64, needed uint8: pixels are 0 to 255"),
        ({"x_train": GREY[:8].reshape(8, 15)}, "x_train: shape [8, 15], needed [n, height, width], or with"),
        ({"x_train": np.zeros((8, 3, 5, 4), np.uint8)}, "x_train: shape [8, 3, 5, 4]"),
        ({"x_train": COLOUR[..., [0, 1]]}, "x_train: shape [12, 5, 3, 2]"),
        ({"x_train": GREY[:8, :0]}, "x_train: shape [8, 0, 3]"),
        ({"x_test": GREY[8:, :4]}, "training images are 5 x 3, test images 4 x 3"),
        ({"x_test": COLOUR[8:]}, "training images are 5 x 3, test images 5 x 3 in colour"),
        ({"x_test": GREY[:1], "y_test": LABELS[:1]}, "x_test: 1 image, needed 2 or more"),
        ({"y_train": LABELS[:7]}, "x_train has 8 images, y_train 7 labels"),
        ({"y_train": LABELS[:8] / 2}, "y_train: float64, needed integers"),
        ({"y_train": np.eye(8, dtype=int)}, "y_train: shape [8, 8], needed [n] or [n, 1]"),
        ({"y_train": LABELS[:8] - 1}, "y_train: label -1, needed 0 to 255"),
        ({"y_test": LABELS[8:] + 255}, "y_test: label 257, needed 0 to 255"),
        ({"y_test": np.array([{}] * 4)}, "y_test: object, needed integers"),
        ({"class_names": np.array([1, 2, 3])}, "class_names: int64, needed strings"),
        ({"class_names": np.array(["a", "a", "b"])}, "class_names: class name 'a' is repeated"),
        ({"class_names": np.array(["a", "b"])}, "y_train: label 2, needed 0 to 1 (class names)"),
    ],
)
def test_arrays_that_are_not_as_they_should_be(tmp_path, changes, reason):
    path = npz(tmp_path / "set.npz", **changes)
    line = refused(path)
    assert line.startswith(f"{path}: {reason}")


def test_an_array_whose_header_promises_more_than_its_member_has(tmp_path):
    """A header that promises petabytes is refused before memory is allocated."""
    path = npz(tmp_path / "set.npz")
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (2**40, 99, 99)})
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, header.getvalue() + b"few" if name == "x_test.npy" else content)
    line = refused(path)
    assert line.startswith(f"{path}: x_test: {len(header.getvalue()) + 3} bytes, but its header says [1099511627776,")


@given(place=st.integers(0, 10**6), value=st.integers(0, 255), cut=st.booleans())
def test_no_damage_to_an_npz_file_gives_a_traceback(tmp_path_factory, place, value, cut):
    path = npz(tmp_path_factory.mktemp("damage") / "set.npz")
    content = bytearray(path.read_bytes())
    place %= len(content)
    content[place] = value
    path.write_bytes(content[:place] if cut else content)
    try:
        read(path)
    except InputError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017


# --- class folders --------------------------------------------------------------------------------


def fill(folder: Path, images: np.ndarray, names: tuple[str, ...] = ("cat", "dog", "ant"), offset: int = 0) -> Path:
    """Writes one PNG per image to the folder of its class. The file name ends in the image's number."""
    for i, image in enumerate(images):
        picture(folder / names[i % len(names)] / f"{i + offset:03d}.png", image)
    return folder


def test_a_training_and_a_test_set_of_class_folders(tmp_path):
    fill(tmp_path / "train", COLOUR[:9])
    fill(tmp_path / "test", COLOUR[9:])
    (tmp_path / ".DS_Store").write_text("not read")
    (tmp_path / "README.md").write_text("not read")
    dataset = read(tmp_path)
    assert dataset.class_names == ("ant", "cat", "dog")
    assert dataset.train_labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert (dataset.train_images == COLOUR[[2, 5, 8, 0, 3, 6, 1, 4, 7]]).all()
    assert (dataset.test_images == COLOUR[[11, 9, 10]]).all()
    assert dataset.test_labels.tolist() == [0, 1, 2]


def test_one_set_of_class_folders_is_split(tmp_path):
    dataset = read(fill(tmp_path, GREY), test_fraction=0.25)
    test = indices_of_test_set(12, 0.25)
    assert len(test) == len(dataset.test_images) == 3
    whole = GREY[[2, 5, 8, 11, 0, 3, 6, 9, 1, 4, 7, 10]][..., None]
    assert (dataset.test_images == whole[test]).all()
    assert (dataset.train_images == np.delete(whole, test, axis=0)).all()
    assert dataset.test_labels.tolist() == [i // 4 for i in test]
    assert refused(tmp_path, test_fraction=0.1) == f"{tmp_path}: test set: 1 image, needed 2 or more"
    assert refused(tmp_path, test_fraction=0.95) == f"{tmp_path}: train set: 1 image, needed 2 or more"


def test_images_without_class_folders_have_no_labels(tmp_path):
    for i, image in enumerate(GREY):
        picture(tmp_path / "one" / f"{i:02d}.png", image)
        picture(tmp_path / "two" / ("train" if i < 8 else "test") / f"{i:02d}.png", image)
    one, two = read(tmp_path / "one"), read(tmp_path / "two")
    assert one.train_labels is one.test_labels is two.train_labels is two.test_labels is None
    assert (one.test_images[..., 0] == GREY[indices_of_test_set(12, 0.25)]).all()
    assert (two.test_images[..., 0] == GREY[8:]).all()


@given(names=st.permutations(["10", "2", "B", "a", "é", "e\u0301a", "ß", "z"]))
def test_the_order_is_that_of_the_names_and_not_of_the_file_system(tmp_path_factory, names):
    """Folders and files may be created in any order. Classes and images are sorted by the names' code points."""
    folder = tmp_path_factory.mktemp("order")
    for name in names:
        for file in names:
            picture(
                folder / name / f"{file}.png", np.full((2, 2), len(name.encode()) + 16 * ord(file[0]) % 256, np.uint8)
            )
    dataset = read(folder, test_fraction=0.5)
    assert dataset.class_names == ("10", "2", "B", "a", "z", "ß", "é", "éa")
    sizes = {"10": 2, "2": 1, "B": 1, "a": 1, "z": 1, "ß": 2, "é": 2, "éa": 4}
    whole = [size + 16 * ord(first) % 256 for size in sizes.values() for first in "12Bazßée"]
    assert dataset.test_images[:, 0, 0, 0].tolist() == [whole[i] for i in indices_of_test_set(64, 0.5)]


@pytest.mark.parametrize(
    ("mode", "settings", "channels"),
    [("1", {}, 1), ("L", {}, 1), ("P", {}, 3), ("RGB", {}, 3), ("LA", {}, 1), ("RGBA", {}, 3)],
)
@pytest.mark.parametrize("suffix", [".png", ".PNG"])
def test_pixels_come_out_as_they_are(tmp_path, mode, settings, channels, suffix):
    image = Image.fromarray(COLOUR[0]).convert(mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(255)
    for name in "ab":
        for i in range(4):
            path = tmp_path / name / f"{i}{suffix}"
            path.parent.mkdir(exist_ok=True)
            image.save(path, "PNG")
    dataset = read(tmp_path, test_fraction=0.5)
    expected = np.asarray(image.convert("L" if channels == 1 else "RGB")).reshape(5, 3, channels)
    assert (dataset.train_images == expected).all()


@pytest.mark.parametrize("name", ["x.bmp", "x.webp", "x.ppm"])
def test_other_formats_without_loss(tmp_path, name):
    for label in "ab":
        for i in range(4):
            picture(tmp_path / label / f"{i}{name}", COLOUR[0], **({"lossless": True} if name == "x.webp" else {}))
    assert (read(tmp_path, test_fraction=0.5).train_images == COLOUR[0]).all()


def write_damaged(path: Path, damage: str) -> None:
    good = io.BytesIO()
    Image.fromarray(GREY[0]).save(good, "PNG")
    content = good.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    match damage:
        case "another size":
            picture(path, GREY[0].T)
        case "colour":
            picture(path, COLOUR[0])
        case "cut":
            path.write_bytes(content[:-30])
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("hello")
        case "16 bits":
            Image.fromarray(GREY[0].astype(np.uint16)).save(path)
        case "transparent":
            Image.fromarray(np.dstack([COLOUR[0], GREY[0]])).save(path)
        case "transparent value":
            Image.fromarray(GREY[0]).save(path, transparency=int(GREY[0, 0, 0]))
        case "frames":
            frames = [Image.fromarray(np.full((5, 3), v, np.uint8)) for v in (0, 200)]
            frames[0].save(path, save_all=True, append_images=frames[1:])
        case "gif":
            Image.fromarray(GREY[0]).save(path, "GIF")
        case "bomb":
            header = content[:16] + (20_000).to_bytes(4, "big") * 2 + content[24:29]
            path.write_bytes(header + zlib.crc32(header[12:29]).to_bytes(4, "big") + content[33:])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("another size", "3 x 5, but {first} is 5 x 3; all images need the same size"),
        ("colour", "colour, but {first} is grey; data.grey: true makes all images grey"),
        ("cut", "not a readable image ("),
        ("empty", "not a readable image (cannot identify image file it)"),
        ("text", "not a readable image (cannot identify image file it)"),
        ("16 bits", "pixels of Pillow's mode I;16, needed 8 bits per channel, grey or RGB"),
        ("transparent", "has transparent pixels; all must be opaque"),
        ("transparent value", "has transparent pixels; all must be opaque"),
        ("frames", "2 frames, needed one"),
        ("gif", "not a readable image (cannot identify image file it)"),
    ],
)
def test_an_image_that_is_none_is_named(tmp_path, damage, reason):
    fill(tmp_path, GREY)
    path = tmp_path / "dog" / "zzz.png"
    write_damaged(path, damage)
    line = refused(tmp_path)
    assert line.startswith(f"{path}: {reason.format(first=tmp_path / 'ant/002.png')}")


def test_a_decompression_bomb_is_not_decoded(tmp_path):
    """The first image of a set determines the size of all. Pillow's limit applies to it."""
    fill(tmp_path, GREY)
    path = tmp_path / "ant" / "000.png"
    write_damaged(path, "bomb")
    assert refused(tmp_path).startswith(f"{path}: not a readable image (Image size (400000000 pixels) exceeds limit")


@given(place=st.integers(0, 10**6), value=st.integers(0, 255))
def test_no_damage_to_an_image_gives_a_traceback(tmp_path_factory, place, value):
    folder = fill(tmp_path_factory.mktemp("damage"), GREY[:6])
    path = folder / "cat/000.png"
    content = bytearray(path.read_bytes())
    content[place % len(content)] = value
    path.write_bytes(content)
    try:
        read(folder, test_fraction=0.5)
    except InputError as error:
        assert "cat/000.png" in str(error)  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("train/cat/x.txt", "train/cat/x.txt: not an image by its name; allowed in this folder: *.png, "),
        ("train/cat/more/x.png", "train/cat/more: not an image by its name"),
        ("train/x.png", "train/x.png: an image beside class folders"),
        ("test/eel/x.png", "test/eel: no such class in "),
        ("val/cat/x.png", "val: no other folder is allowed beside train and test"),
        ("train/eel/.keep", "train/eel: holds no images; needed *.png"),
    ],
)
def test_folders_that_are_not_as_they_should_be(tmp_path, path, reason):
    fill(tmp_path / "train", GREY[:9])
    fill(tmp_path / "test", GREY[9:])
    picture(tmp_path / path, GREY[0], format="PNG")
    assert refused(tmp_path).startswith(f"{tmp_path}/{reason}")


def test_class_names_that_cannot_be_told_apart_or_shown(tmp_path):
    fill(tmp_path / "same", GREY, ("\u00e9", "e\u0301"))
    assert refused(tmp_path / "same") == f"{tmp_path}/same: class name 'é' is repeated"
    fill(tmp_path / "space", GREY, ("a", "b\u2028"))
    assert refused(tmp_path / "space") == rf"{tmp_path}/space: class name 1 is 'b\u2028'; needed printable text"
    fill(tmp_path / "bytes", GREY, ("a", os.fsdecode(b"\xff")))
    assert refused(tmp_path / "bytes") == rf"{tmp_path}/bytes: class name 1 is '\udcff'; needed printable text"


@pytest.mark.parametrize("path", ["b\x07/x.png", "train/\x1b[31m.txt", "train/cat/a\nb.png"])
def test_names_that_a_terminal_would_obey(tmp_path, path):
    fill(tmp_path / "train", GREY[:9])
    fill(tmp_path / "test", GREY[9:])
    picture(tmp_path / path, GREY[0], format="PNG")
    name = next(part for part in path.split("/") if not part.isprintable())
    assert refused(tmp_path).endswith(f": must have no names with control characters; found {name!r}")


def test_the_number_of_folders_may_be_demanded(tmp_path):
    fill(tmp_path, GREY)
    assert read(tmp_path, classes=3).classes == 3
    assert refused(tmp_path, classes=10) == f"{tmp_path}: has 3 class names; data.classes is 10"


# --- grey from colour, and the split --------------------------------------------------------------


@given(colour=st.tuples(*[st.integers(0, 255)] * 3))
def test_grey_is_the_luma_of_bt_601_rounded_half_up(colour):
    red, green, blue = colour
    luma = Fraction(299 * red + 587 * green + 114 * blue, 1000)
    assert to_grey(np.array(colour, np.uint8).reshape(1, 1, 1, 3)).tolist() == [[[[floor(luma + Fraction(1, 2))]]]]


def test_grey_of_many_images_and_of_grey_ones():
    many = np.tile(COLOUR, (100, 1, 1, 1))
    assert (to_grey(many) == np.tile(to_grey(COLOUR), (100, 1, 1, 1))).all()
    assert (to_grey(GREY[..., None])[..., 0] == GREY).all()


def test_grey_from_every_source(tmp_path):
    npz(tmp_path / "set.npz", x_train=COLOUR[:8], x_test=COLOUR[8:])
    assert (read(tmp_path / "set.npz", grey=True).test_images == to_grey(COLOUR[8:])).all()
    fill(tmp_path / "train", COLOUR[:9])
    fill(tmp_path / "test", COLOUR[9:])
    picture(tmp_path / "test/cat/009.png", GREY[9])  # a grey image among colour images
    images = read_class_folders(tmp_path, grey=True).test_images
    assert (images[0] == to_grey(COLOUR[11:])[0]).all()
    assert (images[2, ..., 0] == GREY[9]).all()


@given(n=st.integers(1, 2000), fractions=st.tuples(st.floats(0.01, 0.99), st.floats(0.01, 0.99)))
def test_the_split_is_a_permutation_by_philox(n, fractions):
    """Its order is that of the NumPy twin's 64-bit numbers. A smaller test set is a subset of a larger one."""
    words = random_words(0, 0, Stream.SPLIT, 0, n)[:, :2].tolist()
    order = sorted(range(n), key=lambda i: words[i])
    small, large = (indices_of_test_set(n, fraction).tolist() for fraction in sorted(fractions))
    assert small == sorted(order[: round(n * min(fractions))])
    assert set(small) <= set(large)


def test_the_split_never_changes():
    """Exactly these images are in the test set. data/prepared and all results depend on it."""
    assert indices_of_test_set(20, 0.25).tolist() == [1, 8, 17, 18, 19]
