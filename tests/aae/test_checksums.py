"""Lists of SHA-256 sums, and the files that must be as listed."""

import subprocess

import pytest

from aae.checksums import LIST, Sums, beside, check_if_listed, parse_sums, write_sums
from aae.errors import Damaged


@pytest.fixture
def folder(tmp_path):
    """A folder `run` with two files and their list, and a list of them in another folder."""
    folder = tmp_path / "run"
    folder.mkdir()
    files = [folder / "b", folder / "a file"]
    for file in files:
        file.write_bytes(file.name.encode())
    write_sums(folder / LIST, files)
    write_sums(tmp_path / "sums/run.sha256", files)
    return folder


def test_sha256sum_checks_the_lists(folder):
    for path in (folder / LIST, folder.parent / "sums/run.sha256"):
        done = subprocess.run(
            ["sha256sum", "-c", path.name], cwd=path.parent, check=True, capture_output=True, text=True
        )
        assert [line.rpartition("/")[2] for line in done.stdout.splitlines()] == ["a file: OK", "b: OK"]


def test_the_list_of_sha256sum_is_read(folder):
    for options in ([], ["--binary"]):
        done = subprocess.run(["sha256sum", *options, "./b"], cwd=folder, check=True, capture_output=True)
        (folder / LIST).write_bytes(done.stdout.upper().replace(b"B", b"b"))
        assert Sums(folder / LIST).read(folder / "b") == b"b"


def test_a_file_as_listed(folder):
    for path in (folder / LIST, folder.parent / "sums/run.sha256"):
        sums = Sums(path)
        sums.check_presence()
        assert sums.files == [folder / "a file", folder / "b"]
        assert sums.read(folder / "b") == b"b"
        sums.check(folder / "b")


@pytest.mark.parametrize("method", ["read", "check"])
def test_a_file_that_is_not_as_listed(folder, method):
    for path in (folder / LIST, folder.parent / "sums/run.sha256"):
        (folder / "b").write_bytes(b"c")
        call = getattr(Sums(path), method)
        with pytest.raises(
            Damaged, match=rf"/run/b: its SHA-256 is 2e7d2c03a950\.\.\., but {path.name} has 3e23e8160039"
        ):
            call(folder / "b")
        (folder / "b").unlink()
        with pytest.raises(Damaged, match="b: cannot be read"):
            call(folder / "b")
        (folder / "new").write_bytes(b"")
        with pytest.raises(Damaged, match=f"new: {path.name} does not list it"):
            call(folder / "new")


def test_presence(folder):
    sums = Sums(folder / LIST)
    (folder / "b").unlink()
    with pytest.raises(Damaged, match=f"b: missing, but {LIST} lists it") as error:
        sums.check_presence()
    assert (error.value.path, error.value.checked_by) == (folder / "b", folder / LIST)
    for make in ((folder / "b").mkdir, lambda: (folder / "b").symlink_to("b")):
        make()
        with pytest.raises(Damaged, match="b: not a file, but"):
            sums.check_presence()
        if not (folder / "b").is_symlink():
            (folder / "b").rmdir()


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"what is this", b"a" * 63 + b"  b", b"a" * 64, b"g" * 64 + b"  b", b"a" * 64 + b"  b\0"]
)
def test_a_list_that_is_none(folder, content):
    (folder / LIST).write_bytes(content)
    with pytest.raises(Damaged, match=f"{LIST}: needed lines with a SHA-256"):
        Sums(folder / LIST)
    with pytest.raises(Damaged, match=f"{LIST}: needed lines with a SHA-256"):
        check_if_listed(folder / "b", b"b")


def test_without_a_list_or_out_of_it_nothing_is_compared(folder):
    check_if_listed(folder / "new", b"any")
    check_if_listed(folder / "b", b"b")
    with pytest.raises(Damaged, match="b: its SHA-256"):
        check_if_listed(folder / "b", b"any")
    (folder / LIST).unlink()
    check_if_listed(folder / "b", b"any")


def test_the_list_of_a_single_file(folder):
    assert beside(folder / "x.npy") == folder / "x.npy.sha256"


def test_an_empty_list():
    assert parse_sums(b"\n") == {}
