"""Where a training runs: on the GPU where there is one that the extension works on, or on the CPU."""

from collections.abc import Callable

import aae_native
import torch

from aae.errors import InputError
from aae.ops import philox4x32

KNOWN_ANSWER = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]  # of a counter and key of zeros (Salmon et al.)


def choose_device(name: str, tell: Callable[[str], None] = lambda line: None) -> torch.device:
    """The device that `device: auto|cpu|cuda` means on this machine, with this extension.

    Where `auto` means the CPU, `tell` is called with a line that says why. Raises InputError where it is `cuda` and
    cannot be had.
    """
    problem = None if name == "cpu" else cuda_problem()
    if name == "cuda" and problem:
        raise InputError(f"device: cuda, but {problem}; allowed here: auto, cpu")
    if problem:
        tell(f"device: auto: training runs on the CPU: {problem}")
    return torch.device("cpu" if name == "cpu" or problem else "cuda")


def cuda_problem() -> str | None:
    """Why a training cannot run on a GPU here, or None if it can."""
    info = aae_native.build_info()
    if not torch.cuda.is_available():
        return "PyTorch sees no CUDA device"
    if not info["cuda"]:
        return f"the extension has no CUDA ({info['cuda_reason']})"
    oldest = min(int(code[3:]) for code in info["cuda_architectures"].split() if code.startswith("sm_"))
    major, minor = torch.cuda.get_device_capability()
    if 10 * major + minor < oldest:
        return f"the GPU's compute capability is {major}.{minor}, and the extension needs {oldest / 10} or later"
    try:
        words = philox_words_on_gpu()
    except RuntimeError as error:  # of the extension's CUDA runtime, which may be newer than the driver, or of PyTorch
        return f"the extension cannot compute on the GPU ({str(error).splitlines()[0]})"
    if words != KNOWN_ANSWER:
        return f"the extension computes wrong words on the GPU ({words} in place of {KNOWN_ANSWER})"
    return None


def philox_words_on_gpu() -> list[int]:
    """The four words of a counter and key of zeros, computed by the extension on the current GPU."""
    counter, key = (torch.zeros(shape, dtype=torch.int64, device="cuda") for shape in ((1, 4), (2,)))
    return philox4x32(counter, key)[0].tolist()


def describe_device(device: torch.device) -> dict[str, str]:
    """What the bits of a training depend on: the kind of device, and on a GPU which one. All CPUs give the same."""
    if device.type == "cpu":
        return {"device": "cpu"}
    return {"device": "cuda", "name": torch.cuda.get_device_name(device)}
