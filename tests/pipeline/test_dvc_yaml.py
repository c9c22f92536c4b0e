"""dvc.yaml lists, for each stage, exactly the project's modules that it imports."""

import ast
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]


def imported_names(path: Path) -> set[str]:
    """Every module that the file imports, wherever in it the import stands."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def closure(path: Path) -> set[str]:
    """The project's files behind `path`, itself included: modules, their templates, the extension's sources."""
    found, waiting = set(), [path]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        if path == ROOT / "aae/report.py":
            found.add(ROOT / "aae/page")
        for name in imported_names(path):
            if name == "aae_native":
                found |= {ROOT / "csrc", ROOT / "setup.py"}
            module = (ROOT / name.replace(".", "/")).with_suffix(".py")
            if name.split(".")[0] in ("aae", "pipeline") and module.is_file():
                waiting.append(module)
    return {str(path.relative_to(ROOT)) for path in found}


@pytest.mark.parametrize("stage", list(STAGES))
def test_dependencies_are_the_import_closure(stage):
    listed = {dep for dep in STAGES[stage]["deps"] if not dep.startswith(("data/", "results/", "$"))}
    assert listed == closure(ROOT / "pipeline" / f"{stage}.py")


def test_package_files_hold_no_code():
    """The closure above leaves `__init__.py` out, which is right only while they hold a docstring at most."""
    for package in ("aae", "pipeline"):
        body = ast.parse((ROOT / package / "__init__.py").read_text()).body
        assert all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)
