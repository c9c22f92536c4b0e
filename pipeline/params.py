"""Reads and validates `params.yaml`. An error is one line that names the key and what is allowed.

`python -m pipeline.params` checks the file and writes `params.schema.json`, which editors use for completion.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from pydantic import ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from aae.errors import InputError
from aae.files import write_whole
from aae.models import Recipe, find_kind, kind_names
from aae.settings import LARGEST_COUNT, Count, Positive
from pipeline.paths import PARAMS, SUMMARY
from pipeline.sections import Section, section_of, settings_of
from pipeline.shown import one_line, shown

Seed = Annotated[int, Field(ge=0, lt=2**63)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=100)]  # a part of file names
KINDS: Any = Annotated[  # known only after the modules of the kinds are imported
    Union[tuple(section_of(find_kind(name).Settings, kind=name) for name in kind_names())],  # noqa: UP007
    Field(discriminator="kind"),
]

LARGEST_FILE = 2**20  # bytes; YAML of this size takes seconds to parse

AUTO_OR = {  # keys that may be `auto`, and their other values
    "threads": "an integer from 1 to 1024",
    "data.classes": "an integer from 1 to 256",
    "render.manifold_range": "a number from 1e-6 to 1e6",
}


class Data(Section):
    path: Annotated[str, Field(min_length=1, description="folder of IDX files, .npz file, or folder of images")]
    classes: Annotated[
        Literal["auto"] | Annotated[int, Field(ge=1, le=256)],
        Field(description="required number of classes; auto: as many as the data has"),
    ]
    test_fraction: Annotated[
        float, Field(gt=0, lt=1, description="test set's fraction of a folder of images that has none")
    ]
    grey: Annotated[bool, Field(description="colour images become grey")]


class Evaluation(Section):
    cells: Annotated[int, Field(ge=2, le=100, description="equal-probability cells per axis")]
    train_cells: Annotated[int, Field(ge=2, le=300, description="the same for the codes of all training images")]
    projections: Annotated[Count, Field(description="directions of the sliced Wasserstein distance")]
    floor_samples: Annotated[
        int, Field(ge=2, le=100_000, description="samples of the prior that the floor is computed from")
    ]
    match_level: Annotated[Positive, Field(description="sliced Wasserstein distance that counts as a match")]


class Render(Section):
    manifold_size: Annotated[int, Field(ge=2, le=100, description="decoded images per side of the manifold")]
    manifold_range: Annotated[
        Literal["auto"] | Annotated[float, Field(ge=1e-6, le=1e6)],
        Field(description="the manifold spans [-range, range] on both axes; auto: as far as the prior's bulk"),
    ]


class Params(Section):
    """All of `params.yaml`. Keys that are not fields are sections of models; `recipe` returns them."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, KINDS] = Field(init=False)

    models: Annotated[
        list[Name],
        Field(min_length=1, description="the sections to train", json_schema_extra={"uniqueItems": True}),
    ]
    epochs: Annotated[Count, Field(description="passes of floor(training images / batch_size) iterations")]
    snapshot_every: Annotated[Count, Field(description="epochs between snapshots")]
    seeds: Annotated[
        list[Seed],
        Field(min_length=1, description="one run of each model per seed", json_schema_extra={"uniqueItems": True}),
    ]
    batch_size: Annotated[
        int,
        Field(
            ge=2,
            le=LARGEST_COUNT,
            multiple_of=2,
            description="images per minibatch; half as many in the discriminator step",
        ),
    ]
    code_size: Annotated[int, Field(ge=1, le=256, description="dimensions of the code z")]
    device: Annotated[Literal["auto", "cpu", "cuda"], Field(description="where training runs")]
    precision: Annotated[
        Literal["float32", "tf32", "bfloat16"], Field(description="precision of matrix products; only float32 on a CPU")
    ]
    deterministic: Annotated[bool, Field(description="the same bits from the same GPU (a CPU always gives the same)")]
    cuda_graph: Annotated[bool, Field(description="on a GPU, iterations run as CUDA graphs instead of one by one")]
    threads: Annotated[
        Literal["auto"] | Annotated[int, Field(ge=1, le=1024)],
        Field(description="threads of the training on the CPU; they do not change its results"),
    ]
    shards: Annotated[
        Literal[1, 2, 4, 8, 16, 32, 64],
        Field(description="parts of every minibatch, whose gradients are added in one order; 1: not divided"),
    ]
    ranks: Annotated[
        int,
        Field(ge=1, le=64, description="processes of a training, each with its GPU or a part of the CPU's threads"),
    ]
    data: Data
    evaluation: Evaluation
    render: Render

    def recipe(self, name: str) -> Recipe:
        """The recipe `name`: its kind and its settings."""
        section = getattr(self, name)
        return Recipe(name, find_kind(section.kind), settings_of(section, name))

    @property
    def recipes(self) -> list[Recipe]:
        """The recipes of all `models`, in order."""
        return [self.recipe(name) for name in self.models]


def load_params(path: Path = PARAMS) -> Params:
    """The validated content of `path`; raises InputError, one line, for the first error."""
    content = read_yaml(path)
    try:
        return validated(content)
    except InputError as error:
        raise InputError(f"{path}: {one_line(str(error))}") from None


def read_yaml(path: Path) -> Any:
    """The content of the file `path`; raises InputError, one line, if it cannot be read."""
    if path.exists() and not (path.is_file() or path.is_dir()):  # a FIFO would wait, a device might never end
        raise InputError(f"{path}: not a regular file")
    if path.is_file() and path.stat().st_size > LARGEST_FILE:
        raise InputError(f"{path}: {path.stat().st_size:,} bytes; allowed: at most {LARGEST_FILE:,}")
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (YAMLError, ValueError) as error:  # ruamel raises a ValueError for an impossible date
        raise InputError(f"{path}: not valid YAML: {one_line(str(error))}") from None
    except LookupError:  # what ruamel raises for `!!bool x`
        raise InputError(f"{path}: not valid YAML: a tag (!!) does not fit its value") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deeply; the parameters have four levels at most") from None


def validated(content: Any) -> Params:
    """`content`, a mapping of parameters, as `Params`; raises InputError for the first error."""
    if not isinstance(content, dict):
        raise InputError(f"must be a mapping of parameters; found {'nothing' if content is None else shown(content)}")
    check_names(content)
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        # A misspelt key is both unknown and missing. The message about the unknown key says more.
        errors = sorted(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
        raise InputError(describe(errors[0], content)) from None
    check_agreement(params)
    return params


def check_names(content: dict[str, Any]) -> None:
    """Raises InputError for a top-level key that is neither a parameter nor a section of a model."""
    for key, value in content.items():
        near = close_matches(key, Params.model_fields)
        if key in Params.model_fields or (
            isinstance(key, str) and isinstance(value, dict) and ("kind" in value or not near)
        ):
            continue
        hint = f" (did you mean {near[0]}?)" if near else ""
        allowed = f"{', '.join(Params.model_fields)}, and sections with a kind of model"
        raise InputError(f"{shown_key([key])}: unknown key{hint}; allowed here: {allowed}")


def check_agreement(params: Params) -> None:
    """Raises InputError for values that are each allowed but contradict each other."""
    known = params.model_extra or {}
    sections = ", ".join(known)
    if control := re.search(r"[\x00-\x1f\x7f]", params.data.path):
        raise InputError(f"data.path: must have no control characters; found {control.group()!r} in it")
    for name in params.models:
        if name not in known:
            raise InputError(f"models: no section {name}; sections: {sections}")
    for key in ("seeds", "models"):
        counts = Counter(getattr(params, key))
        if repeated := [value for value, count in counts.items() if count > 1]:
            raise InputError(f"{key}: {min(repeated)} is listed twice")
    check_results_names(params.recipes)
    if params.shards % params.ranks:
        raise InputError(f"ranks: must divide shards, which is {params.shards}; found {params.ranks}")
    for recipe in params.recipes:
        try:
            recipe.kind.check(recipe.settings, params.code_size)
        except InputError as error:
            raise InputError(f"{recipe.name}.{error}") from None
        if params.shards > 1:
            check_shards(recipe, params)


def check_shards(recipe: Recipe, params: Params) -> None:
    """Raises InputError if the recipe's minibatches cannot be divided into so many shards."""
    rows = recipe.kind.divided_rows(recipe.settings, params.batch_size)
    if rows is None:
        raise InputError(f"shards: {recipe.name} cannot divide its minibatches; allowed: 1; found {params.shards}")
    for name, count in rows.items():
        if count % params.shards:
            raise InputError(f"shards: must divide {name} in {recipe.name}, which is {count}; found {params.shards}")


def check_results_names(recipes: list[Recipe]) -> None:
    """Raises InputError for a model whose name has another meaning in results/summary.json."""
    taken = {"claims", "result"} | {f"{recipe.name}_{kind.name}" for recipe in recipes for kind in recipe.other_codes}
    for recipe in recipes:
        if recipe.name in taken:
            raise InputError(f"models: {recipe.name} has another meaning in {SUMMARY}; allowed: any other name")


def describe(error: Mapping[str, Any], content: dict[str, Any]) -> str:
    """Describes one of pydantic's errors in one line: the key, what is allowed, what was found."""
    path = path_in(content, error)
    key = shown_key(path)
    if error["type"] == "missing":
        return f"{key}: missing"
    if error["type"] == "union_tag_not_found":
        return f"{key}.kind: missing; allowed here: {', '.join(kind_names())}"
    if error["type"] == "union_tag_invalid":
        return f"{key}.kind: input should be one of {error['ctx']['expected_tags']}; found {shown(error['ctx']['tag'])}"
    if error["type"] == "extra_forbidden":
        allowed = keys_of(content, path[:-1])
        near = close_matches(path[-1], allowed)
        hint = f" (did you mean {near[0]}?)" if near else ""
        return f"{key}: unknown key{hint}; allowed here: {', '.join(allowed)}"
    if key in AUTO_OR:  # pydantic reports each alternative separately
        return f"{key}: input should be 'auto' or {AUTO_OR[key]}; found {shown(error['input'])}"
    message = error["msg"][0].lower() + error["msg"][1:]
    return f"{key}: {message}; found {shown(error['input'])}"


def shown_key(path: Sequence[Any]) -> str:
    """The dotted name of the key at `path`; an unusual part is quoted and cut short."""
    return ".".join(
        part if isinstance(part, str) and part.isprintable() and len(part) <= 100 else shown(part) for part in path
    )


def close_matches(key: Any, allowed: Iterable[str]) -> list[str]:
    """The name that may be meant by `key`, if there is one."""
    return get_close_matches(shown_key([key]), allowed, n=1)


def path_in(content: dict[str, Any], error: Mapping[str, Any]) -> list[str | int]:
    """The error's path in `content`, without the alternatives that pydantic adds to it."""
    place: Any = content
    path: list[str | int] = []
    for part in error["loc"]:
        if (isinstance(place, dict) and part in place) or (isinstance(place, list) and isinstance(part, int)):
            place = place[part]
            path.append(part)
    if error["type"] == "missing":
        path.append(error["loc"][-1])
    return path


def keys_of(content: Any, path: list[str | int]) -> list[str]:
    """The keys that the section of `content` at `path` may have."""
    schema = Params.model_json_schema()
    places: list[dict[str, Any]] = [schema]
    for part in path:
        content = content[part]
        parts = [place["properties"].get(part, place["additionalProperties"]) for place in places]
        places = [section for each in parts for section in sections_in(each, schema["$defs"])]
        kind = content.get("kind")
        places = [each for each in places if kind in (None, each["properties"].get("kind", {}).get("const", kind))]
    return list(dict.fromkeys(key for place in places for key in place["properties"]))


def sections_in(schema: dict[str, Any], definitions: dict[str, Any]) -> list[dict[str, Any]]:
    """The schemas of mappings among the alternatives of `schema`."""
    if "$ref" in schema:
        return sections_in(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    options = [*schema.get("anyOf", []), *schema.get("oneOf", [])]
    found = [section for option in options for section in sections_in(option, definitions)]
    return [*found, schema] if "properties" in schema else found


def json_schema() -> str:
    """The JSON schema of `params.yaml`, as the text of `params.schema.json`."""
    return json.dumps(Params.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    load_params()
    write_whole(PARAMS.with_suffix(".schema.json"), json_schema().encode())


if __name__ == "__main__":
    from pipeline.cli import run_stage

    run_stage(main)
