"""Damaged files of results: the stages after them name the file, and the stage that makes it again, in one line."""

import shutil
from pathlib import Path

import pytest

from pipeline import report, summarize
from tests.pipeline.tiny_runs import failure

LOSSES = ("reconstruction", "discriminator", "generator")
MADE_BY = {
    "results/floor/aae.json": "floor@aae",
    "results/match/vae-0.csv": "evaluate@vae-0",
    "results/curves/vae-0.csv": "evaluate@vae-0",
    "results/timing/aae-0.json": "train@aae-0",
    "results/metrics/aae-0.json": "evaluate@aae-0",
    "results/summary.json": "summarize",
    "results/timing_summary.json": "summarize",
} | {f"results/history/aae-0/plots/metrics/{loss}.tsv": "train@aae-0" for loss in LOSSES}
READ_BY_SUMMARIZE = ("results/floor", "results/match", "results/curves", "results/timing/")


def header_overwritten(content: bytes) -> bytes:
    return b"#" * 40 + content[40:]


def flipped(content: bytes) -> bytes:
    """One bit, in the last digit of a table, in the last bracket of JSON."""
    place = len(content.rstrip()) - 1
    return content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :]


DAMAGE = {
    "empty": lambda content: b"",
    "halved": lambda content: content[: len(content) // 2],
    "bit flipped": flipped,
    "header overwritten": header_overwritten,
    "random bytes": lambda content: bytes(range(128, 256)) * 3,
    "zeros": lambda content: bytes(len(content)),
    "another's": lambda content: b"[]",
}
IN_PLACE = {
    "missing": lambda path: None,
    "a folder": Path.mkdir,
    "a dangling link": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
}


@pytest.mark.parametrize("damage", [*DAMAGE, *IN_PLACE])
@pytest.mark.parametrize("name", MADE_BY)
def test_damage_is_told_in_one_line(workspace, name, damage):
    path = Path(name)
    content = path.read_bytes()
    path.unlink()
    try:
        if damage in DAMAGE:
            path.write_bytes(DAMAGE[damage](content))
        else:
            IN_PLACE[damage](path)
        for stage in [summarize, report] if name.startswith(READ_BY_SUMMARIZE) else [report]:
            line = failure(stage)
            assert line.startswith(f"error: {name}: ")
            assert line.endswith(f"; `dvc repro {MADE_BY[name]}` makes it again")
            assert line.isprintable()
    finally:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.write_bytes(content)
