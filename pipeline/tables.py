"""Writing and reading the JSON, CSV and NumPy files of results."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aae.errors import InputError


def write_json(path: Path, content: dict[str, Any] | list[Any]) -> None:
    """Writes `content`, rounded, as indented JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(rounded(content), indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_record(path: Path, content: dict[str, Any]) -> None:
    """Writes `content`, rounded, as the single entry of a JSON array.

    DVC restores files that Git tracks only if they are declared as metrics or plots. `dvc exp show` makes a column of
    every number in a mapping, but ignores arrays.
    """
    write_json(path, [content])


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes `rows`, rounded; the keys of the first row are the header, and None is an empty cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rounded(list(rows)))


def read_json(path: Path) -> dict[str, Any]:
    """The mapping in a file that `write_json` or `write_record` wrote."""
    content = json.loads(read(path))
    return content[0] if isinstance(content, list) else content


def read_csv(path: Path, delimiter: str = ",") -> list[dict[str, Any]]:
    """The rows of a table of numbers. An empty cell becomes None."""
    rows = csv.DictReader(read(path).decode().splitlines(), delimiter=delimiter)
    return [{key: float(value) if value else None for key, value in row.items()} for row in rows]


def read_codes(path: Path) -> np.ndarray:
    """A file in `results/codes`: float32 [epochs + 1, test images, encoder outputs], memory-mapped."""
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); `dvc repro` makes it") from None


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); `dvc repro` makes it") from None


def rounded(value: Any) -> Any:
    """`value` with every float rounded to six significant digits, more than the measures' precision."""
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [rounded(entry) for entry in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
