"""`make verify` in a small repository with the real DVC: what it says about damage, and that its commands help."""

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.pipeline.conftest import Repository

ROOT = Path(__file__).parents[2]
STAGE = """
stages:
  make:
    cmd: mkdir -p out/inner && cp source/a out/inner/a && echo b > out/b && echo c > c && echo run >> runs
    deps: [source]
    outs: [out, c]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("verify")
    repository = repository_in(root)
    (root / "source").mkdir()
    (root / "source/a").write_text("a\n")
    (root / "dvc.yaml").write_text(STAGE)
    (root / ".dvcignore").write_text("# products\n__pycache__\n*.so\nbuild/\n")
    (root / ".gitignore").write_text("runs\n__pycache__\n")
    repository.run("git", "init", "-q", "-b", "main")
    repository.run("dvc", "init", "-q")
    repository.run("dvc", "repro", "-q")
    repository.commit("made")
    repository.run("dvc", "status", "-q")  # DVC notes the times of the files
    return root


@pytest.fixture
def repository(made, tmp_path) -> Repository:
    """A copy of the made one, with times and inodes that DVC knows."""
    shutil.copytree(made, tmp_path / "copy", symlinks=True)
    repository = repository_in(tmp_path / "copy")
    repository.run("dvc", "status", "-q")
    return repository


def repository_in(root: Path) -> Repository:
    repository = Repository(root)
    repository.environment["PYTHONPATH"] = str(ROOT)
    repository.environment["DVC_NO_ANALYTICS"] = "1"
    return repository


def verify(repository: Repository, status: int = 0) -> list[str]:
    return repository.run("python", "-m", "pipeline.verify", status=status).splitlines()


def flip(path: Path) -> None:
    """Flips a bit; the file's time stays."""
    status = path.stat()
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    path.chmod(status.st_mode)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def follow(repository: Repository, line: str) -> None:
    """Does what a line says, in a shell."""
    for command in re.findall("`([^`]+)`", line):
        repository.run("sh", "-c", command)


def cache_object(repository: Repository, content: bytes) -> Path:
    (path,) = (each for each in repository.root.glob(".dvc/cache/files/md5/??/*") if each.read_bytes() == content)
    return path.relative_to(repository.root)


def test_nothing_differs(repository):
    (repository.root / "source/__pycache__").mkdir()
    (repository.root / "source/__pycache__/x.pyc").write_text("ignored by DVC")
    assert verify(repository) == ["files: 4, cache objects: 4; differ: 0, missing: 0"]


def test_flipped_bits_are_found_and_the_commands_restore_them(repository):
    inner, c = repository.root / "out/inner/a", repository.root / "c"
    flip(inner)
    flip(c)
    assert "up to date" in repository.run("dvc", "status"), "DVC goes by the times"
    *lines, counts = verify(repository, status=1)
    assert lines == [
        "c: expected 2cd6ee2c70b0bde53fbe6cac3c8b8bb1, found 3b5d5c3712955042212316173ccf37be; "
        "`rm -r c; dvc repro make` makes it again",
        "out/inner/a: expected 60b725f10c9c85c70d97880dfe8191b3, found a128b681c63638c115d954cc533f01d5; "
        "`rm -r out/inner/a; dvc repro make` makes it again",
    ]
    assert counts == "files: 4, cache objects: 4; differ: 2, missing: 0"
    for line in lines:
        follow(repository, line)
    assert (inner.read_bytes(), c.read_bytes()) == (b"a\n", b"c\n")
    verify(repository)
    assert (repository.root / "runs").read_text() == "run\n", "they came from the cache"


def test_files_that_are_missing_in_a_folder_or_should_not_be_there(repository):
    (repository.root / "out/b").unlink()
    (repository.root / "out/stray").write_text("")
    (repository.root / "c").unlink()
    (repository.root / "c").mkdir()
    *lines, _ = verify(repository, status=1)
    assert [line.partition("; ")[0] for line in lines] == [
        "c: expected 2cd6ee2c70b0bde53fbe6cac3c8b8bb1, found a folder",
        "out/b: expected 3b5d5c3712955042212316173ccf37be, found nothing",
        "out/stray: expected nothing, found d41d8cd98f00b204e9800998ecf8427e",
    ]
    for line in lines:
        follow(repository, line)
    verify(repository)


def test_a_damaged_object_in_the_cache(repository):
    path = cache_object(repository, b"c\n")
    flip(repository.root / path)
    *lines, _ = verify(repository, status=1)
    assert len(lines) == 1
    assert lines[0].startswith(f"{path}: expected 2cd6ee2c70b0bde53fbe6cac3c8b8bb1, found ")
    follow(repository, lines[0])
    assert (repository.root / path).read_bytes() == b"c\n"
    verify(repository)
    assert (repository.root / "runs").read_text() == "run\n", "the workspace had the content"


def test_damage_in_both_places_is_computed_again(repository):
    path = cache_object(repository, b"a\n")
    for place in (path, "out/inner/a"):
        flip(repository.root / place)
    *lines, _ = verify(repository, status=1)
    assert len(lines) == 2
    removals = [re.search("`(rm [^;`]+)", line)[1] for line in lines]
    for command in (*removals, "dvc repro make"):
        assert command in " ".join(lines)
        repository.run("sh", "-c", command)
    assert (repository.root / "out/inner/a").read_bytes() == b"a\n"
    verify(repository)
    assert (repository.root / "runs").read_text() == "run\nrun\n"


def test_a_fresh_clone_lacks_outputs(repository, tmp_path):
    repository.run("git", "clone", "-q", ".", str(tmp_path / "clone"))
    assert verify(repository_in(tmp_path / "clone")) == [
        "c: missing; `dvc pull` or `dvc repro make` makes it",
        "out: missing; `dvc pull` or `dvc repro make` makes it",
        "files: 1, cache objects: 0; differ: 0, missing: 2",
    ]


def test_a_source_that_differs(repository):
    flip(repository.root / "source/a")
    (repository.root / "source/x.so").write_text("not tracked")
    line, _ = verify(repository, status=1)
    assert line.endswith(
        "; `git rm -rq --cached source; git checkout HEAD -- source` restores the last commit's, "
        "or `dvc repro make` takes it as it is"
    )
    repository.run("sh", "-c", "git rm -rq --cached source; git checkout HEAD -- source")
    verify(repository)
    assert (repository.root / "source/x.so").exists()


def test_data_that_git_does_not_have_are_not_removed(repository):
    repository.run("git", "rm", "-rq", "--cached", "source")
    flip(repository.root / "source/a")
    line, _ = verify(repository, status=1)
    assert line.endswith("; restore it, or `dvc repro make` takes it as it is")


def test_a_stage_that_is_gone_counts_no_longer(repository):
    """DVC leaves it in dvc.lock."""
    lock = repository.root / "dvc.lock"
    deps = f"    deps:\n    - path: params.yaml\n      hash: md5\n      md5: {'0' * 32}\n      size: 1\n"
    gone = [f"  {stage}:\n    cmd: python {stage}.py\n{deps}" for stage in ("gone", "train")]
    lock.write_text(lock.read_text() + "".join(gone))
    verify(repository)


@pytest.mark.parametrize("name", ["dvc.lock", "dvc.yaml"])
def test_a_damaged_list_of_stages_is_told_in_one_line(repository, name):
    (repository.root / name).write_text("stages: [\n")
    (line,) = verify(repository, status=1)
    assert line.startswith(f"error: {name}: cannot be read (")
    assert line.endswith(f"`git checkout {name}` restores it")
