"""Problems that `make env` reports in one line before it downloads anything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import toolchain

ROOT = Path(__file__).parents[2]


def check(**environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pipeline.toolchain"]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)


def test_nothing_is_said_where_nothing_is_missing():
    done = check(AAE_CUDA="0")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"CXX": "no-such-compiler"}, "no C++ compiler: no-such-compiler was not found (install g++, or "),
        ({"CXX": "false"}, "false does not compile C++17; it says: nothing"),
        ({"AAE_CUDA": "yes"}, "AAE_CUDA: must be auto, 0 or 1; found yes"),
        ({"AAE_CUDA": ""}, "AAE_CUDA: must be auto, 0 or 1; found nothing"),
        ({"AAE_CUDA": "1", "CUDA_HOME": "/nowhere"}, "AAE_CUDA=1, but there is no nvcc in CUDA_HOME/bin"),
    ],
)
def test_what_is_missing_is_told_in_one_line(environment, message):
    done = check(**environment)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1


def test_an_old_python(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    assert toolchain.python_problem() == (
        f"Python 3.11 or later is needed; {sys.executable} is Python 3.9 (`make PYTHON=python3.12` selects another)"
    )


def test_no_headers(monkeypatch):
    monkeypatch.setattr(toolchain.sysconfig, "get_path", lambda name: "/nowhere")
    assert toolchain.python_problem().startswith("Python's headers are missing: there is no /nowhere/Python.h (")


def test_no_venv(monkeypatch):
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    assert toolchain.python_problem() == "Python's module venv is missing (Debian: apt install python3-venv)"
