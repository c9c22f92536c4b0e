"""dvc.yaml lists exactly the modules that each stage imports and the parameters that it reads."""

import ast
from collections.abc import Collection
from pathlib import Path

import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

from pipeline import device, evaluate, floor, params, prepare, render, report, summarize, train
from pipeline.params import load_params
from tests.pipeline.conftest import write_idx_files
from tests.pipeline.tiny_runs import run_stages, write_inputs

ROOT = Path(__file__).parents[2]
STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
LOCKED = {"torch", "numpy", "scipy", "sklearn", "matplotlib", "PIL", "safetensors"}  # results depend on their versions


def imported_names(path: Path) -> set[str]:
    """Every module that the file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def closure(path: Path, kinds: Collection[str] | None = None) -> set[str]:
    """Everything that `path` depends on, including itself: modules, the kinds of models, templates, the extension's
    sources, and the locked versions of the libraries that compute results.

    The kinds are a folder, or the modules of those `kinds` that it uses.
    """
    found, seen, waiting = set(), set(), [path]
    folders = [ROOT / "paper/experiments", *([ROOT / "aae/kinds"] if kinds is None else [])]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        # Kinds and experiments are imported dynamically by name, so all of them count.
        found.add(path.parent if path.parent in folders else path)
        if path in (ROOT / "aae/report.py", ROOT / "paper/report.py"):
            found.add(path.parent / "page")
        for name in imported_names(path):
            if name == "aae_native":
                found |= {ROOT / "csrc", ROOT / "setup.py"}
            if name.split(".")[0] in LOCKED:
                found.add(ROOT / "requirements.txt")
            if name in ("aae.kinds", "paper.experiments"):
                modules = (ROOT / name.replace(".", "/")).glob("*.py")
                waiting += [each for each in modules if name != "aae.kinds" or kinds is None or each.stem in kinds]
            module = (ROOT / name.replace(".", "/")).with_suffix(".py")
            if name.split(".")[0] in ("aae", "pipeline", "paper") and module.is_file():
                waiting.append(module)
    return {str(path.relative_to(ROOT)) for path in found}


@pytest.mark.parametrize("stage", list(STAGES))
def test_dependencies_are_the_import_closure(stage):
    listed = {dep for dep in STAGES[stage].get("deps", []) if not dep.startswith(("data/", "results/", "$"))}
    assert listed == closure(ROOT / "pipeline" / f"{stage}.py")


def test_package_files_hold_no_code():
    """`closure` ignores `__init__.py` files. That is correct only while they contain at most a docstring and, in aae,
    `load`, which no stage calls."""
    for package in ("aae", "aae/kinds", "pipeline"):
        body = ast.parse((ROOT / package / "__init__.py").read_text()).body
        body = [node for node in body if not isinstance(node, ast.FunctionDef) and not is_for_types(node)]
        assert all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)
    sources = [*(ROOT / "aae").rglob("*.py"), *(ROOT / "pipeline").glob("*.py")]
    assert not [path for path in sources if calls_load(path)]


def is_for_types(node: ast.stmt) -> bool:
    """Whether a statement has no effect at run time: `if TYPE_CHECKING` and its import."""
    text = ast.unparse(node)
    return text == "from typing import TYPE_CHECKING" or text.startswith("if TYPE_CHECKING:")


def calls_load(path: Path) -> bool:
    """Whether a module's code contains `aae.load`."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)]
    return any(ast.unparse(node) == "aae.load" for node in nodes)


class Recorded:
    """Parameters that record which keys are read, in dotted form."""

    def __init__(self, params: BaseModel, read: set[str], prefix: str = ""):
        self._params, self._read, self._prefix = params, read, prefix

    def __getattr__(self, name: str):
        value = getattr(self._params, name)
        key = f"{self._prefix}{name}"
        if name == "recipe":
            return lambda model: self._note(model) and value(model)
        if name == "recipes":
            return [self.recipe(model) for model in self.models]
        if name == "model_dump":
            return self._dump
        if isinstance(value, BaseModel):
            return Recorded(value, self._read, f"{key}.")
        self._note(key)
        return value

    def _note(self, key: str) -> bool:
        self._read.add(key)
        return True

    def _dump(self, include: set[str] | None = None, **settings):
        for name in include or [*type(self._params).model_fields, *(self._params.model_extra or {})]:
            self._note(f"{self._prefix}{name}")
        return self._params.model_dump(include=include, **settings)


# Parameters that a stage may read without listing them. They affect only the timing that the stage writes.
FREE = {
    "device": {"models", "seeds", "data.path", "code_size", "aae", "vae"},
    "train": {"models", "threads", "cuda_graph", "ranks"},
    "evaluate": {"models"},
    "render": {"models"},
    "floor": {"models"},
}
# Ordered so that each stage finds its inputs. The first stage's inputs exist; the last two use other data.
MODULES = {module.__name__.rpartition(".")[2]: module for module in
           (floor, evaluate, render, summarize, report, device, prepare, train)}  # fmt: skip


@pytest.fixture(scope="module")
def keys_read(tmp_path_factory) -> dict[str, set[str]]:
    """The parameter keys that each stage reads in an experiment of two tiny runs."""
    read: dict[str, set[str]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("parameters"))
        write_inputs(changes={"path: data/raw/mnist ": "path: raw "})
        write_idx_files(Path("raw"))
        for name, module in MODULES.items():
            keys = read.setdefault(name, set())
            recorded = lambda keys=keys: Recorded(load_params(), keys)  # noqa: E731
            # Some stages import it when they start.
            patch.setattr(params if not hasattr(module, "load_params") else module, "load_params", recorded)
            if name == "train":
                patch.setattr("sys.argv", ["stage", "--model", "aae", "--seed", "0"])
                module.main()
            else:
                run_stages(module)
    return read


@pytest.mark.parametrize("stage", list(STAGES))
def test_parameters_are_those_that_the_stage_reads(stage, keys_read):
    listed: set[str] = set()
    for entry in STAGES[stage].get("params", []):
        if isinstance(entry, dict):
            return  # the whole file
        listed.add(entry)
    read = keys_read[stage] - FREE.get(stage, set())
    # A stage of a run reads the section of its model, here aae or vae.
    read = {"${item.model}" if key in ("aae", "vae") else key for key in read}
    covered = {key for key in read if any(key == entry or key.startswith(f"{entry}.") for entry in listed)}
    assert read == covered, "it reads parameters that are not listed"
    unread = {entry for entry in listed if not any(key == entry or key.startswith(f"{entry}.") for key in read)}
    assert not unread, "it lists parameters that it does not read"
