"""Stage `device`: where trainings run on this machine, which their results depend on.

`device: auto` means another device on another machine, so the parameter alone does not tell DVC's caches whose bits
they hold. This stage runs whenever the pipeline does; trainings depend on what it writes.
"""

from pipeline.cli import run_stage
from pipeline.extension import check_extension
from pipeline.paths import DEVICE
from pipeline.tables import write_json


def main() -> None:
    check_extension()
    # It is missing from a checkout where nobody ran `make env`, which the check says in a line; these import it.
    from aae.device import choose_device, describe_device
    from pipeline.params import load_params

    write_json(DEVICE, describe_device(choose_device(load_params().device, tell=print)))


if __name__ == "__main__":
    run_stage(main)
