"""`make gpu-check` on a machine that is not fit for it."""

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
