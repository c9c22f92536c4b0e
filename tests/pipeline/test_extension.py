"""If the extension is missing or was built from other sources, one line says so."""

from pipeline.extension import ROOT, check_extension

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import aae_native
import pytest

from aae.errors import InputError
from aae.source_digest import source_digest
from pipeline import device


@pytest.fixture
def checkout(tmp_path):
    shutil.copy(ROOT / "setup.py", tmp_path)
    shutil.copytree(ROOT / "csrc", tmp_path / "csrc")
    return tmp_path


def test_built_from_these_sources():
    check_extension()


def test_another_checkout_of_the_same_sources_shares_the_build(checkout):
    check_extension(checkout)


@pytest.mark.parametrize("source", ["setup.py", "csrc/bindings.cpp", "csrc/normal.h", "csrc/cuda/sample_prior_cuda.cu"])
def test_changed_source(checkout, source):
    with (checkout / source).open("a") as file:
        file.write("\n")
    with pytest.raises(InputError, match=r"not built from the present csrc/ and setup.py; run `make env`"):
        check_extension(checkout)


STAGES = ("device", "prepare", "train", "floor", "evaluate", "render", "summarize", "report")
PROGRAMS = [*(f"pipeline.{name}" for name in (*STAGES, "repro", "demo", "trials")), "aae.command"]


def failure(program: str, hide: str = "", **environment: str) -> str:
    """The only line that a program prints. It begins with the statement `hide`."""
    start = f"runpy.run_module({program!r}, run_name='__main__')"
    if program == "aae.command":
        start = "sys.argv = ['aae', 'info']; from aae.command import main; main()"
    command = [sys.executable, "-c", f"import runpy, sys; {hide}; {start}"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | environment)
    assert (ended.returncode, ended.stdout) == (1, ""), ended.stderr
    assert ended.stderr.count("\n") == 1, ended.stderr
    return ended.stderr.rstrip()


@pytest.mark.parametrize("program", PROGRAMS)
def test_missing(program):
    line = failure(program, "sys.modules['aae_native'] = None")
    assert re.fullmatch(r"error: the native extension cannot be imported \(.*\); run `make env`", line)


@pytest.fixture
def other(tmp_path):
    """The file of an extension that programs import when `sys.path` begins with its folder."""
    return tmp_path / Path(aae_native.__file__).name


@pytest.mark.parametrize("program", PROGRAMS)
def test_cut_in_half(other, program):
    """Importing it would end in a bus error."""
    content = Path(aae_native.__file__).read_bytes()
    other.write_bytes(content[: len(content) // 2])
    sizes = f"{len(content) // 2} bytes, while its header says {len(content)}"
    assert failure(program, f"sys.path.insert(0, {str(other.parent)!r})") == (
        f"error: {other}: the native extension is cut off: {sizes}; run `make env`"
    )


def for_another_machine(content: bytes) -> bytes:
    return content[:18] + b"\xf3\x00" + content[20:]  # RISC-V


DAMAGED = {
    "empty": (lambda content: b"", "{}: the native extension is empty; run `make env`"),
    "only a header": (
        lambda content: content[:50],
        "{}: the native extension is cut off: 50 bytes, while its header says 64; run `make env`",
    ),
    "text": (lambda content: b"a text" * 99, "the native extension cannot be imported ({}: .*); run `make env`"),
    "machine": (for_another_machine, "the native extension cannot be imported ({}: .*); run `make env`"),
}


@pytest.mark.parametrize("program", ["pipeline.train", "aae.command"])
@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged(other, damage, program):
    change, message = DAMAGED[damage]
    other.write_bytes(change(Path(aae_native.__file__).read_bytes()))
    line = failure(program, f"sys.path.insert(0, {str(other.parent)!r})")
    assert re.fullmatch("error: " + re.escape(message.format(other)).replace(r"\.\*", ".*"), line)


@pytest.mark.parametrize("program", ["pipeline.train", "aae.command"])
def test_of_another_project(tmp_path, program):
    (tmp_path / "aae_native.py").write_text("version = 1\n")
    line = failure(program, f"sys.path.insert(0, {str(tmp_path)!r})")
    assert line == (
        f"error: the module aae_native is not this project's: found {tmp_path}/aae_native.py; run `make env`"
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_number_of_threads_that_no_system_has(program):
    line = failure(program, "pass", OMP_NUM_THREADS="9999999999")
    assert line == "error: OMP_NUM_THREADS must be a number of threads from 1 to 1024, got 9999999999"


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
@pytest.mark.parametrize("asked_by", ["params.yaml: threads", "OMP_NUM_THREADS"])
def test_more_threads_than_the_system_allows(fresh, asked_by):
    """A limit on memory leaves room for the stacks of some threads, but not of 1024."""
    (fresh / "data/raw/mnist").mkdir(parents=True)
    device.main()
    environment = {"OMP_NUM_THREADS": "1024"}
    if asked_by != "OMP_NUM_THREADS":
        environment = {"OMP_NUM_THREADS": "1"}
        text = (fresh / "params.yaml").read_text()
        assert "threads: auto " in text
        (fresh / "params.yaml").write_text(text.replace("threads: auto ", "threads: 1024 "))
    code = f"""
import os, resource, sys
sys.path.insert(0, {str(ROOT)!r})
from pipeline import train
from pipeline.cli import run_stage
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + 2**28,) * 2)
sys.argv = ["train", "--model", "aae", "--seed", "0"]
run_stage(train.main)
"""
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, cwd=fresh, capture_output=True, text=True, env=os.environ | environment)
    assert ended.returncode == 1
    refused = rf"error: {asked_by}: the system refuses to start 1024 threads; it started \d+, so ask for fewer, .*\n"
    assert re.fullmatch(refused, ended.stderr)


def test_digest_covers_names_and_only_sources(checkout):
    before = source_digest(checkout)
    (checkout / "csrc" / "notes.txt").write_text("not a source")
    assert source_digest(checkout) == before
    (checkout / "csrc" / "bindings.cpp").rename(checkout / "csrc" / "renamed.cpp")
    assert source_digest(checkout) != before
