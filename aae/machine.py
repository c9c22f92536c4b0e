"""Describes the machine that a time was measured on."""

import platform
import subprocess
from pathlib import Path

import aae_native
import torch


def describe_machine(device: torch.device) -> dict[str, str | int]:
    """The device that trains, what computes its matrix products, and the versions that time and bits depend on."""
    machine: dict[str, str | int] = {"device": processor_name(), "products": "native"}
    if device.type == "cuda":
        machine["device"] = torch.cuda.get_device_name(device)
        machine["products"] = f"PyTorch, CUDA {torch.version.cuda}"
        machine["driver"] = driver_version()
    return machine | {
        "threads": aae_native.get_threads(),
        "instructions": aae_native.build_info()["isa"],
        "torch": torch.__version__,
        "torch_capability": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
    }


def processor_name() -> str:
    """The processor's name, or its architecture if the system does not report a name."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def driver_version() -> str:
    """The version of NVIDIA's driver, from nvidia-smi."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return answer.stdout.splitlines()[0].strip() if answer.stdout else "unknown"
