"""`make gpu-check` on a machine that lacks something it needs."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).with_name("gpu_check.py")


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
def test_what_is_lacking_is_said_in_one_line():
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: gpu-check: needed and not found: ")
    assert "a CUDA device that PyTorch sees" in line
    assert "Python.h" not in line  # present, because the extension of these tests was built with it


def test_headers_of_python_that_are_not_there():
    """Distributions package them separately. The build would fail only after a minute."""
    code = "import runpy, sysconfig; path = sysconfig.get_path; "
    code += "sysconfig.get_path = lambda name, *others: '/none' if name == 'include' else path(name, *others); "
    code += f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-dev"
    assert f"Python.h in /none (Debian's {package})" in done.stderr
