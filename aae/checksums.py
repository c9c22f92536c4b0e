"""SHA-256 sums of results, in the format of `sha256sum`: a stage compares what it reads with what was written.

DVC takes a file for unchanged if its time and size are, so it does not notice a bit that flipped on the disk. A list of
sums is written after the files that it lists. Their names are relative to the list's folder, and `sha256sum -c` checks
them there, too.
"""

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from aae.errors import Damaged
from aae.files import sha256_of, write_whole

LIST = "SHA256SUMS"  # the name of the list of all files in a folder, in that folder
LINE = re.compile(r"([0-9a-fA-F]{64})[ \t]+\*?(?:\./)?([^\x00-\x1f]+)")


def beside(file: Path) -> Path:
    """The list of a single file."""
    return file.with_name(f"{file.name}.sha256")


def write_sums(path: Path, files: Iterable[Path]) -> None:
    """Writes the list `path` of `files`."""
    write_whole(path, b"".join(line_of(sha256_of(file), os.path.relpath(file, path.parent)) for file in sorted(files)))


def line_of(digest: str, name: str) -> bytes:
    """The line of a list for the file `name` with the SHA-256 `digest`."""
    return f"{digest}  {name}\n".encode()


def parse_sums(content: bytes) -> dict[str, str]:
    """name -> SHA-256 in hexadecimal of each line; raises ValueError for any other text."""
    sums = {}
    for line in content.decode().splitlines():
        if line.strip():
            if not (match := LINE.fullmatch(line)):
                raise ValueError(line)
            sums[match[2]] = match[1].lower()
    return sums


class Sums:
    """The list in the file `path`. Every method, and reading the list, raises Damaged for what is not as written.

    `sums` maps the names of the files, relative to the list's folder, to their SHA-256 in hexadecimal.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            self.sums = parse_sums(path.read_bytes())
        except OSError as error:
            raise Damaged(path, f"cannot be read ({error.strerror})") from None
        except ValueError:  # of the bytes, too
            raise Damaged(path, "needed lines with a SHA-256 in hexadecimal and a file name") from None

    def __contains__(self, file: Path) -> bool:
        return self._name(file) in self.sums

    def _name(self, file: Path) -> str:
        return os.path.relpath(file, self.path.parent)

    @property
    def files(self) -> list[Path]:
        """The listed files."""
        return [Path(os.path.normpath(self.path.parent / name)) for name in self.sums]

    def check_presence(self) -> None:
        """Checks that all listed files exist."""
        for file in self.files:
            if not file.is_file():
                what = "not a file" if os.path.lexists(file) else "missing"
                raise Damaged(file, f"{what}, but {self.path.name} lists it", self.path)

    def read(self, file: Path) -> bytes:
        """The content of `file`, which must be as listed."""
        try:
            content = file.read_bytes()
        except OSError as error:
            raise Damaged(file, f"cannot be read ({error.strerror})", self.path) from None
        self.compare(file, hashlib.sha256(content).hexdigest())
        return content

    def check(self, file: Path) -> None:
        """Compares a file that is too large for memory with the list."""
        try:
            found = sha256_of(file)
        except OSError as error:
            raise Damaged(file, f"cannot be read ({error.strerror})", self.path) from None
        self.compare(file, found)

    def compare(self, file: Path, found: str) -> None:
        """Compares the SHA-256 `found` of `file` with the list."""
        listed = self.sums.get(self._name(file))
        if listed is None:
            raise Damaged(file, f"{self.path.name} does not list it", self.path)
        if found != listed:
            raise Damaged(file, f"its SHA-256 is {found[:12]}..., but {self.path.name} has {listed[:12]}...", self.path)


def check_if_listed(file: Path, content: bytes) -> None:
    """Compares the `content` of `file` with `SHA256SUMS` in its folder, if there is such a list and it has the file."""
    path = file.with_name(LIST)
    if path.is_file():
        sums = Sums(path)
        if file in sums:
            sums.compare(file, hashlib.sha256(content).hexdigest())
