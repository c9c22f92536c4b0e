"""The experiments, and their modules by name. Trainings do not read this list, so a new experiment repeats none."""

import importlib
from types import ModuleType

import paper.experiments

EXPERIMENTS = (
    "likelihood",
    "match",
    "encoders",
    "encoders_2d",
    "priors",
    "supervised",
    "semi_supervised",
    "clustering",
    "reduction",
)  # in the order of the report


def module_of(experiment: str) -> ModuleType:
    """The module of `experiment`, one of EXPERIMENTS."""
    return importlib.import_module(f"{paper.experiments.__name__}.{experiment}")
