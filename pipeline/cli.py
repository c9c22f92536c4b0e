"""The parts that the stages' command lines share."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from aae.errors import Damaged, InputError, told_in_one_line
from pipeline.paths import remedy, stage_of

if TYPE_CHECKING:  # these import the native extension, and the first stages must start without it
    from aae.models import Recipe
    from pipeline.params import Params


def run_stage(main: Callable[[], None]) -> None:
    """Runs `main`. Bad input, a file system error or Ctrl-C ends it with one line and exit status 1."""
    with told_in_one_line():
        try:
            main()
        except Damaged as error:
            if not stage_of(error.path):  # a user's file
                raise
            lists = [error.checked_by] if error.checked_by else []
            raise InputError(f"{error}; {remedy(error.path, *lists)}") from None


def run_arguments(params: "Params") -> tuple["Recipe", int]:
    """The recipe and the seed of a run, from arguments such as `--model aae --seed 0`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    check_seed(arguments.seed)
    return chosen_recipe(params, arguments.model), arguments.seed


def check_seed(seed: int) -> None:
    """Raises InputError if the random numbers have no such seed."""
    if not 0 <= seed < 2**63:
        raise InputError(f"--seed: must be from 0 to 2^63 - 1; found {seed}")


def model_argument(params: "Params") -> "Recipe":
    """The recipe, from arguments such as `--model aae`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    return chosen_recipe(params, parser.parse_args().model)


def chosen_recipe(params: "Params", name: str) -> "Recipe":
    """The recipe that the command line calls `name`; raises InputError for another name."""
    if name not in params.models:
        raise InputError(f"--model: must be one of {', '.join(params.models)} (models in params.yaml); found {name}")
    return params.recipe(name)
