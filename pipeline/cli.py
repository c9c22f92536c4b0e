"""What every stage's command line shares."""

import argparse
import sys
from collections.abc import Callable

from aae.errors import InputError


def run_stage(main: Callable[[], None]) -> None:
    """Runs `main`; bad input ends it with one line on standard error and exit status 1."""
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")


def run_arguments() -> tuple[str, int]:
    """(model, seed) from `--model aae --seed 0`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=("aae", "vae"), required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    return arguments.model, arguments.seed
