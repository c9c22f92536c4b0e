"""The code of docs/use.md, docs/tour.ipynb and the README runs, in order, on untrained models of the default size."""

import json
import os
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aae.command import main
from aae.data import Dataset, save_dataset
from aae.models import build_model
from aae.priors import NormalPrior
from aae.snapshots import Metadata, save_snapshot

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / "docs/use.md").read_text(), re.MULTILINE | re.DOTALL)
NAMES = tuple("0123456789")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A folder with an AAE and a joint AAE of the default size, before training, and 60 images."""
    folder = tmp_path_factory.mktemp("checkout")
    sizes = {"pixels": 784, "code_size": 2}
    sizes |= {f"{network}_widths": [512] for network in ("encoder", "decoder", "discriminator")}
    for kind in ("aae", "aae_joint"):
        metadata = Metadata(NormalPrior(2), (28, 28, 1), NAMES)
        save_snapshot(folder / f"results/snapshots/{kind}-0", 100, build_model(kind, 0, **sizes), metadata)
    images = np.random.default_rng(0).integers(0, 256, (60, 28, 28, 1)).astype(np.uint8)
    labels = (np.arange(60) % 10).astype(np.uint8)
    save_dataset(Dataset(images[:30], labels[:30], images[30:], labels[30:], NAMES), folder / "data/prepared")
    (folder / "docs").mkdir()
    return folder


def run(line: str, monkeypatch, capsys) -> None:
    """Runs a command line of `aae`, which must write a file or print something."""
    command, *arguments = shlex.split(line, comments=True)
    assert command == "aae"
    monkeypatch.setattr(sys, "argv", [command, *arguments])
    main()
    output = next((arguments[i + 1] for i, each in enumerate(arguments) if each in ("-o", "--onnx")), None)
    assert Path(output).stat().st_size if output else capsys.readouterr().out


def test_the_page(checkout, monkeypatch, capsys):
    monkeypatch.chdir(checkout)
    names: dict = {}
    for language, block in BLOCKS:
        if language == "python":
            exec(compile(block, "docs/use.md", "exec"), names)
            continue
        assert language == "sh"
        for line in block.splitlines():
            run(line, monkeypatch, capsys)
    assert np.array_equal(names["decoded"], names["same"])
    np.testing.assert_allclose(names["codes_of_pytorch"], names["codes"], atol=1e-5)
    np.testing.assert_allclose(names["decoded_by_onnx"], names["decoded"], atol=1e-5)
    assert names["rows"].shape == (8, 784)
    assert names["classifier"].predict(names["images"]).shape == (8,)


def test_the_page_has_blocks_of_both_languages():
    assert {language for language, _ in BLOCKS} == {"python", "sh"}
    assert len(BLOCKS) > 5


def test_the_notebook(checkout, monkeypatch):
    """It runs in the notebook's folder, as under Jupyter."""
    notebook = json.loads((ROOT / "docs/tour.ipynb").read_text())
    monkeypatch.chdir(checkout / "docs")
    names: dict = {}
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) > 4
    for cell in cells:
        exec(compile(cell, "docs/tour.ipynb", "exec"), names)
    assert os.listdir(checkout / "docs") == []


def test_the_readme(checkout, monkeypatch, capsys):
    monkeypatch.chdir(checkout)
    images = np.load("data/prepared/test_images.npy")
    Image.fromarray(images[0, ..., 0]).save("my-digit.png")
    section = (ROOT / "README.md").read_text().partition("## Use the trained model\n")[2].partition("\n## ")[0]
    code = [line.removeprefix("    ") for line in section.splitlines() if line.startswith("    ")]
    commands = [line for line in code if line.startswith("aae ")]
    assert len(commands) == 3
    for line in commands:
        run(line, monkeypatch, capsys)
    names = {"images": images}
    exec("\n".join(code[code.index("import aae") :]), names)
    assert names["codes"].shape == (30, 2)
    assert names["decoded"].shape == (30, 28, 28)
