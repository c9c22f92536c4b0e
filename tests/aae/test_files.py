"""Files are whole or as they were, and files that grow are known by their length and digest."""

import hashlib
import io
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aae.errors import InputError
from aae.files import GrowingFile, alone, append, begins_with, write_together, write_whole


def test_an_array_has_the_bytes_of_numpy(tmp_path):
    array, expected = np.arange(12, dtype=np.uint8).reshape(3, 4), io.BytesIO()
    np.save(expected, array)
    write_whole(tmp_path / "x.npy", lambda file: np.save(file, array))
    assert (tmp_path / "x.npy").read_bytes() == expected.getvalue()


def test_files_that_belong_together_stay_as_they_were_if_one_fails(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    write_together({first: b"old", second: b"old"})

    def stopped(file):
        file.write(b"new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_together({first: b"new", second: stopped})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"first": b"old", "second": b"old"}


def test_an_error_names_the_file_that_was_to_be_written(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as error:
        write_whole(tmp_path / "folder", b"")
    assert error.value.filename == str(tmp_path / "folder")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as error:
        append(tmp_path / "file/below", b"")
    assert error.value.filename == str(tmp_path / "file/below")
    with pytest.raises(FileNotFoundError) as error:
        write_whole(tmp_path / "copy", lambda _: (tmp_path / "missing").read_bytes())
    assert error.value.filename == str(tmp_path / "missing"), "a file that is read keeps its name"


LIMITED = """
import resource, sys
from pathlib import Path
from aae.files import append
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
append(Path(sys.argv[1]), b"12345678")
try:
    append(Path(sys.argv[1]), b"abcd")
except OSError as error:
    print(error.filename, error.strerror)
"""


def test_what_does_not_fit_is_not_added_in_part(tmp_path):
    path = tmp_path / "x"
    ended = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=True)
    assert ended.stdout == f"{path} File too large\n"
    assert path.read_bytes() == b"12345678"


@given(st.lists(st.binary(max_size=50), min_size=1), st.data())
def test_a_growing_file_is_found_again_at_any_of_its_marks(tmp_path_factory, parts, data):
    """What a crash added is cut off, and the file continues from there."""
    path = tmp_path_factory.mktemp("growing") / "x"
    file = GrowingFile(path)
    marks = [file.mark()]
    for part in parts:
        file.append(part)
        marks.append(file.mark())
    whole = b"".join(parts)
    assert marks[-1] == (len(whole), hashlib.sha256(whole).hexdigest())
    assert all(begins_with(path, mark) for mark in marks)

    place = data.draw(st.integers(0, len(parts)))
    again = GrowingFile(path, marks[place][0])
    for part in parts[place:]:
        again.append(part)
    assert (again.mark(), path.read_bytes()) == (marks[-1], whole)


@given(st.binary(min_size=1, max_size=50), st.data())
def test_damage_before_the_mark_is_noticed(tmp_path_factory, content, data):
    path = tmp_path_factory.mktemp("growing") / "x"
    file = GrowingFile(path)
    file.append(content)
    mark = file.mark()
    file.append(b"torn")
    assert begins_with(path, mark)
    place = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(path.read_bytes())
    changed[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(changed)
    assert not begins_with(path, mark)
    path.write_bytes(content[:place])
    assert not begins_with(path, mark)
    path.unlink()
    assert not begins_with(path, mark)


def test_one_process_at_a_time(tmp_path):
    lock = tmp_path / "folder/lock"
    with alone(lock, "no"), pytest.raises(InputError, match=r"^no$"), alone(lock, "no"):
        pass
    with alone(lock, "no"):
        pass
