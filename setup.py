"""Builds the native extension `aae_native`. Everything else about the package is in pyproject.toml.

The environment variable AAE_CUDA controls whether the CUDA kernels in csrc/cuda/ are compiled:

    auto   yes, if a CUDA toolkit is found (the default)
    1      yes; the build fails if no toolkit is found
    0      no

Neither the build nor the import needs a GPU. The toolkit is taken from CUDA_HOME if that is set, else from the nvcc on
the PATH, else from /usr/local/cuda.

AAE_SANITIZE=address builds slow code that stops at the first bad memory access or undefined behaviour
(`make sanitize`). AAE_SANITIZE=thread builds code that reports data races (`make sanitize-threads`).
"""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension, build_ext
from setuptools import setup

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from aae.source_digest import source_digest  # noqa: E402  (the build's path does not include the project)

# Contraction and fast-math would change the random numbers. errno and traps only prevent vectorisation of loops.
FLAGS = ["-O3", "-fno-fast-math", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
SANITIZERS = {
    "": [],
    "address": ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "thread": ["-O1", "-g", "-fsanitize=thread"],
}
NVCC_FLAGS = ["-O3", "-std=c++17", "-fmad=false", "-ftz=false", "-prec-div=true", "-prec-sqrt=true"]

# Machine code for a capability also runs on later GPUs of the same generation. The highest capability is also compiled
# to PTX, which drivers compile for future generations.
COMPUTE_CAPABILITIES = [80, 90, 100, 120]


def sources(pattern: str) -> list[str]:
    return sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "csrc").rglob(pattern))


def quoted(text: str) -> str:
    """A C++ string literal."""
    return json.dumps(text, ensure_ascii=False)


class NoToolkitError(Exception):
    """The message says, in a few words, what a build with CUDA lacks."""


@dataclass
class Toolkit:
    nvcc: str
    version: str
    architectures: list[str]  # sm_80, ... for machine code, and compute_120 for PTX
    library_folders: list[str]

    @classmethod
    def find(cls) -> "Toolkit":
        home = os.environ.get("CUDA_HOME")
        folders = f"{home}/bin" if home else f"{os.environ['PATH']}:/usr/local/cuda/bin"
        nvcc = shutil.which("nvcc", path=folders)
        if nvcc is None:
            raise NoToolkitError(f"there is no nvcc in {'CUDA_HOME/bin' if home else 'PATH or /usr/local/cuda/bin'}")

        def ask(*arguments: str) -> str:
            answer = subprocess.run([nvcc, *arguments], capture_output=True, text=True)
            if answer.returncode:
                raise NoToolkitError(f"nvcc {' '.join(arguments)} says: {answer.stderr.strip()}")
            return answer.stdout + answer.stderr

        version = re.search(r"V([\d.]+)", ask("--version"))[1]
        known = ask("--list-gpu-arch").split()
        capabilities = [number for number in COMPUTE_CAPABILITIES if f"compute_{number}" in known]
        if not capabilities:
            raise NoToolkitError(f"nvcc {version} compiles for none of the capabilities {COMPUTE_CAPABILITIES}")
        # Ask nvcc for its library folders, because NVIDIA's, conda's and the distributions' toolkits differ in layout.
        libraries = re.findall(r'"-L(.*?)"', ask("--dryrun", "-x", "cu", os.devnull, "-o", os.devnull))
        if not any((Path(folder) / "libcudart_static.a").is_file() for folder in libraries):
            raise NoToolkitError(f"nvcc {version} comes without libcudart_static.a")
        architectures = [f"sm_{number}" for number in capabilities] + [f"compute_{capabilities[-1]}"]
        return cls(nvcc, version, architectures, libraries)

    def compile(self, files: list[str], folder: Path) -> str:
        """Compiles .cu files to one object file in `folder`. Returns its path."""
        folder.mkdir(parents=True, exist_ok=True)
        unit = folder / "cuda.cu"  # one for all files, because most time goes to headers, once per architecture
        unit.write_text("".join(f"#include {quoted(str(ROOT / file))}\n" for file in files))
        targets = [f"-gencode=arch={code.replace('sm', 'compute')},code={code}" for code in self.architectures]
        built = ["-c", unit, "-o", unit.with_suffix(".o")]
        command = [self.nvcc, *NVCC_FLAGS, *targets, "-Xcompiler=-fPIC", "--threads=0", *built]
        if subprocess.run(command, cwd=ROOT).returncode:
            raise SystemExit("setup.py: nvcc failed (see above); AAE_CUDA=0 builds without CUDA")
        return str(unit.with_suffix(".o"))


class BuildExtension(build_ext):
    """Also compiles the .cu files, and records in the module what was built and why."""

    def finalize_options(self):
        super().finalize_options()
        # Always build, because file times do not show whether AAE_CUDA or the toolkit has changed.
        self.force = True

    def build_extension(self, extension):
        toolkit, reason = self.choose_toolkit()
        if toolkit:
            extension.extra_objects = [toolkit.compile(sources("*.cu"), Path(self.build_temp).resolve())]
            extension.library_dirs += toolkit.library_folders
            extension.libraries += ["cudart_static", "rt", "dl", "pthread"]
            extension.define_macros += [
                ("AAE_CUDA_TOOLKIT", quoted(toolkit.version)),
                ("AAE_CUDA_ARCHITECTURES", quoted(" ".join(toolkit.architectures))),
                ("AAE_CUDA_FLAGS", quoted(" ".join(NVCC_FLAGS))),
            ]
        extension.define_macros.append(("AAE_CUDA_REASON", quoted(reason)))
        super().build_extension(extension)

    @staticmethod
    def choose_toolkit() -> tuple[Toolkit | None, str]:
        wanted = os.environ.get("AAE_CUDA", "auto")
        if wanted not in ("auto", "0", "1"):
            raise SystemExit(f"setup.py: AAE_CUDA must be auto, 0 or 1, got '{wanted}'")
        if wanted == "0":
            return None, "AAE_CUDA=0"
        try:
            toolkit = Toolkit.find()
        except NoToolkitError as missing:
            if wanted == "1":
                raise SystemExit(f"setup.py: AAE_CUDA=1, but {missing}") from missing
            return None, f"AAE_CUDA=auto, and {missing}"
        return toolkit, f"AAE_CUDA={wanted}, and nvcc {toolkit.version} was found"


sanitizer = os.environ.get("AAE_SANITIZE", "")
if sanitizer not in SANITIZERS:
    raise SystemExit(f"setup.py: AAE_SANITIZE must be address or thread, got '{sanitizer}'")
flags = FLAGS + SANITIZERS[sanitizer]
extension = Pybind11Extension(
    "aae_native",
    sources("*.cpp"),
    define_macros=[("AAE_SOURCE_DIGEST", quoted(source_digest(ROOT))), ("AAE_FLAGS", quoted(" ".join(flags)))],
    extra_compile_args=flags,
    extra_link_args=SANITIZERS[sanitizer],
    cxx_std=17,
)

ParallelCompile().install()  # one compiler per processor
setup(ext_modules=[extension], cmdclass={"build_ext": BuildExtension})
