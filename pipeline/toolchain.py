"""Checks the requirements of `make env` before it downloads anything. One line reports what is missing.

This runs with the Python from which the environment is made, before anything is installed. So it uses only the standard
library, and no syntax that an old Python rejects: types such as `str | None` are in quotes.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig

OLDEST_PYTHON = (3, 11)
PROGRAM = "#include <optional>\nint main() { return std::optional<int>(0).value(); }\n"  # C++17


def main() -> None:
    for problem in (python_problem, compiler_problem, cuda_problem):
        found = problem()
        if found:
            sys.exit("error: " + found)


def python_problem() -> "str | None":
    """One line about what is wrong with this Python, or None."""
    if sys.version_info < OLDEST_PYTHON:
        found = "{} is Python {}.{}".format(sys.executable, *sys.version_info[:2])
        return f"Python 3.11 or later is needed; {found} (`make PYTHON=python3.12` selects another)"
    try:
        import ensurepip
        import venv
    except ImportError:
        return "Python's module venv is missing (Debian: apt install python3-venv)"
    assert ensurepip, venv
    header = os.path.join(sysconfig.get_path("include"), "Python.h")
    if not os.path.isfile(header):
        return f"Python's headers are missing: there is no {header} (Debian: apt install python3-dev)"
    return None


def compiler_problem() -> "str | None":
    """One line about what is wrong with the compilers that setuptools will use, or None."""
    for variable in ("CC", "CXX"):
        command = shlex.split(os.environ.get(variable) or sysconfig.get_config_var(variable) or "g++")
        check = ["-std=c++17", "-fsyntax-only", "-x", "c++", "-"]
        try:
            done = subprocess.run(command + check, input=PROGRAM.encode(), capture_output=True)
        except OSError:
            hint = "install g++, or for clang set CC=clang and CXX=clang++"
            return f"no C++ compiler: {command[0]} was not found ({hint})"
        if done.returncode:
            said = (done.stderr.decode(errors="replace").strip().splitlines() or ["nothing"])[0]
            return "{} does not compile C++17; it says: {}".format(" ".join(command), said)
    return None


def cuda_problem() -> "str | None":
    """One line about what is wrong with AAE_CUDA, or None. setup.py explains the variable."""
    wanted = os.environ.get("AAE_CUDA", "auto")
    if wanted not in ("auto", "0", "1"):
        return "AAE_CUDA: must be auto, 0 or 1; found {}".format(wanted or "nothing")
    home = os.environ.get("CUDA_HOME")
    folders = home + "/bin" if home else os.environ["PATH"] + ":/usr/local/cuda/bin"
    if wanted == "1" and shutil.which("nvcc", path=folders) is None:
        return "AAE_CUDA=1, but there is no nvcc in {}".format(
            "CUDA_HOME/bin" if home else "PATH or /usr/local/cuda/bin"
        )
    return None


if __name__ == "__main__":
    main()
