"""`make verify`: compares the workspace and DVC's cache with dvc.lock, by contents.

DVC takes a file for unchanged if its time and size are. This program reads every file: the dependencies and outputs
that dvc.lock names, each file in their folders, and each object in the cache, whose name is the MD5 of its content. It
prints a line for each one that differs and for each output that is missing, and exits with status 1 if any differs.
"""

import fnmatch
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from tqdm import tqdm

from aae.errors import InputError
from pipeline.cli import run_stage

LOCK, STAGES, IGNORED = Path("dvc.lock"), Path("dvc.yaml"), Path(".dvcignore")
OBJECT = re.compile(r"[0-9a-f]{32}(\.dir)?")
FOLDER = ".dir"  # the end of a folder's hash


@dataclass
class Entry:
    """A file or folder that dvc.lock names."""

    hashes: dict[str, list[str]] = field(default_factory=dict)  # MD5 -> the stages that name it
    maker: str | None = None  # the stage that writes it


@dataclass
class Report:
    """What was found."""

    checked: int = 0  # files of the workspace
    objects: int = 0  # files of the cache
    differing: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    damaged_stages: set[str] = field(default_factory=set)  # stages with an output that differs or is missing
    tracked: set[Path] = field(default_factory=set)  # by Git

    def differs(self, path: Path, entry: Entry, expected: str, found: str) -> None:
        if entry.maker:
            self.damaged_stages.add(entry.maker)
        self.differing.append(f"{path}: expected {expected}, found {found}; {restored(path, entry, self.tracked)}")


def main() -> None:
    entries = read_lock()
    cache = cache_folder()
    objects = sorted(path for path in cache.glob("??/*") if OBJECT.fullmatch(path.parent.name + path.name))
    report = Report(tracked=tracked_by_git())
    hashes = md5_of([*files_of(entries), *objects])
    check_workspace(entries, cache, hashes, report)
    check_cache(objects, entries, cache, hashes, report)
    for line in [*report.differing, *report.missing]:
        print(line)
    print(f"files: {report.checked}, cache objects: {report.objects}; ", end="")
    print(f"differ: {len(report.differing)}, missing: {len(report.missing)}")
    sys.exit(1 if report.differing else 0)


def read_lock() -> dict[Path, Entry]:
    """The files and folders that dvc.lock names."""
    entries: dict[Path, Entry] = {}
    stages, definitions = stages_in(LOCK), stages_in(STAGES)
    try:
        for stage, content in stages.items():
            if not defined(stage, definitions):
                continue
            for kind in ("deps", "outs"):
                for each in content.get(kind, []):
                    entry = entries.setdefault(Path(each["path"]), Entry())
                    entry.hashes.setdefault(each["md5"], []).append(stage)
                    if kind == "outs":
                        entry.maker = stage
    except (TypeError, KeyError, AttributeError) as error:
        raise unreadable(LOCK, error) from None
    return dict(sorted(entries.items()))


def stages_in(path: Path) -> dict[str, Any]:
    """The stages in dvc.lock or dvc.yaml."""
    try:
        return YAML(typ="safe").load(path.read_bytes())["stages"]
    except (OSError, YAMLError, UnicodeDecodeError, TypeError, KeyError) as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: cannot be read ({' '.join(str(error).split())}); `git checkout {path}` restores it")


def defined(stage: str, definitions: dict[str, Any]) -> bool:
    """Whether dvc.yaml still has the stage. DVC leaves the others in dvc.lock."""
    name, _, item = stage.partition("@")
    return name in definitions and bool(item) == ("matrix" in definitions[name])


def cache_folder() -> Path:
    """The folder of the objects in DVC's cache."""
    done = subprocess.run([sys.executable, "-m", "dvc", "cache", "dir"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"`dvc cache dir` failed: {' '.join(done.stderr.split())}")
    return Path(done.stdout.strip()) / "files/md5"


def files_of(entries: Iterable[Path]) -> Iterator[Path]:
    """The files that are or are in `entries`."""
    ignored = [line.strip().rstrip("/") for line in IGNORED.read_text().splitlines()] if IGNORED.is_file() else []

    def skipped(name: str) -> bool:
        return any(fnmatch.fnmatch(name, pattern) for pattern in ignored)

    for path in entries:
        if not path.is_dir():
            yield path
        for folder, folders, names in os.walk(path):
            folders[:] = [name for name in folders if not skipped(name)]
            yield from (Path(folder) / name for name in names if not skipped(name))


def md5_of(paths: Iterable[Path]) -> dict[Path, str]:
    """path -> MD5 of the content, or why there is none, of every path that exists."""
    sizes = {path: path.stat().st_size if path.is_file() else 0 for path in paths if os.path.lexists(path)}
    found: dict[Path, str] = {}

    def compute(path: Path) -> str:
        try:
            with open(path, "rb") as file:
                return hashlib.file_digest(file, "md5").hexdigest()
        except OSError as error:
            return f"what cannot be read ({error.strerror})"

    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm(
            total=sum(sizes.values()), desc="verify", unit="B", unit_scale=True, disable=None, leave=False
        ) as progress,
    ):
        for path, md5 in zip(sizes, pool.map(compute, sizes), strict=True):
            found[path] = md5
            progress.update(sizes[path])
    return found


def check_workspace(entries: dict[Path, Entry], cache: Path, hashes: dict[Path, str], report: Report) -> None:
    """Compares the files that `entries` name with their hashes."""
    children: dict[Path, dict[str, str]] = {path: {} for path, entry in entries.items() if is_folder(entry)}
    for path, md5 in hashes.items():
        for parent in path.parents:
            if parent in children:
                children[parent][path.relative_to(parent).as_posix()] = md5
    for path, entry in entries.items():
        if not os.path.lexists(path) and path not in report.tracked and entry.maker:
            report.missing.append(f"{path}: missing; `dvc pull` or `dvc repro {entry.maker}` makes it")
            report.damaged_stages.add(entry.maker)
            continue
        if not is_folder(entry):
            report.checked += 1
            found = hashes.get(path, "a folder" if path.is_dir() else "nothing")
            for expected in entry.hashes:
                if found != expected:
                    report.differs(path, entry, expected, found)
            continue
        found_files = children[path]
        report.checked += len(found_files)
        for expected in entry.hashes:
            if (found := folder_hash(found_files)) == expected:
                continue
            listed = listing(cache, expected, hashes)
            if listed is None or not path.is_dir():
                if not any(line.startswith(f"{path}/") for line in report.differing):
                    report.differs(path, entry, expected, found if path.is_dir() else "no folder")
                continue
            for name in sorted(listed.keys() | found_files):
                if (of_file := found_files.get(name, "nothing")) != listed.get(name):
                    report.differs(path / name, entry, listed.get(name, "nothing"), of_file)


def is_folder(entry: Entry) -> bool:
    return any(expected.endswith(FOLDER) for expected in entry.hashes)


def folder_hash(files: dict[str, str]) -> str:
    """DVC's hash of a folder: the MD5 of the list of its files."""
    return (
        hashlib.md5(json.dumps([{"md5": files[name], "relpath": name} for name in sorted(files)]).encode()).hexdigest()
        + FOLDER
    )


def listing(cache: Path, expected: str, hashes: dict[Path, str]) -> dict[str, str] | None:
    """name -> MD5 of the files in the folder with the hash `expected`, if the cache has its list."""
    path = cache / expected[:2] / expected[2:]
    if hashes.get(path, "") + FOLDER != expected:
        return None
    content: list[dict[str, Any]] = json.loads(path.read_bytes())
    return {each["relpath"]: each["md5"] for each in content}


def restored(path: Path, entry: Entry, tracked: set[Path]) -> str:
    """How to make a file of the workspace again."""
    if entry.maker:
        remove = f"rm -r {path}; " if os.path.lexists(path) else ""
        return f"`{remove}dvc repro {entry.maker}` makes it again"
    again = "restore it"
    if path in tracked:  # Git, too, takes a file for unchanged by its time, unless the index does not have it
        again = f"`git rm -rq --cached {path}; git checkout HEAD -- {path}` restores the last commit's"
    return f"{again}, or `dvc repro {next(iter(entry.hashes.values()))[0]}` takes it as it is"


def tracked_by_git() -> set[Path]:
    """The files that Git tracks, and their folders; empty without Git."""
    try:
        done = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return set()
    files = {Path(name) for name in done.stdout.split("\0") if name}
    return files | {parent for file in files for parent in file.parents}


def check_cache(
    objects: list[Path], entries: dict[Path, Entry], cache: Path, hashes: dict[Path, str], report: Report
) -> None:
    """Compares every object in the cache with its name."""
    makers: dict[str, str] = {}
    for entry in entries.values():
        for expected in entry.hashes if entry.maker else ():
            makers[expected] = entry.maker or ""
            if expected.endswith(FOLDER):
                makers |= dict.fromkeys((listing(cache, expected, hashes) or {}).values(), entry.maker or "")
    report.objects = len(objects)
    for path in objects:
        name = path.parent.name + path.name
        if hashes[path] == name.removesuffix(FOLDER):
            continue
        shown = os.path.relpath(path) if path.is_relative_to(Path.cwd()) else path
        again = "dvc.lock does not use it"
        if maker := makers.get(name):
            # `dvc commit` stores the outputs of the workspace, which are good.
            again = f"`dvc {'repro' if maker in report.damaged_stages else 'commit'} {maker}` then makes it again"
        report.differing.append(f"{shown}: expected {name}, found {hashes[path]}; `rm -f {shown}` removes it, {again}")


if __name__ == "__main__":
    run_stage(main)
