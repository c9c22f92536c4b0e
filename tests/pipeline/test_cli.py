"""What stages answer with one line and exit status 1, whichever of them it is."""

import aae_native
import pytest
import torch

from aae.errors import InputError
from pipeline import evaluate, prepare
from pipeline.cli import run_stage
from pipeline.train import choose_device
from tests.pipeline.tiny_runs import failure


def stopped_by(error: BaseException) -> str:
    def main():
        raise error

    with pytest.raises(SystemExit) as exit_:
        run_stage(main)
    return exit_.value.code


def test_control_c():
    assert stopped_by(KeyboardInterrupt()) == "error: interrupted"


def test_a_full_disk():
    assert stopped_by(OSError(28, "No space left on device", "results/x.csv")) == (
        "error: results/x.csv: No space left on device"
    )


def test_a_bug_keeps_its_traceback():
    for bug in (OSError("of no file"), ZeroDivisionError()):
        with pytest.raises(type(bug)):
            run_stage(lambda bug=bug: (_ for _ in ()).throw(bug))


def test_a_folder_that_is_a_file(fresh):
    (fresh / "results/curves").write_text("")
    assert failure(evaluate, "--model", "aae", "--seed", "0") == "error: results/curves: File exists"
    (fresh / "params.yaml").unlink()
    assert failure(prepare) == "error: params.yaml: cannot be read: No such file or directory"


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_out_of_range(workspace, seed):
    line = failure(evaluate, "--model", "aae", "--seed", str(seed))
    assert line == f"error: --seed: must be from 0 to 2^63 - 1; found {seed}"


@pytest.mark.parametrize(
    ("available", "built", "capability", "problem"),
    [
        (False, True, (9, 0), "PyTorch sees no CUDA device"),
        (True, False, (9, 0), r"the extension has no CUDA \(AAE_CUDA=0\)"),
        (True, True, (7, 5), "the GPU's compute capability is 7.5, and the extension needs 8.0 or later"),
        (True, True, (8, 0), None),
        (True, True, (12, 1), None),
    ],
)
def test_the_device(monkeypatch, available, built, capability, problem):
    info = {"cuda": built, "cuda_reason": "AAE_CUDA=0", "cuda_architectures": "sm_80 sm_90 sm_120 compute_120"}
    monkeypatch.setattr(aae_native, "build_info", lambda: info)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type == ("cpu" if problem else "cuda")
    if problem:
        with pytest.raises(InputError, match=f"^device: cuda, but {problem}; allowed here: auto, cpu$"):
            choose_device("cuda")
    else:
        assert choose_device("cuda").type == "cuda"
