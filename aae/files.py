"""Writing files that are complete or as they were before, even after a crash or on a full disk.

Every OSError names the file that was to be written.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from aae.errors import InputError

Content = bytes | Callable[[BinaryIO], object]  # or a function that writes it into the open file

UNFINISHED = ".unfinished"  # ends the name of a file that is being written


def write_whole(path: Path, content: Content) -> None:
    """Writes `content` to `path`. After a crash or a power cut, the file is the old one, the new one or absent."""
    write_together({path: content})


def write_together(files: Mapping[Path, Content]) -> None:
    """Writes files that belong together. If one of them cannot be written, all stay as they were."""
    unfinished = {path: path.with_name(path.name + UNFINISHED) for path in files}
    try:
        for path, content in files.items():
            with naming(path, unfinished[path]):
                path.parent.mkdir(parents=True, exist_ok=True)
                # Readable, too: then NumPy writes arrays through Python. The errors of its own writer say less.
                with open(unfinished[path], "w+b") as file:
                    content(file) if callable(content) else file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
        for path in files:
            with naming(path, unfinished[path]):
                os.replace(unfinished[path], path)
    except BaseException:
        for path in unfinished.values():
            with suppress(OSError):  # there may be none
                path.unlink()
        raise
    for folder in {path.parent for path in files}:
        sync(folder)  # otherwise the new names may be lost


def append(path: Path, content: bytes) -> None:
    """Adds `content` at the end of the file: all of it, or nothing if that fails. A killed process may add a part."""
    with naming(path), open(path, "ab", buffering=0) as file:
        length, rest = file.tell(), memoryview(content)
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except BaseException:
            file.truncate(length)
            raise


class GrowingFile:
    """A file that only grows. Its mark tells later whether it still begins with the same content.

    Adding costs the same however long the file is, and nothing of the file stays in memory.

    Args:
        path: its folder is made.
        length: of what is kept of the file; the rest is cut off, for example a line that a crash left torn.
    """

    def __init__(self, path: Path, length: int = 0):
        self.path, self.length = path, length
        with naming(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "ab") as file:
                file.truncate(length)
            self.content = hash_of(path, length)

    def append(self, content: bytes) -> None:
        """Adds `content`: all of it, or nothing if that fails."""
        append(self.path, content)
        self.content.update(content)
        self.length += len(content)

    def mark(self) -> tuple[int, str]:
        """The length and the SHA-256 of the content, which a power cut can no longer remove."""
        sync(self.path)
        return self.length, self.content.hexdigest()


def begins_with(path: Path, mark: tuple[int, str]) -> bool:
    """Whether the file begins with the content of a `GrowingFile` when it had this mark."""
    length, digest = mark
    return path.is_file() and path.stat().st_size >= length and hash_of(path, length).hexdigest() == digest


def sha256_of(path: Path) -> str:
    """The SHA-256 of a whole file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_whole(path: Path, digest: str) -> bool:
    """Whether the file is there and has the SHA-256 `digest`."""
    return path.is_file() and sha256_of(path) == digest


def hash_of(path: Path, length: int) -> "hashlib._Hash":
    """SHA-256 of the first `length` bytes of a file, which may be larger than the memory."""
    content = hashlib.sha256()
    with open(path, "rb") as file:
        while length > 0 and (part := file.read(min(length, 1 << 20))):
            content.update(part)
            length -= len(part)
    return content


def sync(path: Path) -> None:
    """Waits until a file or a folder is on the disk."""
    with naming(path):
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


@contextmanager
def naming(path: Path, other: Path | None = None) -> Iterator[None]:
    """Errors of the file system that name no file, or `other`, name `path`."""
    try:
        yield
    except OSError as error:
        if error.errno is None or (error.filename is not None and str(error.filename) != str(other)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None


@contextmanager
def alone(lock: Path, otherwise: str) -> Iterator[BinaryIO]:
    """Holds the file `lock`; raises InputError with `otherwise` if another process holds it. The system frees the lock
    of a process that has died."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(otherwise) from None
        yield file
