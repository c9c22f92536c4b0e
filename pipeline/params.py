"""`params.yaml`: typed, validated, and refused in one line that names the key and what is allowed.

`python -m pipeline.params` checks the file and writes `params.schema.json`, which editors complete from.
"""

import json
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from aae.errors import InputError
from pipeline.paths import PARAMS

MODELS = ("aae", "vae")

Count = Annotated[int, Field(ge=1)]
Scale = Annotated[float, Field(ge=0.001, le=1000)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Widths = Annotated[list[Count], Field(min_length=1)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Section(BaseModel):
    """A mapping in params.yaml: every key is required, no other is allowed, no value is coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Data(Section):
    path: Annotated[str, Field(min_length=1, description="folder of four IDX files, raw or gzipped")]
    classes: Annotated[int, Field(ge=1, le=256, description="labels are 0 to classes - 1")]


class Normal(Section):
    std: Annotated[Scale, Field(description="standard deviation on every axis")]


class Mixture(Section):
    radius: Annotated[Scale, Field(description="radius of the circle of centres")]
    radial_std: Annotated[Scale, Field(description="standard deviation along the line through origin and centre")]
    tangential_std: Annotated[Scale, Field(description="standard deviation across it")]


class SwissRoll(Section):
    radius: Annotated[Scale, Field(description="radius of the outer end")]
    turns: Annotated[float, Field(ge=0.001, le=1000, description="turns from the origin to the outer end")]


class Uniform(Section):
    bound: Annotated[Scale, Field(description="the cube is [-bound, bound] on every axis")]


class Prior(Section):
    name: Annotated[Literal["normal", "mixture", "swiss_roll", "uniform"], Field(description="the prior p(z)")]
    labels: Annotated[bool, Field(description="each class has its own part of the prior")]
    normal: Annotated[Normal, Field(description="N(0, std² I)")]
    mixture: Annotated[Mixture, Field(description="a Gaussian a class, on a circle")]
    swiss_roll: Annotated[SwissRoll, Field(description="a spiral, a segment a class")]
    uniform: Annotated[Uniform, Field(description="uniform on a cube")]


class Adam(Section):
    learning_rate: Annotated[Positive, Field(description="Adam's step size")]
    betas: Annotated[
        list[Beta], Field(min_length=2, max_length=2, description="decay of Adam's first and second moment")
    ]


class AAE(Section):
    encoder_widths: Annotated[Widths, Field(description="widths of the encoder's hidden layers")]
    decoder_widths: Annotated[Widths, Field(description="widths of the decoder's hidden layers")]
    discriminator_widths: Annotated[Widths, Field(description="widths of the discriminator's hidden layers")]
    autoencoder: Annotated[Adam, Field(description="reconstruction step: encoder and decoder")]
    discriminator: Annotated[Adam, Field(description="discriminator step")]
    generator: Annotated[Adam, Field(description="generator step: the encoder against the discriminator")]


class VAE(Section):
    encoder_widths: Annotated[Widths, Field(description="widths of the encoder's hidden layers")]
    decoder_widths: Annotated[Widths, Field(description="widths of the decoder's hidden layers")]
    autoencoder: Annotated[Adam, Field(description="encoder and decoder")]


class Evaluation(Section):
    cells: Annotated[int, Field(ge=2, le=100, description="equal-probability cells an axis")]
    projections: Annotated[Count, Field(description="directions of the sliced Wasserstein distance")]
    floor_samples: Annotated[int, Field(ge=2, description="samples of the prior that the floor is computed from")]
    match_level: Annotated[Positive, Field(description="sliced Wasserstein distance that counts as a match")]


class Render(Section):
    manifold_size: Annotated[int, Field(ge=2, le=100, description="decoded images a side of the manifold")]
    manifold_range: Annotated[Positive, Field(description="the manifold spans [-range, range] on both axes")]


class Params(Section):
    """All of `params.yaml`."""

    epochs: Annotated[Count, Field(description="passes of floor(training images / batch_size) iterations")]
    snapshot_every: Annotated[Count, Field(description="epochs between snapshots")]
    seeds: Annotated[
        list[Seed],
        Field(min_length=1, description="one run of each model a seed", json_schema_extra={"uniqueItems": True}),
    ]
    batch_size: Annotated[
        int,
        Field(ge=2, multiple_of=2, description="images a minibatch; half of it in the discriminator step"),
    ]
    code_size: Annotated[int, Field(ge=1, le=256, description="dimensions of the code z")]
    device: Annotated[Literal["auto", "cpu", "cuda"], Field(description="where training runs")]
    precision: Annotated[
        Literal["float32", "tf32", "bfloat16"], Field(description="of matrix products; on a CPU float32 alone")
    ]
    deterministic: Annotated[bool, Field(description="the same bits from the same GPU; a CPU's are always the same")]
    cuda_graph: Annotated[bool, Field(description="on a GPU, iterations run as CUDA graphs and not one by one")]
    threads: Annotated[
        Literal["auto"] | Annotated[int, Field(ge=1, le=1024)],
        Field(description="of the training on the CPU; they do not change its results"),
    ]
    data: Data
    prior: Prior
    aae: AAE
    vae: VAE
    evaluation: Evaluation
    render: Render


def load_params(path: Path = PARAMS) -> Params:
    """The validated content of `path`; raises InputError with one line for the first thing wrong."""
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (YAMLError, ValueError) as error:  # of a date that is none, ruamel says a ValueError
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        # A misspelt key is both unknown and missing: the first says more.
        errors = sorted(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
        raise InputError(f"{path}: {describe(errors[0], content)}") from None
    if repeated := {seed for seed in params.seeds if params.seeds.count(seed) > 1}:
        raise InputError(f"{path}: seeds: {min(repeated)} stands there twice; each seed is one run")
    classes = params.prior.name in ("mixture", "swiss_roll")
    if classes and params.code_size != 2:
        raise InputError(f"{path}: code_size: prior {params.prior.name} needs 2; found {params.code_size}")
    if params.prior.labels and not classes:
        raise InputError(f"{path}: prior.labels: prior {params.prior.name} has no classes; allowed here: false")
    return params


def describe(error: dict[str, Any], content: Any) -> str:
    """One line for one of pydantic's errors: the key, what is allowed, what was found."""
    key = ".".join(map(str, error["loc"])) or "top level"
    if error["type"] == "missing":
        return f"{key}: missing"
    if error["type"] == "extra_forbidden":
        allowed = allowed_keys(error["loc"][:-1])
        near = get_close_matches(str(error["loc"][-1]), allowed, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        return f"{key}: unknown key{hint}; allowed here: {', '.join(allowed)}"
    if error["loc"][0] == "threads":  # pydantic speaks of each alternative by itself
        return f"threads: input should be 'auto' or an integer from 1 to 1024; found {error['input']!r}"
    message = error["msg"][0].lower() + error["msg"][1:]
    return f"{key}: {message}; found {error['input']!r}"


def allowed_keys(section: tuple) -> list[str]:
    """The keys of the section at the location `section`, for example ("aae", "generator")."""
    model: Any = Params
    for key in section:
        model = model.model_fields[key].annotation
    return list(model.model_fields)


def json_schema() -> str:
    """The JSON schema of `params.yaml`, as the text of `params.schema.json`."""
    return json.dumps(Params.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    load_params()
    PARAMS.with_suffix(".schema.json").write_text(json_schema(), encoding="utf-8")


if __name__ == "__main__":
    from pipeline.cli import run_stage

    run_stage(main)
