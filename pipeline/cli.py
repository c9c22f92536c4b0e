"""What every stage's command line shares."""

import argparse
import sys
from collections.abc import Callable

from aae.errors import InputError


def run_stage(main: Callable[[], None]) -> None:
    """Runs `main`; bad input, a file that the system refuses, or Ctrl-C ends it with one line and exit status 1."""
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.filename is None:
            raise
        sys.exit(f"error: {error.filename}: {error.strerror}")
    except KeyboardInterrupt:
        sys.exit("error: interrupted")


def run_arguments() -> tuple[str, int]:
    """(model, seed) from `--model aae --seed 0`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=("aae", "vae"), required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    if not 0 <= arguments.seed < 2**63:
        raise InputError(f"--seed: must be from 0 to 2^63 - 1; found {arguments.seed}")
    return arguments.model, arguments.seed
