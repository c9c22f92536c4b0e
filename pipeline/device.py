"""Stage `device`: checks the parameters and determines the device on which trainings run on this machine.

`device: auto` may select another device on another machine, so DVC cannot tell from the parameter alone whether results
are up to date. Therefore this stage always runs, and trainings depend on its output. It is the first stage, so it
reports a mistake in `params.yaml` before any other stage runs or is skipped. It also removes the results of runs that
`params.yaml` does not name.
"""

from pipeline.extension import check_extension

from pathlib import Path

from aae.errors import InputError
from pipeline.cli import run_stage
from pipeline.paths import DEVICE, PARAMS
from pipeline.tables import write_json


def main() -> None:
    check_extension()
    # These imports need the extension. If `make env` has not run, the check above says so in one line.
    from aae.device import choose_device, describe_device
    from pipeline.leftovers import remove_leftovers
    from pipeline.memory import check_memory
    from pipeline.params import load_params

    params = load_params()
    if not Path(params.data.path).exists():
        raise InputError(f"{PARAMS}: data.path: no such file or folder: {params.data.path}")
    for recipe in params.recipes:
        check_memory(recipe, params.code_size)
    remove_leftovers(params)
    write_json(DEVICE, describe_device(choose_device(params.device, tell=print)))


if __name__ == "__main__":
    run_stage(main)
