"""Damaged files: every stage that reads one names it, and the commands that make it again, in one line."""

import os
import shutil
from pathlib import Path

import pytest

from pipeline import evaluate, floor, release, render, report, summarize, train
from tests.pipeline.tiny_runs import failure

DATA, SNAPSHOTS, FIGURES = "data/prepared", "results/snapshots/aae-0", "results/figures/aae-0"
CODES, FIGURES_SUMS = "results/codes/aae-0.npy", "results/figures_sums/aae-0.sha256"
# file -> the stage that writes it, and those that read it
FILES = {
    f"{DATA}/train_images.npy": ("prepare", train, evaluate),
    f"{DATA}/train_labels.npy": ("prepare", evaluate, train),
    f"{DATA}/test_images.npy": ("prepare", render, train, evaluate, report),
    f"{DATA}/test_labels.npy": ("prepare", report, train, evaluate, render),
    f"{DATA}/classes.json": ("prepare", floor, train, evaluate, render, summarize, report),
    f"{DATA}/SHA256SUMS": ("prepare", evaluate, train, render, summarize, report),
    "results/device.json": ("device", train),
    f"{SNAPSHOTS}/002.safetensors": ("train@aae-0", evaluate, render, report),
    f"{SNAPSHOTS}/004.safetensors": ("train@aae-0", release, evaluate, render, report),
    f"{SNAPSHOTS}/config.json": ("train@aae-0", release),
    f"{SNAPSHOTS}/SHA256SUMS": ("train@aae-0", render, evaluate, report, release),
    CODES: ("train@aae-0", evaluate, report),
    f"{CODES}.sha256": ("train@aae-0", evaluate, report),
    **{f"results/history/aae-0/plots/metrics/{loss}.tsv": ("train@aae-0", report)
       for loss in ("reconstruction", "discriminator", "generator")},
    "results/timing/aae-0.json": ("train@aae-0", summarize, report),
    "results/floor/aae.json": ("floor@aae", summarize, report),
    "results/metrics/aae-0.json": ("evaluate@aae-0", report),
    "results/curves/aae-0.csv": ("evaluate@aae-0", summarize, report),
    "results/match/aae-0.csv": ("evaluate@aae-0", report, summarize),
    f"{FIGURES}/scatter-004.png": ("render@aae-0", report),
    f"{FIGURES}/manifold-004.png": ("render@aae-0", report),
    FIGURES_SUMS: ("render@aae-0", report),
    "results/summary.json": ("summarize", report),
    "results/timing_summary.json": ("summarize", report),
}  # fmt: skip
# Files that the lists name and that need only be there for these stages.
LISTED = {
    f"{FIGURES}/scatter-002.png": ("render@aae-0", report),
    f"{FIGURES}/animation.gif": ("render@aae-0", report),
    f"{SNAPSHOTS}/config.json": ("train@aae-0", evaluate, render, report),
    f"{SNAPSHOTS}/000.safetensors": ("train@aae-0", release),
    f"{DATA}/train_images.npy": ("prepare", render, floor, summarize),
}
OF_RUN, OF_MODEL = ["--model", "aae", "--seed", "0"], ["--model", "aae"]
ARGUMENTS = {train: OF_RUN, evaluate: OF_RUN, render: OF_RUN, floor: OF_MODEL}


def flipped(content: bytes) -> bytes:
    """One bit: in the last digit of a table, in the last bracket of JSON, in the last number of an array."""
    place = len(content.rstrip()) - 1
    return content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :]


DAMAGE = {
    "bit flipped": flipped,
    "emptied": lambda content: b"",
    "halved": lambda content: content[: len(content) // 2],
    "header overwritten": lambda content: b"#" * 40 + content[40:],
    "random bytes": lambda content: bytes(range(128, 256)) * 3,
    "zeros": lambda content: bytes(len(content)),
    "zeros at the end": lambda content: content[:-7] + bytes(7),
    "another's": lambda content: b"[]",
}
IN_PLACE = {
    "missing": lambda path: None,
    "a folder": Path.mkdir,
    "a dangling link": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
}


@pytest.fixture(scope="module")
def experiment(finished, tmp_path_factory):
    """A copy of the finished folder, which training may read, too."""
    folder = tmp_path_factory.mktemp("damage") / "experiment"
    shutil.copytree(finished, folder)
    (folder / "results/device.json").write_text('{"device": "cpu"}\n')
    return folder


@pytest.fixture(autouse=True)
def inside(experiment, monkeypatch):
    monkeypatch.chdir(experiment)


def damaged_line(stage, path: Path, damage: str) -> str:
    """The line with which `stage` ends while the file has this damage and its time is as before."""
    content, status = path.read_bytes(), path.stat()
    path.unlink()
    try:
        if damage in DAMAGE:
            path.write_bytes(DAMAGE[damage](content))
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        else:
            IN_PLACE[damage](path)
        line = failure(stage, *ARGUMENTS.get(stage, []))
        removed = line.partition("`rm -r ")[2].partition(";")[0].split()
        assert (str(path) in removed) == os.path.lexists(path), "what is there has to go"
        return line
    finally:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.write_bytes(content)


def check(line: str, name: str, maker: str) -> None:
    if name.endswith(("SHA256SUMS", ".sha256")):
        assert name in line, "what a damaged list says may seem to be the mistake of another file"
    else:
        assert line.startswith(f"error: {name}: ")
    assert line.endswith(f"dvc repro {maker}` makes it again")
    assert line.isprintable()


@pytest.mark.parametrize("damage", [*DAMAGE, *IN_PLACE])
@pytest.mark.parametrize("name", FILES)
def test_damage_is_told_in_one_line(name, damage):
    maker, stage, *_ = FILES[name]
    check(damaged_line(stage, Path(name), damage), name, maker)


@pytest.mark.parametrize("damage", ["bit flipped", "missing"])
@pytest.mark.parametrize("name", FILES)
def test_every_stage_that_reads_it_notices(name, damage):
    maker, _, *stages = FILES[name]
    for stage in stages:
        check(damaged_line(stage, Path(name), damage), name, maker)


@pytest.mark.parametrize("damage", IN_PLACE)
@pytest.mark.parametrize("name", LISTED)
def test_what_is_listed_must_be_there(name, damage):
    maker, *stages = LISTED[name]
    for stage in stages:
        check(damaged_line(stage, Path(name), damage), name, maker)


@pytest.mark.parametrize("stage", [evaluate, render, report])
def test_a_snapshot_that_is_not_listed_is_not_used(stage):
    path = Path(SNAPSHOTS) / "003.safetensors"
    shutil.copy(path.with_name("002.safetensors"), path)
    line = failure(stage, *ARGUMENTS.get(stage, []))
    path.unlink()
    assert line.startswith(f"error: {path}: SHA256SUMS does not list it; `rm -r {path} ")


@pytest.mark.parametrize("stage", [floor, summarize])
def test_a_header_with_another_number_of_images(stage):
    """These stages only count the images, so they do not read them all."""
    path = Path(f"{DATA}/train_images.npy")
    content = path.read_bytes()
    assert b"(20, 5, 3, 1)" in content
    path.write_bytes(content.replace(b"(20, 5, 3, 1)", b"(10, 5, 3, 1)"))
    line = failure(stage, *ARGUMENTS.get(stage, []))
    path.write_bytes(content)
    assert line.startswith(f"error: {path}: 428 bytes, but its header says an array of [10, 5, 3, 1]; `rm -r {path} ")
