"""`make compare`: a table with the scores of the last commits, the working tree and all experiments.

It shows the scores of `dvc exp show` without the columns of parameters and dependencies, which fill several screens.
"""

import argparse
import json
import subprocess
import sys
from typing import Any

from aae.errors import InputError
from aae.summary import flatten
from pipeline.cli import run_stage
from pipeline.paths import PARAMS, SCORES

FORMATS = {"distance": "{:.3f}", "worst": "{:.3f}", "nats": "{:.1f}", "knn": "{:.1%}"}  # of the scores


def main() -> None:
    parser = argparse.ArgumentParser(description="scores of commits and experiments")
    parser.add_argument("--commits", type=int, default=1, help="number of commits, newest first (1)")
    commits = parser.parse_args().commits
    if commits < 1:
        raise InputError(f"--commits: must be at least 1; found {commits}")
    command = [sys.executable, "-m", "dvc", "exp", "show", "--json", "--num", str(commits)]
    shown = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if shown.returncode:
        sys.exit(shown.returncode)
    print(table(json.loads(shown.stdout)))


def table(states: list[dict[str, Any]]) -> str:
    """The table, from `dvc exp show --json`: the working tree, then commits, each with its experiments."""
    lines = [f"{'':22}" + "".join(f"{name:>10}" for name in FORMATS)]
    workspace, *commits = states
    lines += entry("working tree", workspace, of=commits[0] if commits else workspace)
    for commit in commits:
        branch = f" ({commit['name']})" if commit["name"] else ""
        lines += entry(f"commit {commit['rev'][:7]}{branch}", commit, of=commit)
        for experiment in commit["experiments"] or []:
            last = experiment["revs"][0]
            name = last["name"] or last["rev"][:7]
            lines += entry(f"{name} (experiment)", last, of=commit)
    return "\n".join(lines)


def entry(name: str, state: dict[str, Any], of: dict[str, Any]) -> list[str]:
    """The lines of one state: its name, the parameters that differ from the commit `of`, one line per model."""
    before, after = parameters(of), parameters(state)
    known = sorted(before | after) if before and after else []
    changes = [
        f"{key} {before.get(key, 'missing')} -> {after.get(key, 'missing')}"
        for key in known
        if before.get(key) != after.get(key)
    ]
    lines = [": ".join([name, *([", ".join(changes)] if changes else [])])]
    scores = found(state, "metrics", str(SCORES))
    for model, values in scores.items():
        cells = [text.format(values[key]) if key in values else "" for key, text in FORMATS.items()]
        lines.append(f"  {model:20}" + "".join(f"{cell:>10}" for cell in cells))
    return lines if scores else [*lines, "  no scores"]


def parameters(state: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a state under their dotted names."""
    return flatten(found(state, "params", str(PARAMS)))


def found(state: dict[str, Any], kind: str, file: str) -> dict[str, Any]:
    """The content of a parameter or metrics file in a state; empty if it is missing or the experiment failed."""
    return (((state.get("data") or {}).get(kind) or {}).get(file) or {}).get("data") or {}


if __name__ == "__main__":
    run_stage(main)
