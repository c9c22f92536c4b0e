"""Where the stages read and write, relative to the repository's root."""

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
PLOTS = Path("results/plots")
REPORT = Path("report")
DIST = Path("dist")  # the output of `make release`; not tracked


MADE_BY = {
    DEVICE: "device",
    **dict.fromkeys((SNAPSHOTS, CODES, HISTORY, TIMING), "train"),
    **dict.fromkeys((METRICS, CURVES, MATCH), "evaluate"),
    FLOOR: "floor",
    FIGURES: "render",
    **dict.fromkeys((SUMMARY, TIMING_SUMMARY, SCORES), "summarize"),
}


def stage_of(path: Path) -> str:
    """The stage that writes `path`, as `dvc repro` takes it, for example `evaluate@aae-0`."""
    for place, stage in MADE_BY.items():
        if place == path:
            return stage
        if place in path.parents:
            return f"{stage}@{Path(path.relative_to(place).parts[0]).stem}"
    return ""


def run_name(model: str, seed: int) -> str:
    """The name of a run's folder or the stem of its files, for example `aae-0`."""
    return f"{model}-{seed}"
