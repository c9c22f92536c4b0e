"""The device that a training uses, and the line that says why it is not the GPU. The tests set PyTorch's and the GPU's
answers."""

import aae_native
import pytest
import torch

from aae import device, ops
from aae.device import KNOWN_ANSWER, choose_device, cuda_problem
from aae.errors import InputError

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
TOO_OLD = "philox4x32: cudaErrorInsufficientDriver (CUDA driver version is insufficient for CUDA runtime version)"


def words():
    return KNOWN_ANSWER


def wrong_words():
    return [1, 2, 3, 4]


def failing_launch():
    raise RuntimeError(TOO_OLD + "\nCompile with TORCH_USE_CUDA_DSA")


@pytest.mark.parametrize(
    ("available", "built", "capability", "launch", "problem"),
    [
        (False, True, (9, 0), words, "PyTorch sees no CUDA device"),
        (True, False, (9, 0), words, "the extension has no CUDA (AAE_CUDA=0)"),
        (True, True, (7, 5), words, "the GPU's compute capability is 7.5, and the extension needs 8.0 or later"),
        (True, True, (9, 0), failing_launch, f"the extension cannot compute on the GPU ({TOO_OLD})"),
        (
            True, True, (9, 0), wrong_words,
            f"the extension computes wrong words on the GPU ([1, 2, 3, 4] in place of {KNOWN_ANSWER})",
        ),
        (True, True, (8, 0), words, None),
        (True, True, (12, 1), words, None),
    ],
)  # fmt: skip
def test_the_device(monkeypatch, available, built, capability, launch, problem):
    info = {"cuda": built, "cuda_reason": "AAE_CUDA=0", "cuda_architectures": "sm_80 sm_90 sm_120 compute_120"}
    monkeypatch.setattr(aae_native, "build_info", lambda: info)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(device, "philox_words_on_gpu", launch)
    told = []
    assert choose_device("cpu", told.append).type == "cpu"
    assert told == []
    assert choose_device("auto", told.append).type == ("cpu" if problem else "cuda")
    assert told == ([f"device: auto: training runs on the CPU: {problem}"] if problem else [])
    if problem:
        with pytest.raises(InputError) as error:
            choose_device("cuda", told.append)
        assert str(error.value) == f"device: cuda, but {problem}; allowed here: auto, cpu"
    else:
        assert choose_device("cuda").type == "cuda"


def test_the_known_answer():
    zeros = torch.zeros(1, 4, dtype=torch.int64), torch.zeros(2, dtype=torch.int64)
    assert ops.philox4x32(*zeros)[0].tolist() == KNOWN_ANSWER


@pytest.mark.cuda
@needs_cuda
def test_the_extension_computes_on_this_gpu():
    assert cuda_problem() is None
