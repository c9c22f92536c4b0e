"""The package is built from the sdist, installed with only its dependencies, and used."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from aae.models import build_model
from aae.priors import NormalPrior
from aae.snapshots import Metadata, save_snapshot

ROOT = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")


def call(*command: str | Path, cwd: Path) -> str:
    """Runs a command outside this checkout; returns its standard output."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {"AAE_CUDA": "0", "UV_OFFLINE": "1"}
    ended = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, f"{command}:\n{ended.stdout}{ended.stderr}"
    return ended.stdout


def tracked() -> list[str]:
    """The files of this checkout."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [name for name in names if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Path:
    """A folder with the sdist and the wheel built from it."""
    folder = tmp_path_factory.mktemp("package")
    for name in tracked():
        if not name.startswith(("data/", "results/", "docs/")):
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "source" / name).write_bytes((ROOT / name).read_bytes())
    build = (UV, "build", "-q", "--no-build-isolation", "--python", sys.executable)
    call(*build, "--sdist", "-o", folder / "dist", cwd=folder / "source")
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    call(*build, "--wheel", "-o", folder / "dist", sdist, cwd=folder)
    return folder / "dist"


@pytest.fixture(scope="module")
def environment(dist, tmp_path_factory) -> Path:
    """The `bin` folder of an environment with the wheel. Its dependencies are links to this environment's."""
    folder = tmp_path_factory.mktemp("environment")
    call(UV, "venv", "-q", "--python", sys.executable, folder / "env", cwd=folder)
    (packages,) = (folder / "env/lib").glob("python*/site-packages")
    (wheel,) = dist.glob("*.whl")
    call(UV, "pip", "install", "-q", "--python", folder / "env/bin/python", "--no-deps", wheel, cwd=folder)
    link_dependencies("aae", packages, extras=())
    return folder / "env/bin"


def link_dependencies(name: str, packages: Path, extras: tuple[str, ...], seen: set[str] | None = None) -> None:
    """Links the dependencies of the distribution `name`, and theirs, into the folder `packages`."""
    seen = set() if seen is None else seen
    for text in distribution(name).requires or []:
        needed = Requirement(text)
        wanted = [needed.marker is None or needed.marker.evaluate({"extra": extra}) for extra in ("", *extras)]
        key = canonicalize_name(needed.name)
        if not any(wanted) or key in seen:
            continue
        seen.add(key)
        found = distribution(needed.name)
        for top in {file.parts[0] for file in found.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            if top.endswith(".dist-info"):  # uv ignores a linked one
                shutil.copytree(found.locate_file(top), packages / top)
            elif not (packages / top).exists():
                (packages / top).symlink_to(found.locate_file(top))
        link_dependencies(needed.name, packages, tuple(needed.extras), seen)


def test_the_sdist_holds_what_a_build_needs(dist):
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    sources = {
        name
        for name in tracked()
        if name.startswith(("csrc/", "aae/", "typings/")) or name in ("setup.py", "pyproject.toml")
    }
    assert sources <= names
    assert not [name for name in names if name.startswith(("pipeline", "tests", "data", "results"))]


def test_the_wheel_has_the_package_alone(dist):
    (path,) = dist.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        (extension,) = (name for name in names if name.startswith("aae_native."))
        binary = wheel.read(extension)
    others = {name for name in names if name != extension and ".dist-info/" not in name}
    stubs = {"aae_native-stubs/__init__.pyi"}  # the types of the extension
    assert others == {name for name in tracked() if name.startswith("aae/")} | stubs
    assert b"libtorch" not in binary  # not linked with PyTorch, so it works with any version


def test_installed_alone_it_encodes_and_decodes(environment, tmp_path):
    """Without the packages of [pipeline] and [onnx]."""
    assert "are compatible" in call_with_errors(UV, "pip", "check", "--python", environment / "python")
    info = call(environment / "aae", "info", cwd=tmp_path)
    assert "built with CUDA  no (AAE_CUDA=0)" in info
    sizes = {"pixels": 12, "code_size": 2, "encoder_widths": [5], "decoder_widths": [4], "discriminator_widths": [3]}
    folder = tmp_path / "results/snapshots/aae-0"
    save_snapshot(folder, 0, build_model("aae", 0, **sizes), Metadata(NormalPrior(2), (4, 3, 1), ("0", "1")))
    call(environment / "aae", "decode", "--at", "0.5,-1.2", "-o", "x.png", cwd=tmp_path)
    rows = call(environment / "aae", "encode", "x.png", cwd=tmp_path).splitlines()
    code = """
import importlib.util, pathlib, aae, numpy as np
from PIL import Image
assert "site-packages" in aae.__file__, aae.__file__
assert not any(map(importlib.util.find_spec, ("scipy", "sklearn", "matplotlib", "pydantic", "dvc", "onnx", "pipeline")))
model = aae.load("results/snapshots/aae-0")
print(",".join(["x.png", *map(str, model.encode(np.asarray(Image.open("x.png"))[None])[0])]))
"""
    assert call(environment / "python", "-c", code, cwd=tmp_path).splitlines() == rows[1:]


def call_with_errors(*command: str | Path) -> str:
    """A command's output on both streams."""
    ended = subprocess.run(command, capture_output=True, text=True)
    return ended.stdout + ended.stderr
