"""Removes what is no result of the present experiment: results of runs that `params.yaml` does not name, and files that
a killed process left unfinished.

The stages `summarize` and `report` depend on whole folders, because DVC cannot list the files of every run in the
dependencies of one stage. A file of another run there would make them run again, with the same results. So stage
`device` removes such files before other stages start. DVC keeps them in its cache and restores them when `params.yaml`
names the run again. A file that is not finished has a name of its own, and the next run of its stage replaces it. But
that stage may not run again.

`python -m pipeline.leftovers` does only this.
"""

import re
import shutil
from pathlib import Path

from aae.files import UNFINISHED
from pipeline.cli import run_stage
from pipeline.params import Params, load_params
from pipeline.paths import (
    CODES,
    CURVES,
    DATA,
    DEVICE,
    FIGURES,
    FIGURES_SUMS,
    FLOOR,
    HISTORY,
    MATCH,
    METRICS,
    REPORT,
    SNAPSHOTS,
    TIMING,
    item_of,
    run_name,
)

OF_RUNS = (CODES, CURVES, FIGURES, FIGURES_SUMS, HISTORY, MATCH, METRICS, SNAPSHOTS, TIMING)
STRAY = re.compile(rf".*{re.escape(UNFINISHED)}|.*\.[\w-]{{22}}\.tmp")  # unfinished files of the stages and of DVC
RUN, MODEL = re.compile(r"[a-z][a-z0-9_]*-[0-9]+"), re.compile(r"[a-z][a-z0-9_]*")


def main() -> None:
    remove_leftovers(load_params())


def remove_leftovers(params: Params) -> None:
    """Removes the results of all runs that `params` does not name, and unfinished files. Other files stay."""
    for path in [path for folder in (DEVICE.parent, DATA, REPORT) for path in folder.rglob("*")]:
        if STRAY.fullmatch(path.name):
            remove(path)
    runs = {run_name(model, seed) for model in params.models for seed in params.seeds}
    found = [path for folder in OF_RUNS for path in entries(folder, RUN) if item_of(path) not in runs]
    found += [path for path in entries(FLOOR, MODEL) if item_of(path) not in params.models]
    for path in found:
        remove(path)
    if found:
        names = ", ".join(sorted({item_of(path) for path in found}))
        print(f"removed the results of {names}: params.yaml does not name them (DVC's cache keeps them)")


def remove(path: Path) -> None:
    """Removes a file or a folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def entries(folder: Path, name: re.Pattern[str]) -> list[Path]:
    """The entries of `folder` whose name without suffixes matches `name`."""
    return [path for path in folder.glob("*") if name.fullmatch(item_of(path))]


if __name__ == "__main__":
    run_stage(main)
