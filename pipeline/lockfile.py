"""dvc.lock as blocks of text, one per stage.

DVC parses and writes the whole file for every stage that it runs, which takes half a minute at 200 runs. A task needs
only the entries of its own stages. Entries are moved here as DVC wrote them, so the file keeps DVC's format, and only
the lines that begin a stage are looked at.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from aae.errors import InputError
from aae.files import write_whole

LOCK = Path("dvc.lock")
HEADER = "schema: '2.0'\nstages:\n"
STAGE = re.compile(r"^  (\S.*):\n", re.MULTILINE)

Entries = dict[str, str]  # stage -> its lines in dvc.lock, without the line that names it; in the order of the file


def read_entries(path: Path = LOCK) -> Entries:
    """The entries of a lock; none if there is no file. Raises InputError for another format."""
    if not path.exists():
        return {}
    return parse(path.read_text(), path)


def parse(text: str, path: Path = LOCK) -> Entries:
    """The entries in the text of a lock. `path` is for the error of another format."""
    if not text.startswith(HEADER) or re.search(r"^[^\s#]", text[len(HEADER) :], re.MULTILINE):
        raise InputError(f"{path}: is not in the format that DVC writes; `git checkout {path}` restores it")
    _, *parts = STAGE.split(text[len(HEADER) :])
    return dict(zip(parts[::2], parts[1::2], strict=True))


def text_of(entries: Mapping[str, str]) -> str:
    """The text of a lock with these entries."""
    return HEADER + "".join(f"  {stage}:\n{lines}" for stage, lines in entries.items())


def write_entries(entries: Mapping[str, str], path: Path = LOCK) -> None:
    """Writes a lock with these entries."""
    write_whole(path, text_of(entries).encode())


def cut(entries: Mapping[str, str], stages: Iterable[str]) -> Entries:
    """The entries of `stages`, in the order of the lock."""
    wanted = set(stages)
    return {stage: lines for stage, lines in entries.items() if stage in wanted}


def outputs_of(stage: str, lines: str) -> list[Path]:
    """The outputs in a stage's entry."""
    content: dict[str, Any] = YAML(typ="safe").load(f"  {stage}:\n{lines}")[stage]
    return [Path(each["path"]) for each in content.get("outs", [])]
