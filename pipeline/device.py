"""Stage `device`: what is to be known before any work, above all where trainings run on this machine.

`device: auto` means another device on another machine, so the parameter alone does not tell DVC's caches whose bits
they hold. This stage runs whenever the pipeline does; trainings depend on what it writes. It is the first stage, so it
reports a mistake in `params.yaml` before any other stage runs or is skipped. It also removes the results of runs that
`params.yaml` does not name.
"""

from pathlib import Path

from aae.errors import InputError
from pipeline.cli import run_stage
from pipeline.extension import check_extension
from pipeline.paths import DEVICE, PARAMS
from pipeline.tables import write_json


def main() -> None:
    check_extension()
    # It is missing from a checkout where nobody ran `make env`, which the check says in a line; these import it.
    from aae.device import choose_device, describe_device
    from pipeline.leftovers import remove_leftovers
    from pipeline.params import load_params

    params = load_params()
    if not Path(params.data.path).exists():
        raise InputError(f"{PARAMS}: data.path: there is no {params.data.path}")
    remove_leftovers(params)
    write_json(DEVICE, describe_device(choose_device(params.device, tell=print)))


if __name__ == "__main__":
    run_stage(main)
