"""Finds the module of an experiment by its name."""

import importlib
from types import ModuleType

import paper.experiments


def module_of(experiment: str) -> ModuleType:
    """The module of `experiment`, one of `paper.params.EXPERIMENTS`."""
    return importlib.import_module(f"{paper.experiments.__name__}.{experiment}")
