"""Takes results of `pipeline.make_task` into this checkout: entries of dvc.lock, and the files that Git keeps.

    python -m pipeline.merge seed-0.tar seed-1.tar ...

Then it gets the weights, codes and pictures of all runs from DVC's cache or from the default remote. Afterwards
`dvc repro` finds these runs up to date.
"""

import argparse
import io
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ruamel.yaml import YAML

from aae.errors import InputError
from aae.files import write_whole
from pipeline import lockfile
from pipeline.cli import run_stage
from pipeline.paths import PARAMS, run_name
from pipeline.tasks import DVC, STAGES_OF_RUN, default_remote, kept_by_git, stages_of


def main() -> None:
    parser = argparse.ArgumentParser(description="take results of pipeline.make_task into this checkout")
    parser.add_argument("archives", type=Path, nargs="+")
    before = list(lockfile.read_entries())
    for archive in parser.parse_args().archives:
        merge(archive.read_bytes(), str(archive))
    finish(before)


def merge(result: bytes, name: str) -> None:
    """Takes one result. `name` is for the error if it is none."""
    contents = unpack(result, name)
    new = lockfile.parse(contents.pop(Path("dvc.lock")).decode(), Path(name))
    outputs = [path for stage, lines in new.items() for path in lockfile.outputs_of(stage, lines)]
    for earlier in kept_by_git(outputs):
        Path(earlier).unlink()  # a file that an earlier run wrote and this one did not
    for path, content in contents.items():
        if not any(path == output or output in path.parents for output in outputs):
            raise InputError(f"{name}: {path} is no output of its stages")
        write_whole(path, content)
    lockfile.write_entries(lockfile.read_entries() | new)


def unpack(result: bytes, name: str) -> dict[Path, bytes]:
    """The files in a result: dvc.lock and others in results/."""
    contents = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(result)) as tar:
            for member in tar:
                path, file = PurePosixPath(member.name), tar.extractfile(member)
                inside = path.parts[0] == "results" and ".." not in path.parts
                if file is None or not member.isreg() or not (inside or str(path) == "dvc.lock"):
                    raise InputError(f"{name}: a result holds only files in results/ and dvc.lock; found {path}")
                contents[Path(path)] = file.read()
    except (tarfile.TarError, EOFError) as error:
        raise InputError(f"{name}: is no result of pipeline.make_task: {error}") from None
    if Path("dvc.lock") not in contents:
        raise InputError(f"{name}: is no result of pipeline.make_task: it has no dvc.lock")
    return contents


def finish(before: Sequence[str]) -> None:
    """Sorts the new entries of dvc.lock, which had `before`, and gets the outputs that are not in Git."""
    entries, params = lockfile.read_entries(), YAML(typ="safe").load(PARAMS.read_text())
    runs = [run_name(model, seed) for seed in params["seeds"] for model in params["models"]]
    order = [*before, *(stage for run in runs for stage in stages_of(run))]
    places = {stage: place for place, stage in reversed(list(enumerate(order)))}
    in_order = sorted(entries, key=lambda stage: places.get(stage, len(order)))
    lockfile.write_entries({stage: entries[stage] for stage in in_order})
    get = ("pull",) if default_remote() else ("checkout", "--force")
    if subprocess.run([*DVC, *get, "--quiet", "--allow-missing", *STAGES_OF_RUN]).returncode:
        sys.exit(1)


if __name__ == "__main__":
    run_stage(main)
