"""An allocation that fails ends in one line that says what to lower."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("allocate", ["bytearray(2**40)", "torch.empty(2**40)"])
def test_too_little_memory_ends_in_one_line(allocate):
    script = f"""
import resource, torch
from aae.errors import told_in_one_line
resource.setrlimit(resource.RLIMIT_AS, (2**36, 2**36))
with told_in_one_line():
    {allocate}
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.startswith("error: out of memory; lower batch_size")
    assert run.stderr.count("\n") == 1
