"""Where a training runs: on a GPU if there is one that the extension can use, or else on the CPU."""

from collections.abc import Callable

import aae_native
import torch

from aae.errors import InputError
from aae.ops import philox4x32

KNOWN_ANSWER = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]  # words for a counter and key of zeros (Salmon et al.)


def choose_device(name: str, tell: Callable[[str], None] = lambda line: None) -> torch.device:
    """The device that `device: auto|cpu|cuda` means on this machine, with this extension.

    If `auto` selects the CPU, `tell` is called with a line that says why. Raises InputError if `cuda` is asked for and
    cannot be used.
    """
    problem = None if name == "cpu" else cuda_problem()
    if name == "cuda" and problem:
        raise InputError(f"device: cuda, but {problem}; allowed here: auto, cpu")
    if problem:
        tell(f"device: auto: training runs on the CPU: {problem}")
    return torch.device("cpu" if name == "cpu" or problem else "cuda")


def cuda_problem() -> str | None:
    """Why training cannot run on a GPU here, or None if it can."""
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
    except RuntimeError as error:  # from PyTorch, or the extension's CUDA runtime, which may be newer than the driver
        return f"the extension cannot compute on the GPU ({str(error).splitlines()[0]})"
    if words != KNOWN_ANSWER:
        return f"the extension computes wrong words on the GPU ({words} in place of {KNOWN_ANSWER})"
    return None


def philox_words_on_gpu() -> list[int]:
    """The four words for a counter and key of zeros, computed by the extension on the current GPU."""
    counter, key = (torch.zeros(shape, dtype=torch.int64, device="cuda") for shape in ((1, 4), (2,)))
    return philox4x32(counter, key)[0].tolist()


def describe_device(device: torch.device) -> dict[str, str]:
    """What a training's bits depend on: the type of device, and for a GPU its model. All CPUs give the same bits."""
    if device.type == "cpu":
        return {"device": "cpu"}
    return {"device": "cuda", "name": torch.cuda.get_device_name(device)}
