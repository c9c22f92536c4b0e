"""Reads `paper/params.yaml`: one section per experiment.

A section holds `seeds`, `models`, `training` and the sections of its models, as `../params.yaml` has them. Values that
`training` does not name are those of `../params.yaml`.
"""

from pathlib import Path
from typing import Any

from aae.errors import InputError
from pipeline.params import Params, read_yaml, validated
from pipeline.shown import one_line, shown

ROOT = Path(__file__).parents[1]
PARAMS = Path("params.yaml")  # in the folder `paper`
EXPERIMENTS = (
    "likelihood",
    "match",
    "priors",
    "semi_supervised",
    "clustering",
    "reduction",
)  # modules of `paper.experiments`, in the order of the report
ALLOWED = ("epochs", "snapshot_every", "batch_size", "code_size")  # in `training`


def load_experiment(name: str) -> Params:
    """The parameters of experiment `name`; raises InputError, one line, for the first error."""
    content, base = read_yaml(PARAMS), read_yaml(Path("..") / PARAMS)
    try:
        if not isinstance(content, dict) or not isinstance(content.get(name), dict):
            raise InputError(f"{name}: must be the section of an experiment")
        section = dict(content[name])
        training = section.pop("training", None)
        if not isinstance(training, dict) or set(training) != set(ALLOWED):
            raise InputError(f"{name}.training: must be a mapping with {', '.join(ALLOWED)}; found {shown(training)}")
        return validated(without_models(base) | training | section)
    except InputError as error:
        raise InputError(f"paper/{PARAMS}: {name}: {one_line(str(error))}") from None


def without_models(content: dict[str, Any]) -> dict[str, Any]:
    """The parameters of `../params.yaml` without the sections of models."""
    return {key: value for key, value in content.items() if key in Params.model_fields}
