"""Experiments with hundreds of runs or thousands of epochs, made from small ones in the working folder.

Numbers differ a little from run to run. Weights, codes and pictures are links to those of seed 0.
"""

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from aae.checksums import write_sums
from pipeline.params import load_params
from pipeline.paths import (
    CODES,
    CURVES,
    FIGURES,
    FIGURES_SUMS,
    HISTORY,
    MATCH,
    METRICS,
    PARAMS,
    SNAPSHOTS,
    TIMING,
    run_name,
)
from tests.pipeline.tiny_runs import list_sums


def repeat_runs(seeds: int) -> None:
    """Adds the seeds 1 to `seeds` - 1 to the experiment, with results like those of seed 0."""
    set_parameter("seeds", list(range(seeds)))
    for place, model in enumerate(load_params().models):
        first = run_name(model, 0)
        for seed in range(1, seeds):
            run, random = run_name(model, seed), np.random.default_rng([place, seed])
            for folder in (CURVES, MATCH):
                write_table(folder / f"{run}.csv", read_table(folder / f"{first}.csv"), random)
            for path in (HISTORY / first).rglob("*.tsv"):
                write_table(HISTORY / run / path.relative_to(HISTORY / first), read_table(path), random)
            for folder in (METRICS, TIMING):
                content = json.loads((folder / f"{first}.json").read_text())
                (folder / f"{run}.json").write_text(json.dumps(varied(content, random)))
            link(CODES / f"{first}.npy", CODES / f"{run}.npy")
            for folder in (SNAPSHOTS, FIGURES):
                for path in (folder / first).iterdir():
                    link(path, folder / run / path.name)
            list_sums(run)
            list_pictures(run)


def lengthen_runs(epochs: int) -> None:
    """Lengthens the experiment to `epochs` epochs: each result is repeated from epoch 1 on, until there are enough."""
    set_parameter("epochs", epochs)
    params = load_params()
    every = params.snapshot_every
    for place, run in enumerate(run_name(model, seed) for model in params.models for seed in params.seeds):
        random = np.random.default_rng(place)
        longer(MATCH / f"{run}.csv", range(epochs + 1), random)
        longer(CURVES / f"{run}.csv", range(0, epochs + 1, every), random)
        for path in (HISTORY / run).rglob("*.tsv"):
            longer(path, range(1, epochs + 1), random)
        path = CODES / f"{run}.npy"
        codes = np.load(path)
        path.unlink()  # it may be a link
        made = np.lib.format.open_memmap(path, "w+", codes.dtype, (epochs + 1, *codes.shape[1:]))
        for epoch in range(epochs + 1):
            made[epoch] = codes[cycled(epoch, len(codes))]
        names = sorted((SNAPSHOTS / run).glob("*.safetensors"))
        last = int(names[-1].stem)
        for epoch in range(last + every, epochs + 1, every):
            link(names[cycled(epoch // every, len(names))], SNAPSHOTS / run / f"{epoch:03d}.safetensors")
        for kind in ("scatter", "manifold"):
            link(FIGURES / run / f"{kind}-{last:03d}.png", FIGURES / run / f"{kind}-{epochs:03d}.png")
        list_sums(run)
        list_pictures(run)


def list_pictures(run: str) -> None:
    """Writes the list of SHA-256 that `render` writes."""
    write_sums(FIGURES_SUMS / f"{run}.sha256", (FIGURES / run).iterdir())


def set_parameter(key: str, value: Any) -> None:
    text, found = re.subn(rf"^{key}: (\[.*?\]|\S+)", f"{key}: {json.dumps(value)}", PARAMS.read_text(), flags=re.M)
    assert found == 1
    PARAMS.write_text(text)


def link(old: Path, new: Path) -> None:
    new.parent.mkdir(exist_ok=True)
    new.hardlink_to(old)


def cycled(place: int, length: int) -> int:
    """The place in a list of `length` of which all but the first entry are repeated."""
    return place if place == 0 else 1 + (place - 1) % (length - 1)


def longer(path: Path, epochs: range, random: np.random.Generator) -> None:
    header, *rows = read_table(path)
    rows = rows if epochs[0] == 0 else [rows[0], *rows]  # a history has no epoch 0
    made = [[str(epoch), *rows[cycled(epoch // epochs.step, len(rows))][1:]] for epoch in epochs]
    write_table(path, [header, *made], random)


def read_table(path: Path) -> list[list[str]]:
    with open(path, newline="") as file:
        return list(csv.reader(file, delimiter=delimiter(path)))


def write_table(path: Path, table: list[list[str]], random: np.random.Generator) -> None:
    """Writes a varied copy: each column but the first, the epoch, by a factor of the run and each row by another."""
    header, *rows = table
    factors = np.exp(0.15 * random.standard_normal(len(header)))
    rows = [
        [row[0], *[vary(cell, factor, random) for cell, factor in zip(row[1:], factors[1:], strict=True)]]
        for row in rows
    ]
    write_rows(path, [header, *rows])


def write_rows(path: Path, table: list[list[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with open(path, "w", newline="") as file:
        csv.writer(file, delimiter=delimiter(path), lineterminator="\n").writerows(table)


def delimiter(path: Path) -> str:
    return "\t" if path.suffix == ".tsv" else ","


def vary(cell: str, factor: float, random: np.random.Generator) -> str:
    return f"{float(cell) * factor * (1 + 0.02 * random.standard_normal()):.6g}" if cell else ""


def varied(content: Any, random: np.random.Generator) -> Any:
    """`content` of a JSON file with other floats."""
    if isinstance(content, dict):
        return {key: varied(value, random) for key, value in content.items()}
    if isinstance(content, list):
        return [varied(value, random) for value in content]
    return float(f"{content * np.exp(0.15 * random.standard_normal()):.6g}") if isinstance(content, float) else content
