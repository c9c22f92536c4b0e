"""Writing and reading the JSON, CSV and NumPy files of results."""

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aae.checksums import Sums, beside
from aae.errors import Damaged
from aae.files import write_whole


def write_json(path: Path, content: dict[str, Any] | list[Any]) -> None:
    """Writes `content`, rounded, as indented JSON."""
    text = json.dumps(rounded(content), indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(path, f"{text}\n".encode())


def write_record(path: Path, content: dict[str, Any]) -> None:
    """Writes `content`, rounded, as the single entry of a JSON array.

    DVC restores files that Git tracks only if they are declared as metrics or plots. `dvc exp show` makes a column of
    every number in a mapping, but ignores arrays.
    """
    write_json(path, [content])


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes `rows`, rounded; the keys of the first row are the header, and None is an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rounded(list(rows)))
    write_whole(path, text.getvalue().encode())


def read_json(path: Path, keys: Iterable[str] = ()) -> dict[str, Any]:
    """The mapping in the file, or in the array that `write_record` wrote.

    Raises InputError for a file that is damaged or lacks one of the dotted `keys`.
    """
    written = read(path)
    try:
        content = json.loads(written.decode())
    except (ValueError, RecursionError) as error:  # of the text or of its bytes
        raise Damaged(path, str(error) or "nested too deeply") from None
    if isinstance(content, list) and len(content) == 1:
        (content,) = content
    if not isinstance(content, dict):
        raise Damaged(path, "holds no mapping")
    for key in keys:
        place: Any = content
        for part in key.split("."):
            if not isinstance(place, dict) or place.get(part) is None:
                raise Damaged(path, f"no {key} in it")
            place = place[part]
    return content


def read_csv(path: Path, columns: Iterable[str], delimiter: str = ",") -> list[dict[str, Any]]:
    """The rows of a table of numbers, at least one; an empty cell is None.

    Raises InputError for a file that is damaged or lacks a finite number in one of the `columns`.
    """
    written = read(path)
    try:
        text = written.decode()
        if not text.endswith("\n"):
            raise ValueError("its end is missing")
        header, *rows = csv.reader(text.splitlines(), delimiter=delimiter)
        if any(len(row) != len(header) for row in rows):
            raise ValueError("rows of different lengths")
        table = [dict(zip(header, (float(cell) if cell else None for cell in row), strict=True)) for row in rows]
    except (ValueError, csv.Error) as error:  # of the bytes or the numbers, too
        raise Damaged(path, str(error)) from None
    for column in columns:
        if column not in header or not table:
            raise Damaged(path, f"no column {column} with numbers in it")
        for row in table:
            value = row[column]
            if value is None or not math.isfinite(value):
                raise Damaged(path, f"no number in column {column}")
    return table


def read_floor(path: Path) -> dict[str, Any]:
    """What stage `floor` wrote, with mean, low and high of every measure; raises InputError for a damaged file."""
    floor = read_json(path, ["codes.sliced_wasserstein", "train.codes"])
    for part in (floor["codes"], floor["train"]["codes"]):
        for measure, level in part.items():
            if not isinstance(level, dict) or set(level) != {"mean", "low", "high"}:
                raise Damaged(path, f"{measure} has no mean, low and high")
    return floor


def read_codes(path: Path) -> np.ndarray:
    """A file in `results/codes`: float32 [epochs + 1, test images, encoder outputs], memory-mapped.

    Raises InputError if it is not as the list beside it says.
    """
    Sums(beside(path)).check(path)
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, EOFError, ValueError) as error:
        raise Damaged(path, f"cannot be read ({error})") from None


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Damaged(path, f"cannot be read ({error.strerror})") from None


def rounded(value: Any) -> Any:
    """`value` with every float rounded to six significant digits, more than the measures' precision."""
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [rounded(entry) for entry in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
