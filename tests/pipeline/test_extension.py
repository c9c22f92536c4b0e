"""If the extension is missing or was built from other sources, one line says so."""

from pipeline.extension import ROOT, check_extension

import re
import shutil
import subprocess
import sys

import pytest

from aae.errors import InputError
from aae.source_digest import source_digest


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


@pytest.mark.parametrize("stage", ["prepare", "device"])
def test_missing(stage):
    """The first stages report it in a checkout in which `make env` has not run."""
    hidden = "import runpy, sys; sys.modules['aae_native'] = None; "
    code = hidden + f"runpy.run_module('pipeline.{stage}', run_name='__main__')"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert re.fullmatch(r"error: the native extension cannot be imported \(.*\); run `make env`\n", ended.stderr)


def test_digest_covers_names_and_only_sources(checkout):
    before = source_digest(checkout)
    (checkout / "csrc" / "notes.txt").write_text("not a source")
    assert source_digest(checkout) == before
    (checkout / "csrc" / "bindings.cpp").rename(checkout / "csrc" / "renamed.cpp")
    assert source_digest(checkout) != before
