"""All files, and names in files, that docs/extending.md mentions exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/extending.md"
LINKS = sorted(set(re.findall(r"\[`([^`]+)`\]\(([^)]+)\)", " ".join(PAGE.read_text().split()))))


def names_in(path: Path) -> set[str]:
    """The names that a module defines: functions, classes, their members, and assigned names."""
    names = set()
    module = ast.parse(path.read_text())
    for prefix, body in [
        ("", module.body),
        *((f"{c.name}.", c.body) for c in module.body if isinstance(c, ast.ClassDef)),
    ]:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(prefix + node.name)
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            names |= {prefix + target.id for target in targets if isinstance(target, ast.Name)}
        for node in ast.walk(ast.Module(body, [])):  # attributes that a constructor sets
            if prefix and isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                names.add(prefix + node.attr)
    return names


@pytest.mark.parametrize(("name", "target"), LINKS)
def test_what_the_page_names_exists(name, target):
    path = (PAGE.parent / target).resolve()
    assert path.is_file()
    if "/" in name or name == path.name:
        assert path == ROOT / name
    elif path.suffix == ".py":
        assert name in names_in(path)
    else:
        assert re.search(rf"\b{re.escape(name)}\b", path.read_text())


def test_the_page_names_something_of_every_kind():
    assert len(LINKS) > 40
