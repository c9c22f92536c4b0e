"""Where the stages read and write, relative to the repository's root."""

import os
from pathlib import Path

PARAMS = Path("params.yaml")
DATA = Path("data/prepared")
SCRATCH = Path("scratch")  # checkpoints of interrupted trainings; not tracked
DEVICE = Path("results/device.json")
SNAPSHOTS = Path("results/snapshots")
CODES = Path("results/codes")
HISTORY = Path("results/history")
TIMING = Path("results/timing")
METRICS = Path("results/metrics")
CURVES = Path("results/curves")
MATCH = Path("results/match")
FLOOR = Path("results/floor")
SUMMARY = Path("results/summary.json")
TIMING_SUMMARY = Path("results/timing_summary.json")
SCORES = Path("results/scores.json")
FIGURES = Path("results/figures")
FIGURES_SUMS = Path("results/figures_sums")  # their SHA-256; `dvc plots` takes every file in FIGURES for a plot
PLOTS = Path("results/plots")
REPORT = Path("report")
DIST = Path("dist")  # the output of `make release`; not tracked


MADE_BY = {
    DATA: "prepare",
    DEVICE: "device",
    **dict.fromkeys((SUMMARY, TIMING_SUMMARY, SCORES), "summarize"),
    REPORT: "report",
}
MADE_BY_ITEM = {  # stages that run once per run or model, which begins the names of their outputs in these folders
    **dict.fromkeys((SNAPSHOTS, CODES, HISTORY, TIMING), "train"),
    **dict.fromkeys((METRICS, CURVES, MATCH), "evaluate"),
    **dict.fromkeys((FIGURES, FIGURES_SUMS), "render"),
    FLOOR: "floor",
}


def stage_of(path: Path) -> str:
    """The stage that writes `path`, as `dvc repro` takes it, for example `evaluate@aae-0`."""
    for place in (path, *path.parents):
        if place in MADE_BY:
            return MADE_BY[place]
        if place.parent in MADE_BY_ITEM:
            return f"{MADE_BY_ITEM[place.parent]}@{item_of(place)}"
    return ""


def item_of(path: Path) -> str:
    """The run or the model in the name of an output: `aae-0` in `aae-0.npy.sha256`."""
    return Path(path.name.removesuffix(".sha256")).stem


def remedy(path: Path, *others: Path) -> str:
    """The command that makes the damaged file `path`, or `others` that contradict it, again.

    DVC would take a file that is there for the one that it wrote, if time and size are the same.
    """
    command = f"dvc repro {stage_of(path)}".rstrip()
    if found := [str(each) for each in (path, *others) if os.path.lexists(each)]:
        command = f"rm -r {' '.join(found)}; {command}"
    return f"`{command}` makes it again"


def run_name(model: str, seed: int) -> str:
    """The name of a run's folder or the stem of its files, for example `aae-0`."""
    return f"{model}-{seed}"
