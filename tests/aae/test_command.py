"""The command `aae`: its output, and its one line for every mistake."""

import csv
import io
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import aae_native
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

import aae
from aae.command import main
from aae.data import Dataset, save_dataset
from aae.models import build_model
from aae.priors import NormalPrior
from aae.snapshots import Metadata, save_snapshot

SHAPE, NAMES = (6, 4, 1), ("nought", "1", "two")
FOLDERS = Path("results/snapshots")
RANDOM = np.random.default_rng(2)
IMAGES = RANDOM.integers(0, 256, (30, *SHAPE)).astype(np.uint8)
LABELS = (np.arange(30) % 3).astype(np.uint8)


def save_model(run: str, shape=SHAPE, names=NAMES, code_size=2) -> None:
    kind = run.partition("-")[0]
    extra = {} if kind == "vae" else {"discriminator_widths": [4]}
    extra |= {"classes": len(names)} if kind == "aae_supervised" else {}
    sizes = {"pixels": int(np.prod(shape)), "code_size": code_size, "encoder_widths": [6], "decoder_widths": [7]}
    model = build_model(kind, 0, **sizes, **extra)
    save_snapshot(FOLDERS / run, 1, model, Metadata(NormalPrior(code_size), shape, names))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working folder, with an untrained model and prepared data."""
    monkeypatch.chdir(tmp_path)
    save_model("aae-0")
    save_dataset(Dataset(IMAGES[:24], LABELS[:24], IMAGES[24:], LABELS[24:], NAMES), Path("data/prepared"))
    return tmp_path


@pytest.fixture
def run(monkeypatch, capsys):
    """A function that calls the command in this process and returns its standard output."""

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["aae", *arguments])
        main()
        return capsys.readouterr().out

    return call


@pytest.fixture
def failure(run):
    """A function that returns the error line of a call that must fail. The call must not leave a file behind."""

    def call(*arguments: str) -> str:
        before = sorted(Path().rglob("*"))
        with pytest.raises(SystemExit) as ended:
            run(*arguments)
        assert isinstance(ended.value.code, str)  # printed by the interpreter, with exit status 1
        assert ended.value.code.startswith("error: ")
        assert "\n" not in ended.value.code
        assert sorted(Path().rglob("*")) == before
        return ended.value.code.removeprefix("error: ")

    return call


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def to_bytes(images: np.ndarray) -> np.ndarray:
    return (images * 255).round().astype(np.uint8)


# --- encode ---------------------------------------------------------------------------------------------


def test_codes_of_files(run):
    for i in (0, 1):
        Image.fromarray(IMAGES[i, ..., 0]).save(f"{i}.png")
    Image.fromarray(IMAGES[2, ..., 0].repeat(3).reshape(6, 4, 3)).save("grey in colour.bmp")
    np.save("rest.npy", IMAGES[3:7])
    names = ["1.png", "0.png", "rest.npy", "grey in colour.bmp"]
    assert run("encode", *names, "-o", "codes.csv") == ""
    run("encode", *names, "-o", "codes.npy")
    codes = aae.load(FOLDERS / "aae-0").encode(IMAGES[[1, 0, 3, 4, 5, 6, 2]])
    assert np.array_equal(np.load("codes.npy"), codes)
    header, *rows = csv.reader(io.StringIO(Path("codes.csv").read_text()))
    assert header == ["image", "z_0", "z_1"]
    assert [row[0] for row in rows] == ["1.png", "0.png", *(f"rest.npy[{i}]" for i in range(4)), "grey in colour.bmp"]
    assert np.array_equal(np.array([row[1:] for row in rows], np.float32), codes)
    assert run("encode", *names) == Path("codes.csv").read_text()


def test_a_folder_in_order_of_its_paths(run):
    for name in ("b/2.png", "b/10.png", "a/3.PNG", "b/notes.txt"):
        Path("images", name).parent.mkdir(parents=True, exist_ok=True)
        (Image.fromarray(IMAGES[0, ..., 0]).save if name[-1] != "t" else Path.touch)(Path("images", name))
    rows = run("encode", "images").splitlines()[1:]
    assert [row.partition(",")[0] for row in rows] == ["images/a/3.PNG", "images/b/10.png", "images/b/2.png"]


def test_more_files_than_are_read_at_once(run, monkeypatch):
    monkeypatch.setattr("aae.image_files.PART", 2)
    for i in range(5):
        Image.fromarray(IMAGES[i, ..., 0]).save(f"{i}.png")
    np.save("rest.npy", IMAGES[5:8])
    run("encode", *(f"{i}.png" for i in range(5)), "rest.npy", "-o", "codes.npy")
    assert np.array_equal(np.load("codes.npy"), aae.load(FOLDERS / "aae-0").encode(IMAGES[:8]))


def test_formats_that_only_this_command_reads(run, failure):
    frames = [Image.fromarray(image) for image in IMAGES[:2, ..., 0]]
    for name in ("x.gif", "x.tif"):
        frames[0].save(name)
        run("encode", name, "-o", "codes.npy")
        assert np.array_equal(np.load("codes.npy"), aae.load(FOLDERS / "aae-0").encode(IMAGES[:1]))
    frames[0].save("x.gif", save_all=True, append_images=frames[1:])
    assert failure("encode", "x.gif").startswith("x.gif: 2 frames, needed one")


def test_colour_made_grey_and_black_made_white(run):
    colour = RANDOM.integers(0, 256, (6, 4, 3)).astype(np.uint8)
    Image.fromarray(colour).save("colour.png")
    np.save("floats.npy", IMAGES[:2] / 255)
    run("encode", "--grey", "--invert", "colour.png", "floats.npy", "-o", "codes.npy")
    red, green, blue = colour.astype(int).transpose(2, 0, 1)
    luma = (299 * red + 587 * green + 114 * blue + 500) // 1000
    images = np.concatenate([255 - luma[None, ..., None], 255 - IMAGES[:2]]).astype(np.uint8)
    np.testing.assert_allclose(np.load("codes.npy"), aae.load(FOLDERS / "aae-0").encode(images), atol=1e-6)


def test_a_model_of_colour_images(run):
    save_model("vae-0", shape=(6, 4, 3))
    model = ("--model", str(FOLDERS / "vae-0"))
    colour = RANDOM.integers(0, 256, (6, 4, 3)).astype(np.uint8)
    Image.fromarray(colour).save("colour.png")
    Image.fromarray(IMAGES[0, ..., 0]).save("grey.png")
    run("encode", *model, "colour.png", "grey.png", "-o", "codes.npy")
    images = np.stack([colour, IMAGES[0].repeat(3, axis=2)])
    assert np.array_equal(np.load("codes.npy"), aae.load(FOLDERS / "vae-0").encode(images))
    run("decode", *model, "--at", "1,2", "-o", "x.png")
    assert np.array_equal(pixels("x.png"), to_bytes(aae.load(FOLDERS / "vae-0").decode([[1, 2]]))[0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: None, "x.png: no such file"),
        (lambda: Path("x.png").write_text("no picture"), "x.png: not a readable image"),
        (
            lambda: Image.new("L", (5, 6)).save("x.png"),
            "x.png: 6 x 5, but an image of the model is 6 x 4; all images need the same size",
        ),
        (
            lambda: Image.new("RGB", (4, 6), "red").save("x.png"),
            "x.png: a colour image; the model's are grey (--grey makes it grey)",
        ),
        (lambda: Image.new("RGBA", (4, 6)).save("x.png"), "x.png: has transparent pixels"),
        (
            lambda: Image.new("1", (12000, 12000)).save("x.png"),
            "x.png: not a readable image (Image size (144000000 pixels) exceeds limit",
        ),
        (lambda: Image.new("I;16", (4, 6)).save("x.png"), "x.png: pixels of Pillow's mode I;16"),
    ],
)
def test_files_that_are_no_images_of_the_model(failure, make, message):
    make()
    assert failure("encode", "x.png", "-o", "codes.csv").startswith(message)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (None, "x.npy: no such file"),
        (np.zeros((3, 5, 4)), "x.npy[0]: images must have one of the shapes [n, 6, 4, 1]"),
        (np.full((3, 6, 4), 2.0), "x.npy[0]: floating-point images must be in [0, 1]; found 2 to 2"),
        (np.float32(1), "x.npy: a single number; needed an array of images"),
        (b"x" * 10, "x.npy: not a readable array"),
    ],
)
def test_arrays_that_are_no_images_of_the_model(failure, array, message):
    if isinstance(array, bytes):
        Path("x.npy").write_bytes(array)
    elif array is not None:
        np.save("x.npy", array)
    assert failure("encode", "x.npy").startswith(message)


def test_an_empty_folder(failure):
    Path("empty").mkdir()
    assert failure("encode", "empty").startswith("empty: no images in this folder")


# --- decode, sample, traverse ---------------------------------------------------------------------------


def test_decoded_images(run):
    model = aae.load(FOLDERS / "aae-0")
    run("decode", "--at", "-0.5,1", "--at", "-.5,-1e-1", "--at", "2,3", "-o", "new folder/x.png")
    images = to_bytes(model.decode([[-0.5, 1], [-0.5, -0.1], [2, 3]]))
    assert np.array_equal(pixels("new folder/x.png"), np.concatenate(list(images), axis=1))
    run("decode", "--at=0,1", "-o", "x.npy")
    assert np.array_equal(np.load("x.npy"), model.decode([[0, 1]]))


def test_a_decoded_image_can_be_encoded_again(run):
    run("decode", "--at", "0.5,-1.2", "-o", "x.png")
    image = to_bytes(aae.load(FOLDERS / "aae-0").decode([[0.5, -1.2]]))
    run("encode", "x.png", "-o", "code.npy")
    assert np.array_equal(np.load("code.npy"), aae.load(FOLDERS / "aae-0").encode(image))


def test_sampled_images(run):
    run("sample", "-n", "7", "--seed", "3", "--scale", "1", "-o", "grid.png")
    grid = pixels("grid.png")
    assert grid.shape == (3 * 6, 3 * 4)
    images = to_bytes(aae.load(FOLDERS / "aae-0").sample(7, seed=3))
    for i, image in enumerate(images):
        row, column = divmod(i, 3)
        assert np.array_equal(grid[6 * row : 6 * row + 6, 4 * column : 4 * column + 4], image)
    assert not grid[12:, 4:].any()
    run("sample", "-n", "7", "--seed", "3", "--scale", "3", "-o", "large.png")
    assert np.array_equal(pixels("large.png"), grid.repeat(3, axis=0).repeat(3, axis=1))


def test_images_of_a_class(run):
    save_model("aae_supervised-0")
    model = ("--model", str(FOLDERS / "aae_supervised-0"))
    loaded = aae.load(FOLDERS / "aae_supervised-0")
    run("sample", *model, "-n", "3", "--label", "two", "-o", "samples.npy")
    assert np.array_equal(np.load("samples.npy"), loaded.sample(3, labels=2))
    run("decode", *model, "--at", "0.5,-1", "--label", "nought", "-o", "decoded.npy")
    assert np.array_equal(np.load("decoded.npy"), loaded.decode([[0.5, -1]], 0))


def test_from_class_to_class(run):
    model = aae.load(FOLDERS / "aae-0")
    run("traverse", "--from", "nought", "--to", "two", "--steps", "4", "--scale", "1", "-o", "strip.png")
    start, end = (model.encode(IMAGES[:24][LABELS[:24] == label]).mean(axis=0, dtype=float) for label in (0, 2))
    images = to_bytes(model.interpolate(start, end, 4))
    assert np.array_equal(pixels("strip.png"), np.concatenate(list(images), axis=1))


def test_an_animation_goes_there_and_back(run):
    run("traverse", "--from", "-3,0", "--to", "3,0", "--steps", "3", "--scale", "1", "-o", "walk.gif")
    images = to_bytes(aae.load(FOLDERS / "aae-0").interpolate([-3, 0], [3, 0], 3))
    with Image.open("walk.gif") as animation:
        assert animation.n_frames == 4
        for i, frame in enumerate((0, 1, 2, 1)):
            animation.seek(i)
            assert np.array_equal(np.asarray(animation.convert("L")), images[frame])


def test_codes_of_another_size(run, failure):
    save_model("vae-0", code_size=1)
    model = ("--model", str(FOLDERS / "vae-0"))
    run("traverse", *model, "--from", "-1", "--to", "1.0", "--steps", "2", "-o", "strip.npy")
    assert np.array_equal(np.load("strip.npy"), aae.load(FOLDERS / "vae-0").decode([[-1], [1]]))
    message = failure("decode", *model, "--at", "0,1", "-o", "x.png")
    assert message == "--at: 0,1: needed a code of the model's size 1, such as 0.5"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["decode", "--at", "1", "-o", "x.png"], "--at: 1: needed a code of the model's size 2, such as 0.5,-1.2"),
        (["decode", "--at", "nan,1", "-o", "x.png"], "--at: nan,1: needed a code"),
        (["decode", "--at", "0,1", "-o", "x.jpg"], "x.jpg: the name must end in .png or .gif or .npy"),
        (["decode", "-o", "x.png"], "the following arguments are required: --at; see aae decode --help"),
        (["sample", "-n", "0", "-o", "x.png"], "argument -n: must be an integer of 1 or more; found 0"),
        (["sample", "--seed", "-1", "-o", "x.png"], "seed must be an integer from 0 to 2^63 - 1; found -1"),
        (["sample", "--label", "five", "-o", "x.png"], "--label: five: no class of the model; allowed: nought, 1, two"),
        (["sample", "--label", "two", "-o", "x.png"], "labels: the decoder of the model (aae) takes none"),
        (
            ["traverse", "--from", "zero", "--to", "1", "-o", "x.png"],
            "--from: zero: needed a code of the model's size 2, such as 0.5,-1.2, or a class (nought, 1, two)",
        ),
        (["traverse", "--from", "1", "--to", "two", "--data", "no", "-o", "x.png"], "no: no such folder"),
        (["traverse", "--from", "0,0", "--to", "1,1", "--steps", "1", "-o", "x.png"], "steps must be an integer"),
        (["encode", "--model", "nowhere", "x.png"], "nowhere: not a readable snapshot"),
        (["encode", "x.png", "-o", "x.txt"], "x.txt: the name must end in .csv or .npy"),
        (["export", "--onnx", "model.pt"], "model.pt: the name must end in .onnx"),
        (["export", "--part", "all", "--onnx", "model.onnx"], "argument --part: invalid choice: 'all'"),
        (["enlarge"], "argument COMMAND: invalid choice: 'enlarge'"),
        ([], "the following arguments are required: COMMAND; see aae --help"),
    ],
)  # fmt: skip
def test_refused(failure, arguments, message):
    assert failure(*arguments).startswith(message)


@pytest.mark.parametrize(
    ("shape", "names", "labels", "message"),
    [
        (
            (4, 6, 1),
            NAMES,
            LABELS,
            "images of 4 x 6 x 1 in the classes nought, 1, two; the model has images of 6 x 4 x 1",
        ),
        (SHAPE, ("a", "b", "c"), LABELS, "images of 6 x 4 x 1 in the classes a, b, c; the model has images of"),
        (SHAPE, NAMES, np.zeros_like(LABELS), "no training images of class 1"),
    ],
)
def test_class_means_of_other_data(failure, shape, names, labels, message):
    images = IMAGES.reshape(-1, *shape)
    save_dataset(Dataset(images, labels, images, labels, names), Path("other"))
    line = failure("traverse", "--data", "other", "--from", "1", "--to", "two", "-o", "x.png")
    assert line.startswith(f"other: {message}")


# --- export ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "part"), [("aae", "both"), ("vae", "encoder"), ("vae", "decoder")])
def test_onnx_agrees_with_pytorch(run, kind, part):
    """For batch sizes other than the exporter's example."""
    save_model(f"{kind}-0")
    run("export", "--model", str(FOLDERS / f"{kind}-0"), "--part", part, "--onnx", "model.onnx")
    onnx.checker.check_model("model.onnx", full_check=True)
    session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    network = aae.load(FOLDERS / f"{kind}-0").network
    for n in (1, 7):
        images = torch.from_numpy(IMAGES[:n, ..., 0] / np.float32(255))
        codes = network.encode(images.flatten(1))
        decoded = network.decode(codes).sigmoid().view(n, *SHAPE[:2])
        given = {"codes": codes} if part == "decoder" else {"images": images}
        expected = {"both": [codes, decoded], "encoder": [codes], "decoder": [decoded]}[part]
        for array, tensor in zip(session.run(None, {key: given[key].numpy() for key in given}), expected, strict=True):
            torch.testing.assert_close(torch.from_numpy(array), tensor)
    names = {"both": ["codes", "reconstructions"], "encoder": ["codes"], "decoder": ["images"]}[part]
    assert [output.name for output in session.get_outputs()] == names
    properties = {entry.key: entry.value for entry in onnx.load("model.onnx").metadata_props}
    assert '"class_names": ["nought", "1", "two"]' in properties["config"]


def test_onnx_without_its_packages(failure, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    line = failure("export", "--onnx", "model.onnx")
    assert line == "the ONNX export needs the package onnxscript; `pip install 'aae[onnx]'`"


# --- info and help --------------------------------------------------------------------------------------


def test_info(run):
    lines = dict(line.split(maxsplit=1) for line in run("info", "--model", str(FOLDERS / "aae-0")).splitlines())
    build = aae_native.build_info()
    assert lines["compiler"] == build["compiler"]
    assert lines["instruction"].startswith(f"set  {build['isa']}")
    assert build["cuda_reason"] in lines["built"] or build["cuda"]
    assert lines["CUDA"].startswith("yes: " if torch.cuda.is_available() else "no: PyTorch sees no CUDA device")
    assert lines["model"] == "TrainedModel aae: images of 6 x 4, codes of 2, prior N(0, I)"


@pytest.mark.parametrize("command", ["encode", "decode", "sample", "traverse", "export", "info"])
def test_help_has_examples(run, capsys, command):
    with pytest.raises(SystemExit) as ended:
        run(command, "--help")
    assert ended.value.code == 0
    assert f"examples:\n  aae {command}" in capsys.readouterr().out


def test_the_console_command():
    assert [entry.load() for entry in entry_points(group="console_scripts", name="aae")] == [main]


def test_as_a_process(folder):
    """Exit status, standard error, and a reader that stops early."""

    def process(code: str) -> subprocess.CompletedProcess:
        root = Path(__file__).parents[2]
        start = f"import sys; sys.path.insert(0, {str(root)!r}); "
        return subprocess.run([sys.executable, "-c", start + code], cwd=folder, capture_output=True, text=True)

    run = "from aae.command import main; main()"
    wrong = process(f"sys.argv = ['aae', 'decode', '--at', '1', '-o', 'x.png']; {run}")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr == "error: --at: 1: needed a code of the model's size 2, such as 0.5,-1.2\n"
    missing = process(f"sys.modules['aae_native'] = None; sys.argv = ['aae', 'info']; {run}")
    assert missing.stderr.startswith("error: the native extension cannot be imported (")
    assert missing.stderr.count("\n") == 1
