"""Other data than MNIST through all stages: the results, pictures and report that each source of images gives.

docs/data.md has examples of the sources. The last test runs its commands.
"""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from aae.data import load_dataset
from pipeline import device, evaluate, floor, prepare, render, report, summarize, train
from tests.pipeline.conftest import Repository
from tests.pipeline.tiny_runs import CHANGES, ROOT, failure, load, run_stages

FASHION = Path(os.environ.get("FASHION_MNIST", "/usr/share/datasets/fashion-mnist"))
without_fashion = pytest.mark.skipif(not FASHION.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
SOME = CHANGES | {
    "epochs: 100 ": "epochs: 2 ",
    "snapshot_every: 10 ": "snapshot_every: 1 ",
    "batch_size: 128 ": "batch_size: 64 ",
    "models: [aae, aae_joint, vae]": "models: [aae, vae]",
    "device: auto ": "device: cpu ",
}
STAGES = (prepare, device, floor, train, evaluate, render, summarize, report)


def set_parameters(path: Path | str, changes: dict | None = None) -> None:
    """Writes params.yaml of a small experiment on the images at `path` to the working folder."""
    text = (ROOT / "params.yaml").read_text()
    for old, new in (SOME | {"path: data/raw/mnist ": f"path: {path} "} | (changes or {})).items():
        assert old in text
        text = text.replace(old, new)
    Path("params.yaml").write_text(text)


def digits(path: Path, **changes) -> None:
    """Writes scikit-learn's digits as an npz file. `changes` replace arrays; None omits one."""
    images, labels = (load_digits().images * 255 / 16).round().astype(np.uint8), load_digits().target
    content = {"x_train": images[:600], "y_train": labels[:600], "x_test": images[600:800], "y_test": labels[600:800]}
    np.savez(path, **{name: array for name, array in (content | changes).items() if array is not None})


def page_index() -> dict:
    """The data that the page's scripts read."""
    page = Path("report/index.html").read_text()
    return json.loads(re.search(r'<script type="application/json" id="index">(.*?)</script>', page)[1])


def test_digits_in_an_npz_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    digits(tmp_path / "digits.npz")
    set_parameters("digits.npz")
    run_stages(*STAGES)
    assert "600 training and 200 test images of 8 x 8, 10 classes" in capsys.readouterr().out
    dataset = load_dataset(Path("data/prepared"))
    assert (dataset.shape, dataset.classes) == ((8, 8, 1), 10)
    for run in ("aae-0", "vae-0"):
        metrics = load(f"results/metrics/{run}.json")
        assert metrics["labels"]["knn_accuracy"] > 0.1
        assert metrics["reconstruction"]["nats"] > 0
    assert page_index()["classNames"] == list("0123456789")
    assert not page_index()["colour"]
    assert "Labels, in the order" not in Path("report/report.md").read_text(), "numbers need no list"


NAMES = ("<script>alert(1)<", "a|b", "$x^2$")


@pytest.fixture(scope="module")
def colourful(tmp_path_factory) -> Path:
    """All stages have run on coloured digits of 12 x 20 pixels, in three class folders with awkward names."""
    root = tmp_path_factory.mktemp("colour")
    images, labels = load_digits().images / 16, load_digits().target
    tints = np.array([[1, 0.2, 0.1], [0.1, 0.9, 0.3], [0.2, 0.4, 1]])
    for i in np.flatnonzero(labels < 3)[:300]:
        canvas = np.zeros((12, 20, 3))
        canvas[2:10, 6:14] = images[i][..., None] * tints[labels[i]]
        path = root / "tinted" / NAMES[labels[i]] / f"{i:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((255 * canvas).round().astype(np.uint8)).save(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        set_parameters("tinted", {"epochs: 100 ": "epochs: 10 ", "learning_rate: 0.001": "learning_rate: 0.01"})
        run_stages(*STAGES)
    return root


@pytest.fixture
def in_colour(colourful, monkeypatch) -> Path:
    monkeypatch.chdir(colourful)
    return colourful


def test_class_folders_in_colour(in_colour):
    dataset = load_dataset(Path("data/prepared"))
    assert dataset.shape == (12, 20, 3)
    assert dataset.class_names == tuple(sorted(NAMES))
    assert (len(dataset.train_images), len(dataset.test_images)) == (240, 60)
    for run in ("aae-0", "vae-0"):
        assert load(f"results/metrics/{run}.json")["labels"]["knn_accuracy"] > 1 / 3


def test_pictures_of_images_in_colour(in_colour):
    """The decoder's pictures have the digits' colours and the images' shape."""
    for run in ("aae-0", "vae-0"):
        pictures = Path("results/figures", run)
        manifold = np.asarray(Image.open(pictures / "manifold-010.png").convert("RGB")).astype(int)
        saturated = np.ptp(manifold, axis=-1) > 60
        rows, columns = np.nonzero(saturated)
        assert len(rows) > 1000, "there are colours"
        assert np.ptp(columns) == pytest.approx(np.ptp(rows), rel=0.2), "wide images make more rows than columns"
        with Image.open(pictures / "animation.gif") as animation:
            animation.seek(animation.n_frames - 1)
            last = np.asarray(animation.convert("RGB")).astype(int)
        assert (np.ptp(last[:, last.shape[1] // 2 :], axis=-1) > 60).sum() > 500
    index = page_index()
    assert (index["colour"], index["pictureShape"]) == (True, [12, 20])


def test_class_names_are_shown_and_escaped(in_colour):
    page, markdown = Path("report/index.html").read_text(), Path("report/report.md").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;</button>" in page
    assert page_index()["classNames"] == sorted(NAMES)
    assert r"colours: \$x^2\$, &lt;script&gt;alert(1)&lt;, a\|b." in markdown


def test_data_without_labels(tmp_path, monkeypatch, capsys):
    """Everything that needs labels is omitted, and a message says so."""
    monkeypatch.chdir(tmp_path)
    digits(tmp_path / "digits.npz", y_train=None, y_test=None)
    set_parameters("digits.npz")
    run_stages(*STAGES)
    assert "no labels: " in capsys.readouterr().out
    for run in ("aae-0", "vae-0"):
        assert not [part for part in load(f"results/metrics/{run}.json") if part.startswith("labels")]
    rows = Path("results/plots/snapshots.csv").read_text().splitlines()
    assert rows[0].endswith("knn_accuracy,probe_accuracy")
    assert rows[1].endswith(",,"), "empty cells, which `dvc plots` passes over"
    assert "knn_accuracy" not in load("results/summary.json")["aae"]["final"]
    page, markdown = Path("report/index.html").read_text(), Path("report/report.md").read_text()
    for text in (page, markdown):
        assert "The data has no labels" in text
        assert "10-nearest-neighbour accuracy" not in text
    assert "coloured by label" not in page
    assert 'class="label"' not in page
    assert page_index()["classNames"] == []


def test_what_asks_for_labels_is_refused_without_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digits(tmp_path / "digits.npz", y_train=None, y_test=None)
    normal = "  prior:\n    kind: normal\n    std: 1.0\n  labels: false          # true"  # the AAE's
    set_parameters("digits.npz", {normal: "  prior: mixture\n  labels: true  # "})
    run_stages(prepare, device)
    line = (
        "error: aae.prior: mixture has one part per class, but the data (data.path) has no labels; "
        "allowed: a prior without classes, such as normal"
    )
    assert failure(train, "--model", "aae", "--seed", "0") == line
    assert failure(floor, "--model", "aae") == line
    assert not Path("results/snapshots").exists()


@without_fashion
def test_fashion_mnist(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(FASHION, "fashion")
    names = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Boot"]
    Path("fashion/classes.txt").write_text("\n".join(names))
    changes = {"epochs: 100 ": "epochs: 1 ", "models: [aae, aae_joint, vae]": "models: [aae]"}
    set_parameters("fashion", changes)
    run_stages(*STAGES)
    dataset = load_dataset(Path("data/prepared"))
    assert dataset.class_names == tuple(names)
    assert np.bincount(dataset.test_labels).tolist() == [1000] * 10
    assert load("results/metrics/aae-0.json")["labels"]["knn_accuracy"] > 0.2
    assert "T-shirt/top" in Path("report/index.html").read_text()


# --- the commands of docs/data.md -----------------------------------------------------------------

SECTIONS = {
    section.splitlines()[0]: re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    for section in (ROOT / "docs/data.md").read_text().split("\n## ")[1:]
}
EXPECTED = {  # shape, classes and test images of each example, in order
    "IDX files": [((28, 28, 1), 10, 10_000)],
    "An .npz file": [((8, 8, 1), 10, 297)],
    "A folder of images": [((12, 20, 3), 2, 448), ((12, 20, 1), 2, 448)],
    "Without labels": [((12, 20, 3), 0, 448)],
}


def test_the_page_has_an_example_for_each_source():
    assert {name: len(blocks) for name, blocks in SECTIONS.items() if blocks} == {
        name: len(each) for name, each in EXPECTED.items()
    }


@pytest.fixture(scope="module")
def repository(small_repository, tmp_path_factory) -> Repository:
    """The small experiment with one model, in which the examples run one after another."""
    repository = small_repository.copy_to(tmp_path_factory.mktemp("docs") / "repository")
    repository.edit("models: [aae, vae]", "models: [aae]")
    repository.edit("epochs: 2 ", "epochs: 1 ")
    repository.commit("one model")
    return repository


@pytest.mark.parametrize(
    "section", [pytest.param(name, marks=without_fashion if name == "IDX files" else ()) for name in EXPECTED]
)
def test_the_examples_of_the_page(repository, section):
    if section == "Without labels" and not (repository.root / "data/raw/patches").exists():
        repository.run("bash", "-ec", SECTIONS["A folder of images"][0].partition("dvc exp run")[0])
    for block, (shape, classes, tests) in zip(SECTIONS[section], EXPECTED[section], strict=True):
        output = repository.run("bash", "-ec", block.replace("/usr/share/datasets/fashion-mnist", str(FASHION)))
        assert "Ran experiment" in output
        dataset = load_dataset(repository.root / "data/prepared")
        assert (dataset.shape, dataset.classes, len(dataset.test_images)) == (shape, classes, tests)
        assert (repository.root / "results/figures/aae-0/animation.gif").is_file()
    status = repository.run("dvc", "status", "prepare")
    assert "up to date" in status, "DVC tracks the data, a file or a folder"
