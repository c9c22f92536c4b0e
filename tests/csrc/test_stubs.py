"""The extension's type stubs match the compiled module: names, parameters and their types."""

import ast
from pathlib import Path

import aae_native
import pytest

STUBS = ast.parse((Path(__file__).parents[2] / "typings/aae_native/__init__.pyi").read_text())
# Argument types: pybind11's names, and the names in the stubs.
TYPES = {
    "typing.SupportsInt | typing.SupportsIndex": "int",
    "typing.SupportsFloat | typing.SupportsIndex": "float",
    "collections.abc.Sequence": "Sequence",
    "aae_native.": "",
    "dict": "dict[str, Any]",
}


def stubbed() -> dict[str, ast.FunctionDef]:
    """Functions and methods by name, such as `Pass.forward`."""
    found = {}
    for node in STUBS.body:
        for each in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(each, ast.FunctionDef):
                found[f"{node.name}.{each.name}" if each is not node else each.name] = each
    return found


def compiled() -> dict[str, str]:
    """The signature of each function and method in pybind11's notation."""
    found = {}
    for name, value in vars(aae_native).items():
        if isinstance(value, type):
            methods = {method: getattr(value, method).__doc__ for method in vars(value)}
            found |= {f"{name}.{method}": doc for method, doc in methods.items() if doc and doc.startswith(method)}
        elif callable(value):
            found[name] = value.__doc__
    return {name: doc.splitlines()[0] for name, doc in found.items()}


def written(signature: str) -> ast.FunctionDef:
    for theirs, ours in TYPES.items():
        signature = signature.replace(theirs, ours)
    return ast.parse(f"def {signature}: ...").body[0]


SIGNATURES = compiled()


def test_every_name_has_a_stub_and_every_stub_a_name():
    without_cuda = set() if aae_native.build_info()["cuda"] else {name for name in stubbed() if name.endswith("_cuda")}
    assert set(stubbed()) - without_cuda == set(SIGNATURES)


@pytest.mark.parametrize("name", SIGNATURES)
def test_parameters(name):
    stub, real = stubbed()[name], written(SIGNATURES[name])
    given, taken = ([*node.args.posonlyargs, *node.args.args] for node in (stub, real))
    if not any(argument.arg == "arg0" for argument in taken):
        assert not stub.args.posonlyargs
        assert [argument.arg for argument in given] == [argument.arg for argument in taken]
    else:  # no names: pybind11 numbers the arguments
        assert not stub.args.args
    annotations = [
        [ast.unparse(argument.annotation) for argument in arguments if argument.arg != "self"]
        for arguments in (given, taken)
    ]
    assert annotations[0] == annotations[1]
    assert ast.unparse(stub.returns) == ast.unparse(real.returns)


def test_attributes():
    """The names of everything that is neither a function nor a class: properties."""
    classes = [node for node in STUBS.body if isinstance(node, ast.ClassDef)]
    given = {
        f"{node.name}.{each.target.id}" for node in classes for each in node.body if isinstance(each, ast.AnnAssign)
    }
    taken = {
        f"{name}.{attribute}"
        for name, value in vars(aae_native).items()
        if isinstance(value, type)
        for attribute, member in vars(value).items()
        if isinstance(member, property)
    }
    assert given == taken
