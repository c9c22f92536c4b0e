"""The files that describe the project agree with each other: versions, locked tools, make targets."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.params import load_params

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def load(name: str) -> dict:
    return YAML(typ="safe").load((ROOT / name).read_text())


def test_the_citation_is_of_this_version():
    assert load("CITATION.cff")["version"] == PROJECT["version"]
    assert load("CITATION.cff")["license"] == PROJECT["license"]


def test_every_requirement_is_locked():
    needed = [
        *PROJECT["dependencies"],
        *(each for extra in PROJECT["optional-dependencies"].values() for each in extra),
    ]
    names = {re.match(r"[\w.-]+", each)[0].lower().replace("_", "-").replace(".", "-") for each in needed}
    locked = {line.split("==")[0] for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line}
    # A requirement on the project itself, such as "aae[pipeline]", includes another of its extras.
    assert names - {PROJECT["name"]} <= locked


@pytest.mark.parametrize("hook", load(".pre-commit-config.yaml")["repos"][0]["hooks"], ids=lambda hook: hook["id"])
def test_hooks_are_tools_of_the_environment(hook):
    tool = hook["entry"].split()[0]
    assert tool.startswith(".venv/bin/")
    assert shutil.which(Path(tool).name)


@pytest.mark.parametrize("page", ["README.md", ".github/workflows/ci.yml", "CONTRIBUTING.md", "docs/portability.md"])
def test_the_targets_of_make_exist(page):
    named = re.findall(r"(?:^    |`|run: )g?make ([a-z-]+)", (ROOT / page).read_text(), re.MULTILINE)
    assert named
    assert set(named) <= TARGETS


def test_the_readme_changes_parameters_that_exist(tmp_path):
    """Every `-S` of the README is a change that params.yaml accepts."""
    changes = re.findall(r"-S '?([\w.]+)=([^\s'`]+)", (ROOT / "README.md").read_text())
    assert len(changes) > 3
    for key, value in changes:
        content = load("params.yaml")
        *sections, last = key.split(".")
        section = content
        for name in sections:
            section = section[name]
        assert last in section
        section[last] = YAML(typ="safe").load(value)
        with (tmp_path / "params.yaml").open("w") as file:
            YAML(typ="safe").dump(content, file)
        if key != "aae.labels":  # which needs the prior that stands beside it
            load_params(tmp_path / "params.yaml")
