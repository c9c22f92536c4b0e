"""When `make env` rebuilds the environment. A script replaces Python and records how it is called."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCK = ("requirements.txt", "requirements-cpu.txt", "requirements-cuda.txt")
# Makes an environment whose programs do nothing, and prints what Python would print.
STAND_IN = """#!/bin/sh
me=$(realpath "$0")
echo "$(basename "$0") $*" >> "$LOG"
case "$*" in
  "-m venv --clear .venv")
    rm -rf .venv; mkdir -p .venv/bin
    printf 'executable = %s\\ncommand = %s -m venv --clear %s/.venv\\n' "$me" "$me" "$PWD" > .venv/pyvenv.cfg
    printf '#!/bin/sh\\n' > .venv/bin/pip; cp .venv/bin/pip .venv/bin/uv
    printf '#!/bin/sh\\necho "%s"\\n' "$PWD/.venv" > .venv/bin/python
    chmod +x .venv/bin/*;;
  "-c "*) echo "$me";;
esac
"""


class Checkout:
    def __init__(self, root: Path, log: Path):
        self.root, self.log = root, log

    def make(self, *arguments: str, status: int = 0) -> str:
        """Runs `make env`; returns its output."""
        self.log.write_text("")
        done = subprocess.run(
            ["make", "env", *arguments], cwd=self.root, env=os.environ | {"LOG": str(self.log)}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == status, done.stdout
        return done.stdout

    @property
    def made(self) -> list[str]:
        """The Pythons with which the last `make` created an environment."""
        return [line.split()[0] for line in self.log.read_text().splitlines() if "-m venv" in line]


@pytest.fixture
def checkout(tmp_path):
    root = tmp_path / "checkout"
    root.mkdir()
    for path in (
        *(ROOT / name for name in ("Makefile", "setup.py", "pyproject.toml")),
        *ROOT.glob("requirements*.txt"),
    ):
        shutil.copy(path, root)
    for name in ("pipeline", "csrc"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("python3.98", "python3.99"):
        (tmp_path / name).write_text(STAND_IN)
        (tmp_path / name).chmod(0o755)
    return Checkout(root, tmp_path / "log")


def test_an_environment_is_made_once(checkout):
    python = f"PYTHON={checkout.root.parent / 'python3.98'}"
    checkout.make(python)
    assert checkout.made == ["python3.98"]
    checkout.make(python)
    assert checkout.made == []
    checkout.make()
    assert checkout.made == [], "without PYTHON, an environment made with any Python is accepted"


def test_another_python_makes_it_anew(checkout):
    first, second = (checkout.root.parent / name for name in ("python3.98", "python3.99"))
    checkout.make(f"PYTHON={first}")
    said = checkout.make(f"PYTHON={second}")
    assert f".venv was made in {checkout.root}/.venv with {first}; it is made anew\n" in said
    assert checkout.made == ["python3.99"]


@pytest.mark.parametrize("move", [shutil.move, shutil.copytree])
def test_in_another_folder_it_is_made_anew(checkout, move):
    python = f"PYTHON={checkout.root.parent / 'python3.98'}"
    checkout.make(python)
    there = checkout.root.with_name("elsewhere")
    move(checkout.root, there)
    moved = Checkout(there, checkout.log)
    assert f".venv was made in {checkout.root}/.venv" in moved.make(python)
    assert moved.made == ["python3.98"]
    moved.make(python)
    assert moved.made == []


def test_an_extension_that_was_damaged_is_rebuilt(checkout):
    python, build = f"PYTHON={checkout.root.parent / 'python3.98'}", "--no-build-isolation --no-deps -e ."
    assert build in checkout.make(python)
    assert build not in checkout.make(python)
    (checkout.root / "aae_native.cpython-398.so").write_bytes(b"cut off")
    assert build in checkout.make(python)
    assert build not in checkout.make(python)


def test_without_a_compiler_nothing_is_made(checkout):
    said = checkout.make(f"PYTHON={sys.executable}", "CXX=no-such-compiler", status=2)
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: no C++ compiler: no-such-compiler was not found")
    assert "Traceback" not in said
    assert not (checkout.root / ".venv").exists()


def test_what_an_environments_python_starts_finds_the_environment(tmp_path):
    """For example when `.venv/bin/dvc repro` runs in a shell without the environment activated."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = subprocess.run([python, "-c", ask], check=True, capture_output=True, text=True).stdout.strip()
    shutil.copy(ROOT / "pipeline/environment.pth", packages)
    stage = "import subprocess; subprocess.run('python -c \"import sys; print(sys.prefix)\"', shell=True, check=True)"
    environment = {"PATH": "/usr/bin:/bin"}
    said = subprocess.run([python, "-c", stage], env=environment, check=True, capture_output=True, text=True).stdout
    assert said == f"{tmp_path / 'venv'}\n"


def requirement(name: str, wheels: Path, content: str = "") -> str:
    """Makes a wheel of the package `name` in the folder `wheels`. Returns its line for a lock, with its hash."""
    path = wheels / f"{name}-1.0-py3-none-any.whl"
    wheels.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", content)
        folder = f"{name}-1.0.dist-info"
        wheel.writestr(f"{folder}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{folder}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{folder}/RECORD", f"{name}.py,,\n{folder}/METADATA,,\n{folder}/WHEEL,,\n{folder}/RECORD,,\n")
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.mark.parametrize("target", [".venv/.build-requirements", ".venv/.requirements"])
def test_another_file_than_the_locked_one_is_not_installed(checkout, target):
    """pip installs the first packages and uv the others, here from a folder, without an index."""
    wheels = checkout.root.parent / "wheels"
    names = ["pybind11", "setuptools", "uv"] if target == ".venv/.build-requirements" else ["aaa", "bbb"]
    (checkout.root / "requirements.txt").write_text("".join(requirement(name, wheels) for name in names))
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_CONFIG_FILE": os.devnull, "UV_OFFLINE": "1"}
    offline |= {
        "UV_FIND_LINKS": str(wheels),
        "UV_NO_CACHE": "1",
        "PATH": os.environ["PATH"],
        "HOME": os.environ["HOME"],
    }

    def make() -> subprocess.CompletedProcess:
        shutil.rmtree(checkout.root / ".venv", ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], cwd=checkout.root, check=True)
        tools = checkout.root / ".venv/bin"  # pip and uv of this environment, which work on the new one
        (tools / "pip").write_text(f'#!/bin/sh\nexec {sys.executable} -m pip --python {tools}/python "$@"\n')
        (tools / "pip").chmod(0o755)
        if target == ".venv/.requirements":
            (tools / "uv").symlink_to(shutil.which("uv"))
            (checkout.root / ".venv/.build-requirements").touch()
        command = ["make", target, f"PYTHON={sys.executable}"]
        return subprocess.run(command, cwd=checkout.root, env=offline, capture_output=True, text=True)

    done = make()
    assert done.returncode == 0, done.stderr
    assert list(checkout.root.glob(f".venv/lib/*/site-packages/{names[-1]}.py"))
    requirement(names[-1], wheels, "print('another content')")
    done = make()
    assert done.returncode == 2
    assert "hash" in done.stderr.lower()
    assert not list(checkout.root.glob(f".venv/lib/*/site-packages/{names[-1]}.py"))


@pytest.mark.parametrize("name", LOCK)
def test_every_locked_package_has_hashes(name):
    entries = re.split(r"^(?=\S)", (ROOT / name).read_text(), flags=re.MULTILINE)[1:]
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==\S+( ; [^\\]*)?( \\\n    --hash=sha256:[0-9a-f]{64})+\n$", entry), entry


def test_both_builds_of_pytorch_are_one_version():
    """requirements-cpu.txt is made only when the version changes."""
    (version,) = re.findall(r"^torch==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert (ROOT / "requirements-cpu.txt").read_text().startswith(f"torch=={version}+cpu ")


def test_nothing_is_installed_without_hashes():
    """Except the project itself, which is in the checkout."""
    for name in ("Makefile", ".github/workflows/ci.yml", ".ci/run", ".devcontainer.json"):
        text = re.sub(r"\\\n\s*", "", (ROOT / name).read_text())
        for line in text.splitlines():
            if re.search(r"pip install|\$\(INSTALL\)", line) and not line.startswith("INSTALL = "):
                assert "--require-hashes" in line or line.strip() == "$(INSTALL) --no-deps -e .", line
    uses = re.findall(r"uses: (\S+)", (ROOT / ".github/workflows/ci.yml").read_text())
    assert uses
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", each) for each in uses)
