"""Two processes of `make repro` in one folder."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
STUB = """
from pipeline import repro
from pipeline.cli import run_stage

def make_all(jobs):
    print("at work", flush=True)
    input()

repro.make_all = make_all
run_stage(repro.main)
"""


def test_the_second_says_in_one_line_that_another_is_at_work(tmp_path):
    def start() -> subprocess.Popen:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.Popen([sys.executable, "-c", STUB], cwd=tmp_path, env=environment, text=True, **pipes)

    with start() as first:
        assert first.stdout.readline() == "at work\n"
        with start() as second:
            output, error = second.communicate("\n")
        assert (second.returncode, output) == (1, "")
        assert error == "error: another `make repro` is at work in this folder; wait until it is done\n"
        first.kill()
        first.communicate()
    with start() as third:
        output, error = third.communicate("\n")
    assert (third.returncode, output, error) == (0, "at work\n", ""), "a lock of a process that was killed is free"
