"""Builds the native extension `aae_native`; everything else about the package is in pyproject.toml."""

import sys
from pathlib import Path

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension
from setuptools import setup

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from pipeline.extension import source_digest  # noqa: E402  (the build's path does not hold the project)

# Contraction and fast-math would change the random numbers; errno and traps only keep loops from vectorising.
FLAGS = ["-O3", "-fno-fast-math", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]

extension = Pybind11Extension(
    "aae_native",
    sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "csrc").rglob("*.cpp")),
    depends=["setup.py", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "csrc").rglob("*.h"))],
    define_macros=[("AAE_SOURCE_DIGEST", f'"{source_digest(ROOT)}"'), ("AAE_FLAGS", f'"{" ".join(FLAGS)}"')],
    extra_compile_args=FLAGS,
    cxx_std=17,
)

ParallelCompile(default=0).install()  # a compiler a core
setup(ext_modules=[extension])
