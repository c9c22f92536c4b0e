"""The parts that the paper's command lines share."""

import argparse
import os
from collections.abc import Callable

from aae.models import Recipe
from paper.params import ROOT, load_experiment
from pipeline.cli import check_seed, chosen_recipe, run_stage
from pipeline.params import Params


def run_paper_stage(main: Callable[[], None]) -> None:
    """Runs `main` in the folder `paper`, in which the stages of `pipeline` then read and write."""
    os.chdir(ROOT / "paper")
    run_stage(main)


def run_arguments() -> tuple[str, Params, Recipe, int]:
    """Experiment, its parameters, recipe and seed, from `--experiment likelihood --model likelihood --seed 0`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    check_seed(arguments.seed)
    params = load_experiment(arguments.experiment)
    return arguments.experiment, params, chosen_recipe(params, arguments.model), arguments.seed
