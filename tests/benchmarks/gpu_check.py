"""`make gpu-check`: everything that needs a GPU, in one command and under eight minutes.

Builds the extension with CUDA, runs the tests marked `cuda`, trains the default experiment's models in every way and
next to a plain PyTorch version, runs the GPU benchmarks, and writes docs/gpu.md. DVC is not needed. If the machine
lacks something, one line names it at the start. Exit status 1 means that a requirement is missing or a step failed. If
the page was written, it names the failed steps.
"""

import importlib.util
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/gpu.md"
BUDGET = 450  # seconds for everything
TORCH = (2, 11)
PACKAGES = ("numpy", "pybind11", "setuptools", "pytest", "pytest_benchmark", "hypothesis")
PACKAGES += ("annotated_types", "pydantic", "ruamel.yaml")
EPOCHS = 100

# Model, way, precision, deterministic, and the number of seconds after which no new epoch begins.
TRAININGS = [
    ("aae", "graphs", "float32", True, 25),
    ("aae", "plain", "float32", False, 30),
    ("aae", "one by one", "float32", True, 12),
    ("aae", "graphs", "float32", False, 25),
    ("aae", "one by one", "float32", False, 12),
    ("aae", "graphs", "tf32", True, 25),
    ("aae", "graphs", "bfloat16", True, 25),
    ("aae_joint", "graphs", "float32", True, 25),
    ("vae", "graphs", "float32", True, 25),
    ("vae", "plain", "float32", False, 12),
]


def main() -> None:
    if missing := missing_requirements():
        sys.exit(f"error: gpu-check: needed and not found: {'; '.join(missing)}")
    check = Check()
    check.run("build", 240, "setup.py", "-q", "build_ext", "--inplace", AAE_CUDA="1")
    if check.failures:
        sys.exit("error: gpu-check: the extension cannot be built")
    check.run("tests", 180, "-m", "pytest", "-q", "-m", "cuda", *PYTEST, *cuda_tests())
    trainings = [(training, train(check, *training)) for training in TRAININGS]
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "benchmarks.json"
        check.run("benchmarks", 120, "-m", "pytest", "-q", "--benchmark-only", f"--benchmark-json={results}", *PYTEST,
                  "tests/benchmarks/test_gpu_ops.py")  # fmt: skip
        benchmarks = json.loads(results.read_text())["benchmarks"] if results.is_file() else []
    check.compare_bits(trainings)
    page = [*machine(), *check.page(), *training_table(trainings), *benchmark_table(benchmarks)]
    PAGE.write_text("\n".join(page) + "\n")
    print("\n".join(page), flush=True)
    if check.failures:
        sys.exit(f"error: gpu-check: failed: {'; '.join(check.failures)}")


# --- requirements --------------------------------------------------------------------------------------


def installed(package: str) -> bool:
    """Whether the package is installed. `find_spec` alone raises if a package's parent is missing."""
    return all(importlib.util.find_spec(name) for name in (package.partition(".")[0], package))


def missing_requirements() -> list[str]:
    """The requirements that this machine lacks, in a few words each."""
    missing = [f"Python package {name.replace('_', '-')}" for name in PACKAGES if not installed(name)]
    if importlib.util.find_spec("torch") is None:
        missing.append("torch {}.{} or later".format(*TORCH))
    else:
        import torch

        if tuple(map(int, re.findall(r"\d+", torch.__version__)[:2])) < TORCH:
            missing.append("torch {}.{} or later (found {})".format(*TORCH, torch.__version__))
        if not torch.cuda.is_available():
            missing.append("a CUDA device that PyTorch sees")
    home = os.environ.get("CUDA_HOME")
    if shutil.which("nvcc", path=f"{home}/bin" if home else f"{os.environ['PATH']}:/usr/local/cuda/bin") is None:
        missing.append("nvcc (in CUDA_HOME/bin, PATH or /usr/local/cuda/bin)")
    if not any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++"))):
        missing.append("a C++ compiler")
    headers = sysconfig.get_path("include")
    if not Path(headers, "Python.h").is_file():
        missing.append(f"Python.h in {headers} (Debian's python{sys.version_info.major}.{sys.version_info.minor}-dev)")
    return missing


# --- steps ---------------------------------------------------------------------------------------------

PYTEST = ("-o", "addopts=--strict-markers --import-mode=importlib", "-p", "no:cacheprovider")
TRAINING = "tests/benchmarks/gpu_training.py"


@dataclass
class Step:
    name: str
    failure: str  # empty if there was none
    output: str
    seconds: float


class Check:
    """The steps so far. Each is a separate process, so a step that fails, crashes or hangs does not affect others."""

    def __init__(self):
        self.start = time.monotonic()
        self.steps: list[Step] = []
        self.failures: list[str] = []

    def run(self, name: str, seconds: float, *command: str, **environment: str) -> Step:
        """Runs Python on `command`, for at most `seconds` and never beyond the budget."""
        start = time.monotonic()
        seconds = max(1.0, min(seconds, BUDGET - (start - self.start)))
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        environment = os.environ | {"PYTHONPATH": path} | environment
        process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, text=True,
                                   start_new_session=True, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT)  # fmt: skip
        failure = ""
        try:
            output, _ = process.communicate(timeout=seconds)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)  # including its compilers
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            output, _ = process.communicate()
            failure = f"stopped after {seconds:.0f} s"
        if process.returncode and not failure:
            failure = f"ended with status {process.returncode}"
        step = Step(name, failure, output, time.monotonic() - start)
        self.steps.append(step)
        print(f"gpu-check: {name}: {failure or 'done'} ({step.seconds:.0f} s)", flush=True)
        if failure:
            print(output[-5000:], flush=True)
            self.failures.append(f"{name} ({failure})")
        return step

    def compare_bits(self, trainings: list) -> None:
        """Checks that deterministic trainings of a model give the same bits in graphs and one by one."""
        bits = {way: result["weights"] for (model, way, precision, deterministic, _), result in trainings
                if (model, precision, deterministic) == ("aae", "float32", True) and result}  # fmt: skip
        if len(set(bits.values())) > 1:
            self.failures.append(f"weights after the first epoch differ: {bits}")

    def page(self) -> list[str]:
        rows = [f"| {step.name} | {step.failure or last_line(step)} | {step.seconds:.0f} |" for step in self.steps]
        failures = [f"**Failed: {failure}.**\n" for failure in self.failures]
        return ["\n## Steps\n", *failures, "| step | how it ended | s |", "|---|---|---|", *rows]


def cuda_tests() -> list[str]:
    """The test files with a test marked `cuda`. Other files may import packages that this check does not require."""
    paths = [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if "mark.cuda" in path.read_text()]
    return [str(path.relative_to(ROOT)) for path in paths if path.parent.name != "benchmarks"]


def train(check: Check, model: str, way: str, precision: str, deterministic: bool, seconds: float) -> dict:
    """The measurements of gpu_training.py."""
    name = f"{model}, {way}, {precision}{', deterministic' if deterministic else ''}"
    options = ["--model", model, "--way", way, "--precision", precision, "--seconds", str(seconds)]
    options += ["--deterministic"] if deterministic else []
    return last_json(check.run(name, seconds + 35, TRAINING, *options, "--epochs", str(EPOCHS)))


def last_json(step: Step) -> dict:
    """The result of gpu_training.py, without the libraries' warnings; empty if it failed."""
    found = [line for line in step.output.splitlines() if line.startswith("{")]
    return json.loads(found[-1]) if found and not step.failure else {}


def last_line(step: Step) -> str:
    """The last line of the step's readable output."""
    line = (step.output.strip().splitlines() or [""])[-1].strip("= ")
    return "done" if not line or line.startswith("{") else line


# --- the page ------------------------------------------------------------------------------------------


def machine() -> list[str]:
    import torch

    sys.path.insert(0, str(ROOT))  # which contains the extension now
    import aae_native

    from aae.machine import driver_version, processor_name

    nvcc = aae_native.build_info()["cuda_toolkit"]
    return [
        "# On a GPU\n",
        "Written by `make gpu-check`. Times are wall-clock times of whole epochs of the default experiment's training",
        "(468 iterations), data on the GPU.\n",
        f"- GPU: {torch.cuda.get_device_name()}, driver {driver_version()}",
        f"- torch {torch.__version__}, CUDA {torch.version.cuda}, nvcc {nvcc}, Python {platform.python_version()}",
        f"- processor: {processor_name()}, {os.cpu_count()} cores for this system",
    ]


def training_table(trainings: list) -> list[str]:
    lines = [
        "\n## Training\n",
        "*Plain* is the plainest PyTorch: `backward()` and `torch.optim.Adam`. The first epoch contains the libraries' "
        "start, and in graphs their capture.\n",
        "| model | way | precision | deterministic | epochs | first epoch, s | median epoch, s | "
        "times faster than plain | weights after 1 epoch |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    plain = {model: result["median_epoch"] for (model, way, *_), result in trainings if way == "plain" and result}
    for (model, way, precision, deterministic, _), result in trainings:
        if not result:
            lines.append(f"| {model} | {way} | {precision} | {'yes' if deterministic else 'no'} | failed | | | | |")
            continue
        faster = f"{plain[model] / result['median_epoch']:.1f}" if model in plain else ""
        lines.append(
            f"| {model} | {way} | {precision} | {'yes' if deterministic else 'no'} | {result['epochs']} | "
            f"{result['first_epoch']:.3f} | {result['median_epoch']:.4f} | {faster} | {result['weights']} |"
        )
    return lines


def benchmark_table(benchmarks: list[dict]) -> list[str]:
    rows = []
    for benchmark in benchmarks:
        what, notes = benchmark["group"].removeprefix("GPU, "), benchmark["extra_info"]
        way = "native" if "native" in benchmark["name"] else "plain"
        copy = notes["of a copy's"]
        rows.append(
            f"| {what} | {way} | {notes['kernels']} | {notes['microseconds']:.2f} | {notes['GB/s']:.0f} | {copy:.2f} |"
        )
    head = ["| | way | kernels | µs a call | GB/s | of a copy's |", "|---|---|---|---|---|---|"]
    return ["\n## The random part of a step\n", *head, *rows] if rows else []


if __name__ == "__main__":
    main()
