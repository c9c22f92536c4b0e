"""Two processes of `make repro` in one folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STUB = """
import sys
from pipeline import repro
from pipeline.cli import run_stage

def make_all(jobs, cluster):
    print("at work", flush=True)
    input()

repro.make_all = make_all
run_stage(repro.main)
"""


# Like STUB, but the work is a `dvc` that waits.
WITH_CHILD = STUB.replace('print("at work", flush=True)\n    input()', "repro.repro()").replace(
    "repro.make_all", """repro.DVC = (sys.executable, "-c", "print('at work', flush=True); input()")\nrepro.make_all"""
)


def start(folder: Path, code: str = STUB) -> subprocess.Popen:
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", code], cwd=folder, env=environment, text=True, **pipes)


@pytest.mark.parametrize("code", [STUB, WITH_CHILD], ids=["at work itself", "with a child at work"])
def test_the_second_says_in_one_line_that_another_is_at_work(tmp_path, code):
    """Also if the first was killed and its child is still at work. The lock is free when all have ended."""
    with start(tmp_path, code) as first:
        assert first.stdout.readline() == "at work\n"
        if code == WITH_CHILD:
            first.kill()
            first.wait()
        with start(tmp_path) as second:
            output, error = second.communicate("\n")
        assert (second.returncode, output) == (1, "")
        assert error == "error: another `make repro` is at work in this folder; wait until it is done\n"
        first.kill()
        first.communicate()  # closes standard input, which ends the child
    with start(tmp_path) as third:
        output, error = third.communicate("\n")
    assert (third.returncode, output, error) == (0, "at work\n", ""), "a lock of a process that was killed is free"
