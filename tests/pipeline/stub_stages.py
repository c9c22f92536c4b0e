"""Stages that do next to nothing, in place of the real ones, to measure what surrounds them."""

from tests.pipeline.conftest import Repository

STUB = '''"""Writes small outputs of this stage's names.

Files in scratch/ change what it does: `fail-<item>` lets a training fail, and with `slow` a training takes five seconds
and goes on from where an earlier one was stopped.
"""

import sys
import time
from pathlib import Path

stage, scratch = Path(__file__).stem, Path("scratch")
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
item = "-".join(arguments.values())
if stage == "train" and (scratch / f"fail-{item}").exists():
    sys.exit(f"error: {item}: fails")
if stage == "train" and (scratch / "slow").exists():
    done = scratch / f"done-{item}"
    first = len(done.read_bytes()) if done.exists() else 0
    with open(scratch / f"began-{item}", "a") as file:
        file.write(f"{first}\\n")
    for _ in range(first, 100):
        with open(done, "ab") as file:
            file.write(b".")
        time.sleep(0.05)
for path in {
    "device": ["device.json"],
    "train": [f"snapshots/{item}/000.safetensors", f"codes/{item}.npy", f"codes/{item}.npy.sha256",
              f"timing/{item}.json", f"history/{item}/plots/metrics/loss.tsv"],
    "floor": [f"floor/{item}.json"],
    "evaluate": [f"metrics/{item}.json", f"curves/{item}.csv", f"match/{item}.csv"],
    "render": [f"figures/{item}/animation.gif", f"figures_sums/{item}.sha256"],
    "summarize": ["summary.json", "timing_summary.json", "plots/match.csv", "plots/snapshots.csv", "scores.json"],
    "report": ["../report/index.html"],
}[stage]:
    path = Path("results") / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"device": "cpu"}\\n' if stage == "device" else f"{item} {path.name}\\n")
'''
STAGES = ("device", "train", "floor", "evaluate", "render", "summarize", "report")


def put_stubs(repository: Repository) -> None:
    """Replaces all stages but `prepare` and commits."""
    for stage in STAGES:
        (repository.root / f"pipeline/{stage}.py").write_text(STUB)
    repository.commit("stages that do next to nothing")
