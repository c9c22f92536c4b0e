"""The commands of docs/experiments.md, in order, with the real `dvc` in a repository with a small data set.

Each section has one test, which continues where the previous one ended.
"""

import json
import re
import shlex
import shutil
import time
from pathlib import Path

import pytest

from tests.pipeline.conftest import Repository
from tests.pipeline.tiny_runs import load

PAGE = Path(__file__).parents[2] / "docs/experiments.md"
SECTIONS = {
    title: [line.partition("   # ")[0].strip() for line in text.splitlines() if line.startswith("    ")]
    for title, _, text in (part.partition("\n") for part in PAGE.read_text().split("\n## "))
}
# There is no .venv next to the Makefile, because the tests' environment is first on the path.
MAKE = ["make", "-o", ".venv/.requirements", "-o", ".venv/.extension"]


class Shell(Repository):
    """Runs a page's commands. `cd` changes the folder."""

    def type(self, line: str) -> str:
        words = shlex.split(line)
        if words[0] == "cd":
            self.root, self.before = (self.before if words[1] == "-" else self.root / words[1]), self.root
            return ""
        return self.run(*(MAKE + words[1:] if words[0] == "make" else words))


@pytest.fixture(scope="module")
def shell(small_repository, tmp_path_factory) -> Shell:
    root = tmp_path_factory.mktemp("experiments") / "aae"
    shutil.copytree(small_repository.root, root)
    shell = Shell(root)
    shell.run("dvc", "repro")
    shell.commit("results")
    return shell


def section(shell: Shell, title: str) -> dict[str, str]:
    """Runs a section's commands. Returns the output by command; the last output counts if a command is repeated."""
    said = {}
    for line in SECTIONS[title]:
        said[line] = shell.type(line)
        if line == "dvc queue start":
            wait_for_queue(shell)
    return said


def wait_for_queue(shell: Shell) -> None:
    while re.search(r"Queued|Running", shell.run("dvc", "queue", "status").replace("No experiment tasks", "")):
        time.sleep(1)


def names(shell: Shell) -> set[str]:
    """The names of all experiments."""
    return set(shell.run("dvc", "exp", "list", "--all-commits", "--name-only").split())


def ran_stages(output: str) -> set[str]:
    return set(re.findall(r"Running stage '([^']+)'", output))


def is_as_committed(shell: Shell) -> bool:
    return shell.run("git", "status", "--porcelain") == ""


def test_the_page_has_the_sections_that_are_tested():
    tested = {"One experiment", "A grid", "In a separate checkout", "Keeping an experiment", "Sharing", "Pruning"}
    assert {title for title, commands in SECTIONS.items() if commands} == tested | {"# Experiments"}
    assert SECTIONS["# Experiments"] == ["source .venv/bin/activate"]


def test_one_experiment(shell):
    mine = shell.root / "notes.txt"
    mine.write_text("of mine")
    said = section(shell, "One experiment")
    compared = said["make compare"]
    assert "working tree: epochs 2 -> 3\n" in compared
    assert "longer (experiment): epochs 2 -> 3\n" in compared
    assert max(map(len, compared.splitlines())) <= 100
    assert len(compared.splitlines()) <= 12
    assert len(said["dvc metrics diff"].splitlines()) <= 10
    assert shell.run("git", "status", "--porcelain") == "?? notes.txt\n", "`make reset` keeps the user's files"
    mine.unlink()
    without_files = next(text for line, text in said.items() if "--drop" in line)
    assert "aae.distance" in without_files
    assert "pipeline/" not in without_files


def test_a_refused_value_is_told_before_anything_else_and_taken_back(shell):
    refused = shell.run("dvc", "exp", "run", "-S", "epochs=0", status=255)
    assert "error: params.yaml: epochs: input should be greater than or equal to 1; found 0" in refused
    assert ran_stages(refused) == {"device"}
    assert "skipping" not in refused
    shell.type("make reset")
    assert is_as_committed(shell)


def test_only_the_scores_are_columns_whatever_the_number_of_seeds(shell):
    shown = json.loads(shell.run("dvc", "metrics", "show", "--json"))
    numbers = {file: each["data"] for file, each in shown[""]["data"].items() if each["data"]}
    assert set(numbers) == {"results/scores.json"}
    assert all(
        set(scores) == {"distance", "worst", "nats", "knn"} for scores in numbers["results/scores.json"].values()
    )


def test_a_grid(shell):
    said = section(shell, "A grid")
    assert "aae.prior.std 1.0 -> 1.5" in said["make compare"]
    assert "aae.prior.std 1.0 -> 2.0" in said["make compare"]
    assert "no scores" not in said["make compare"]
    assert is_as_committed(shell)


def test_aside(shell):
    section(shell, "In a separate checkout")
    assert "aside" in names(shell)
    assert is_as_committed(shell)


def test_keeping_one(shell):
    said = section(shell, "Keeping an experiment")
    assert load(shell.root / "results/summary.json")["epochs"] == 3
    assert "aae.distance" in said["dvc metrics diff HEAD~1 HEAD"]
    assert "try-aside" in shell.run("git", "branch")
    assert is_as_committed(shell)
    assert ran_stages(shell.run("dvc", "repro")) <= {"device"}


def test_sharing(shell):
    said = section(shell, "Sharing")
    assert ran_stages(said["dvc repro"]) == {"device"}
    second, weights = shell.root.parent / "second", shell.root.parent / "weights"
    assert (second / "report/index.html").is_file()
    snapshots = {path.name: path.read_bytes() for path in (shell.root / "results/snapshots/aae-0").iterdir()}
    assert {path.name: path.read_bytes() for path in weights.iterdir()} == snapshots


def test_pruning(shell):
    section(shell, "Pruning")
    assert "aside" not in names(shell)
    assert is_as_committed(shell)
    assert ran_stages(shell.run("dvc", "repro")) <= {"device"}


def test_leftovers_of_another_seed_change_nothing(shell):
    shell.run("dvc", "exp", "run", "-S", "seeds=[0,1]")
    assert (shell.root / "results/curves/aae-1.csv").is_file()
    shell.run("git", "checkout", "-q", ".")
    shell.run("dvc", "checkout", "-q")
    for folder in ("curves", "match"):  # whatever these two left of the other seed
        shutil.copy(shell.root / f"results/{folder}/aae-0.csv", shell.root / f"results/{folder}/aae-1.csv")
    said = shell.run("python", "-m", "pipeline.repro")
    assert ran_stages(said) == {"device"}
    assert re.search(r"removed the results of aae-1.*: params.yaml does not name", said)
    assert is_as_committed(shell)


def test_data_that_is_not_there_is_told_by_the_first_stage(shell):
    shell.edit("path: data/raw/small ", "path: data/nowhere ")
    said = shell.run("dvc", "repro", status=255)
    assert "error: params.yaml: data.path: no such file or folder: data/nowhere\n" in said
    assert ran_stages(said) == {"device"}
    shell.type("make reset")


def test_the_demo_leaves_the_checkout_as_it_is(shell):
    said = shell.type("make demo")
    report = Path(re.search(r"The report: (.*)", said)[1])
    assert report == shell.root / "build/demo/report/index.html"
    assert "<html" in report.read_text()
    assert is_as_committed(shell)


def test_the_release(shell):
    said = shell.type("make release")
    commit = shell.run("git", "rev-parse", "--short=12", "HEAD").strip()
    assert f"dist/aae-weights-{commit}.tar.gz: " in said
    assert is_as_committed(shell)
