"""AAE_CUDA decides what setup.py builds. If CUDA is not possible, one line says why, and the CPU part is complete."""

import os
import subprocess
import sys
from pathlib import Path

import aae_native
import pytest

ROOT = Path(__file__).parents[2]
BUILT = aae_native.build_info()


def build(folder, **environment):
    folders = f"--build-lib={folder}", f"--build-temp={folder}/temp"
    command = [sys.executable, "setup.py", "-q", "build_ext", *folders]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)


def fake_nvcc(home, answers):
    """A fake toolkit that has only nvcc's answers: version, architectures, library folders."""
    cases = "".join(f"--{option}) echo '{answer}' ;;\n" for option, answer in answers.items())
    nvcc = home / "bin" / "nvcc"
    nvcc.parent.mkdir(parents=True)
    nvcc.write_text(f'#!/bin/sh\ncase "$1" in\n{cases}*) echo unknown option >&2; exit 1 ;;\nesac\n')
    nvcc.chmod(0o755)


VERSION = {"version": "Cuda compilation tools, release 11.4, V11.4.1"}


@pytest.mark.parametrize(
    ("answers", "missing"),
    [
        (None, "there is no nvcc in CUDA_HOME/bin"),
        ({}, "nvcc --version says: unknown option"),
        (
            VERSION | {"list-gpu-arch": "compute_35\ncompute_75"},
            "nvcc 11.4.1 compiles for none of the capabilities [80, 90, 100, 120]",
        ),
        (
            VERSION | {"list-gpu-arch": "compute_80", "dryrun": '#$ LIBRARIES= "-L/nowhere"'},
            "nvcc 11.4.1 comes without libcudart_static.a",
        ),
    ],
    ids=["no nvcc", "broken nvcc", "too old", "no runtime"],
)
def test_demanded_but_not_there(tmp_path, answers, missing):
    if answers is not None:
        fake_nvcc(tmp_path / "home", answers)
    result = build(tmp_path / "build", AAE_CUDA="1", CUDA_HOME=str(tmp_path / "home"))
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == f"setup.py: AAE_CUDA=1, but {missing}"


def test_wrong_value(tmp_path):
    result = build(tmp_path, AAE_CUDA="yes")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "setup.py: AAE_CUDA must be auto, 0 or 1, got 'yes'"


@pytest.mark.skipif(not BUILT["cuda"], reason="built without CUDA")
def test_built_with_cuda():
    assert BUILT["cuda_reason"].endswith(f"nvcc {BUILT['cuda_toolkit']} was found")
    *machine_code, ptx = BUILT["cuda_architectures"].split()
    assert ptx == machine_code[-1].replace("sm", "compute")
    assert "-fmad=false" in BUILT["cuda_flags"].split()


WITHOUT_CUDA = """
import aae_native, torch
from aae import errors, ops
from pipeline.extension import check_extension

check_extension()
info = aae_native.build_info()
print(info["cuda"], info["cuda_reason"])
counter, key = torch.zeros(1, 4, dtype=torch.int64), torch.zeros(2, dtype=torch.int64)
print(hex(ops.philox4x32(counter, key)[0, 0]))
try:
    ops._philox4x32_cuda(counter, key)
except errors.InputError as error:
    print(error)
"""


@pytest.mark.skipif(not BUILT["cuda"], reason="built without CUDA, which the other tests then are about")
def test_built_without_a_toolkit(tmp_path):
    result = build(tmp_path, AAE_CUDA="auto", CUDA_HOME=str(tmp_path))
    assert result.returncode == 0, result.stderr
    paths = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    run = subprocess.run([sys.executable, "-c", WITHOUT_CUDA], cwd=tmp_path, env=paths, capture_output=True, text=True)
    assert run.stdout.splitlines() == [
        "False AAE_CUDA=auto, and there is no nvcc in CUDA_HOME/bin",
        "0x6627e8d5",
        "philox4x32: got tensors on a CUDA device, but the native extension was built without CUDA "
        "(AAE_CUDA=auto, and there is no nvcc in CUDA_HOME/bin); build it with AAE_CUDA=1 on a machine with nvcc",
    ]
