"""When `make env` rebuilds the environment. A script replaces Python and records how it is called."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Makes an environment whose programs do nothing, and prints what Python would print.
STAND_IN = """#!/bin/sh
me=$(realpath "$0")
echo "$(basename "$0") $*" >> "$LOG"
case "$*" in
  "-m venv --clear .venv")
    rm -rf .venv; mkdir -p .venv/bin
    printf 'executable = %s\\ncommand = %s -m venv --clear %s/.venv\\n' "$me" "$me" "$PWD" > .venv/pyvenv.cfg
    printf '#!/bin/sh\\n' > .venv/bin/pip; cp .venv/bin/pip .venv/bin/uv
    printf '#!/bin/sh\\necho "%s"\\n' "$PWD/.venv" > .venv/bin/python
    chmod +x .venv/bin/*;;
  "-c "*) echo "$me";;
esac
"""


class Checkout:
    def __init__(self, root: Path, log: Path):
        self.root, self.log = root, log

    def make(self, *arguments: str, status: int = 0) -> str:
        """Runs `make env`; returns its output."""
        self.log.write_text("")
        done = subprocess.run(
            ["make", "env", *arguments], cwd=self.root, env=os.environ | {"LOG": str(self.log)}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == status, done.stdout
        return done.stdout

    @property
    def made(self) -> list[str]:
        """The Pythons with which the last `make` created an environment."""
        return [line.split()[0] for line in self.log.read_text().splitlines() if "-m venv" in line]


@pytest.fixture
def checkout(tmp_path):
    root = tmp_path / "checkout"
    root.mkdir()
    for path in (*(ROOT / name for name in ("Makefile", "setup.py", "pyproject.toml")), *ROOT.glob("requirements*.txt")):
        shutil.copy(path, root)
    for name in ("pipeline", "csrc"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("python3.98", "python3.99"):
        (tmp_path / name).write_text(STAND_IN)
        (tmp_path / name).chmod(0o755)
    return Checkout(root, tmp_path / "log")


def test_an_environment_is_made_once(checkout):
    python = f"PYTHON={checkout.root.parent / 'python3.98'}"
    checkout.make(python)
    assert checkout.made == ["python3.98"]
    checkout.make(python)
    assert checkout.made == []
    checkout.make()
    assert checkout.made == [], "without PYTHON, an environment made with any Python is accepted"


def test_another_python_makes_it_anew(checkout):
    first, second = (checkout.root.parent / name for name in ("python3.98", "python3.99"))
    checkout.make(f"PYTHON={first}")
    said = checkout.make(f"PYTHON={second}")
    assert f".venv was made in {checkout.root}/.venv with {first}; it is made anew\n" in said
    assert checkout.made == ["python3.99"]


@pytest.mark.parametrize("move", [shutil.move, shutil.copytree])
def test_in_another_folder_it_is_made_anew(checkout, move):
    python = f"PYTHON={checkout.root.parent / 'python3.98'}"
    checkout.make(python)
    there = checkout.root.with_name("elsewhere")
    move(checkout.root, there)
    moved = Checkout(there, checkout.log)
    assert f".venv was made in {checkout.root}/.venv" in moved.make(python)
    assert moved.made == ["python3.98"]
    moved.make(python)
    assert moved.made == []


def test_without_a_compiler_nothing_is_made(checkout):
    said = checkout.make(f"PYTHON={sys.executable}", "CXX=no-such-compiler", status=2)
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: no C++ compiler: no-such-compiler was not found")
    assert "Traceback" not in said
    assert not (checkout.root / ".venv").exists()


def test_what_an_environments_python_starts_finds_the_environment(tmp_path):
    """For example when `.venv/bin/dvc repro` runs in a shell without the environment activated."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = subprocess.run([python, "-c", ask], check=True, capture_output=True, text=True).stdout.strip()
    shutil.copy(ROOT / "pipeline/environment.pth", packages)
    stage = "import subprocess; subprocess.run('python -c \"import sys; print(sys.prefix)\"', shell=True, check=True)"
    environment = {"PATH": "/usr/bin:/bin"}
    said = subprocess.run([python, "-c", stage], env=environment, check=True, capture_output=True, text=True).stdout
    assert said == f"{tmp_path / 'venv'}\n"
