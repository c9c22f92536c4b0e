"""Nothing that the project reads is run: parameters, names and files. SECURITY.md says what is trusted."""

import ast
import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from PIL import Image
from ruamel.yaml import YAML

from aae.checksums import LIST, write_sums
from aae.data import load_dataset
from aae.errors import InputError
from aae.image_files import open_array
from aae.markdown import code, escaped
from aae.readers.npz import read_npz
from pipeline import prepare, report
from pipeline.tables import read_codes
from tests.pipeline.conftest import Repository, small_repository  # noqa: F401  (a fixture)
from tests.pipeline.tiny_runs import ALL, run_stages, write_inputs

ROOT = Path(__file__).parents[1]
MODULES = sorted([*(ROOT / "aae").rglob("*.py"), *(ROOT / "pipeline").rglob("*.py"), ROOT / "setup.py"])

# --- the code -------------------------------------------------------------------------------------

NOT_IMPORTED = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "code", "codeop", "pty"}
NOT_CALLED = re.compile(
    r"(builtins\.)?(eval|exec|compile|__import__)"
    r"|os\.(system|popen|exec\w+|spawn\w+|posix_spawn\w*)"
    r"|subprocess\.get(status)?output|asyncio\.create_subprocess_shell|tempfile\.mktemp"
    r"|torch\.(load|save|jit\.load|hub\..*)|torch\.serialization\..*|numpy\.lib\.format\.read_array_pickle"
    r"|yaml\..*load\w*|pandas\.read_pickle"
)


def dangers(source: str) -> list[str]:
    """What in a module's source could run what it reads, or gives a command line to a shell."""
    tree = ast.parse(source)
    names, found = {}, []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                package = alias.name.split(".")[0]
                names[alias.asname or package] = alias.name if alias.asname else package
                found += [alias.name] if package in NOT_IMPORTED else []
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            found += [node.module] if node.module.split(".")[0] in NOT_IMPORTED else []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):  # also functions that are passed on and called elsewhere
            first, *rest = ast.unparse(node).split(".")
            name = ".".join([names.get(first, first), *rest])
            found += [name] if NOT_CALLED.fullmatch(name) and (first in names or not rest) else []
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                value = ast.unparse(keyword.value)
                if (keyword.arg, value != "False") in (("shell", True), ("allow_pickle", True)):
                    found.append(f"{keyword.arg}={value}")
                if keyword.arg == "typ" and value not in ("'safe'", "'rt'"):
                    found.append(f"typ={value}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_runs_what_it_reads(path):
    assert dangers(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "import os as x\nx.system('true')",
        "from os import popen as y\ny('true')",
        "eval('1')",
        "list(map(exec, []))",
        "import subprocess\nsubprocess.run('true', shell=True)",
        "import torch\ntorch.load('a')",
        "import numpy as np\nnp.load('a', allow_pickle=True)",
        "import yaml\nyaml.load('a')",
        "from ruamel.yaml import YAML\nYAML(typ='unsafe')",
        "import tempfile\ntempfile.mktemp()",
    ],
)
def test_the_check_finds(source):
    assert dangers(source)


# --- files ----------------------------------------------------------------------------------------


class Trap:
    """Unpickling it makes the file `sprung`."""

    def __reduce__(self):
        return (Path.touch, (Path("sprung"),))


@pytest.mark.parametrize(
    "read",
    [
        lambda path: load_dataset(path.parent),
        read_codes,
        open_array,
        lambda path: read_npz(path.with_suffix(".npz")),
    ],
    ids=["prepared data", "codes", "images of a command", "npz"],
)
def test_a_pickle_in_an_array_is_refused(tmp_path, monkeypatch, read):
    monkeypatch.chdir(tmp_path)
    path = Path("train_images.npy")
    np.save(path, np.array([Trap(), Trap()], dtype=object), allow_pickle=True)
    Path("classes.json").write_text('["0", "1"]')
    with zipfile.ZipFile("train_images.npz", "w") as archive:
        for name in ("x_train", "x_test", "y_train", "y_test"):
            archive.write(path, f"{name}.npy")
    with pytest.raises(InputError):
        read(path)
    assert not Path("sprung").exists()
    np.load(path, allow_pickle=True)
    assert Path("sprung").exists(), "the trap works"


# --- the report -----------------------------------------------------------------------------------

ATTACK = "<img src=x onerror=alert(1)>"
NAMES = [  # of classes, which are folders
    "<script>alert(1)<",
    ATTACK,
    "'\"><svg onload=alert(1)>",
    "![x](javascript:alert(1))",
    "[x](data:,x)",
    "<!-- &lt;b&gt; | `c` ``",
    "# *d* __e__ ~~f~~ | g",
    "{{ 7 * 7 }}{% raw %}\\",
    "www.example.org mailto:a@example.org",
    "1. `<b>`",
]
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
# All that a report is made of, besides the tables that Markdown makes of lines.
TOKENS = {"text", "inline", "heading", "paragraph", "bullet_list", "list_item", "em", "strong", "code_inline", "image"}
TOKENS |= {"table", "thead", "tbody", "tr", "th", "td", "softbreak"}


class Elements(HTMLParser):
    """The elements of a page, each with the names of its attributes, and the texts."""

    def __init__(self, page: str):
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.text = ""
        self.targets: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, tuple(name for name, _ in attributes)))
        self.targets += [value for name, value in attributes if name in ("href", "src", "action", "data")]

    def handle_data(self, data):
        self.text += data


def tokens(markdown: str) -> list:
    """All tokens of a text, also those within lines."""
    return [each for token in MARKDOWN.parse(markdown) for each in (token, *(token.children or ()))]


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> dict[str, tuple[str, str]]:
    """index.html and report.md of tiny runs, with hostile names and with harmless ones in their place."""
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("hostile"))
        folder = f"raw{ATTACK}'$(touch sprung)`touch sprung`"
        pixels = np.random.default_rng(0)
        for part, n in (("train", 2), ("test", 4)):
            for name in NAMES:
                Path(folder, part, name).mkdir(parents=True)
                for i in range(n):
                    image = Image.fromarray(pixels.integers(0, 256, (5, 3)).astype(np.uint8))
                    image.save(Path(folder, part, name, f"{i}.png"))
        write_inputs()
        params = YAML().load(Path("params.yaml"))
        params["data"]["path"] = folder
        YAML().dump(params, Path("params.yaml"))
        timing = Path("results/timing/aae-0.json")
        timing.write_text(timing.read_text().replace("a processor", f"a | {ATTACK}"))
        run_stages(prepare, *ALL)
        made["hostile"] = tuple(Path("report", name).read_text() for name in ("index.html", "report.md"))
        assert not Path("sprung").exists()

        harmless = [f'"class {i}"' for i in range(len(NAMES))]
        classes = Path("data/prepared/classes.json")
        classes.write_text(f"[{', '.join(harmless)}]")
        write_sums(classes.with_name(LIST), [path for path in classes.parent.iterdir() if path.name != LIST])
        params["data"]["path"] = "raw"
        YAML().dump(params, Path("params.yaml"))
        timing.write_text(timing.read_text().replace(f"a | {ATTACK}", "another processor"))
        run_stages(report)
        made["harmless"] = tuple(Path("report", name).read_text() for name in ("index.html", "report.md"))
    return made


def test_names_make_no_element_of_the_page(reports):
    hostile, harmless = (Elements(reports[kind][0]) for kind in ("hostile", "harmless"))
    assert hostile.elements == harmless.elements
    assert all(target.startswith(("data:", "#")) for target in hostile.targets)
    for name in (*NAMES, f"a | {ATTACK}", f"raw{ATTACK}'$(touch sprung)`touch sprung`"):
        assert name in hostile.text


def test_names_make_no_element_of_the_markdown(reports):
    hostile, harmless = (tokens(reports[kind][1]) for kind in ("hostile", "harmless"))
    kinds = [[token.type for token in each if token.type != "text"] for each in (hostile, harmless)]
    assert kinds[0] == kinds[1]
    assert {kind.removesuffix("_open").removesuffix("_close") for kind in kinds[0]} <= TOKENS
    pictures = {token.attrs["src"] for token in hostile if token.type == "image"}
    assert pictures == {f"{run}-{kind}.png" for run in ("aae-0", "vae-0") for kind in ("scatter", "manifold")}
    text = "".join(token.content for token in hostile if not token.children)
    for name in (*NAMES, f"a | {ATTACK}"):
        assert name in text


PRINTED = st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp", "Zs"])


@given(st.text(PRINTED | st.sampled_from("-_*`|<&\\[]! #1.)(\n"), min_size=1))
def test_any_text_is_shown_as_it_is(text):
    shown = " ".join(text.split())
    table = {"table", "thead", "tbody", "tr", "th", "td"}
    for before, after, allowed in (
        ("", "", set()),
        ("Of ", ".", set()),
        ("- ", "", {"bullet_list", "list_item"}),
        ("### ", "", {"heading"}),
        ("Of **", "**.", {"strong"}),
        ("| a |\n|---|\n| ", " |", table),
    ):
        found = tokens(f"{before}{escaped(shown)}{after}\n")
        kinds = {token.type.removesuffix("_open").removesuffix("_close") for token in found}
        assert kinds <= allowed | {"text", "inline", "paragraph"}
        assert shown in "".join(token.content for token in found if token.type == "text")
    assert "\n" not in escaped(text)
    (span,) = [token.content for token in tokens(f"In {code(text)}.") if token.type == "code_inline"]
    assert " ".join(span.split()) == shown


# --- the shell of DVC's stages, and the network ---------------------------------------------------

SHELL = "0 $(touch sprung)"
HOSTILE = [SHELL, "`touch sprung`", "'; touch sprung; '", '"; touch sprung; "', "\\' $HOME *", "1 & touch sprung"]
SPLIT = "0\ntouch sprung\n"  # DVC runs each line of a command separately
# Runs every command of dvc.yaml that has parameters, with DVC's own function. Another `python` prints its arguments.
RUN_COMMANDS = """
import os
from dvc.repo import Repo
from dvc.stage.exceptions import StageCmdFailedError
from dvc.stage.run import cmd_run
os.environ["PATH"] = os.path.abspath("bin") + os.pathsep + os.environ["PATH"]
for stage in Repo().index.stages:
    if "@" in stage.addressing:
        try:
            cmd_run(stage)
        except StageCmdFailedError:
            print("failed")
"""


@pytest.fixture
def checkout(small_repository, tmp_path) -> Repository:  # noqa: F811
    """A copy of the small repository."""
    return Repository(shutil.copytree(small_repository.root, tmp_path / "checkout"))


def test_a_stage_gets_parameters_as_they_are(checkout):
    """Whatever the parameters hold, the shell makes one argument of it."""
    models, seeds = HOSTILE[:2], HOSTILE
    checkout.edit("models: [aae, vae]", f"models: {json.dumps(models)}")
    checkout.edit("seeds: [0]", f"seeds: {json.dumps([*seeds, SPLIT])}")
    python = checkout.root / "bin/python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\nprintf '<%s>' \"$@\"; echo\n")
    python.chmod(0o755)
    said = checkout.run(sys.executable, "-c", RUN_COMMANDS).splitlines()
    expected = [f"<-m><pipeline.floor><--model><{model}>" for model in models]
    for stage in ("train", "evaluate", "render"):
        expected += [f"<-m><pipeline.{stage}><--model><{m}><--seed><{s}>" for m in models for s in seeds]
    assert sorted(line for line in said if line.startswith("<")) == sorted(expected)
    assert said.count("failed") == 3 * len(models), "a command of two lines ends at the first one"
    assert not (checkout.root / "sprung").exists()


@pytest.mark.parametrize("value", [{SHELL: 1}, [SHELL]])
def test_a_seed_that_is_no_single_value_is_no_stage(checkout, value):
    checkout.edit("seeds: [0]", f"seeds: {json.dumps([value])}")
    assert "Cannot interpolate data of type" in checkout.run("dvc", "repro", status=255)
    assert not (checkout.root / "sprung").exists()


@pytest.mark.parametrize(
    ("edited", "command", "status"),
    [
        (True, ["dvc", "repro"], 255),
        (True, ["dvc", "repro", f"train@aae-{SHELL}"], 255),
        (True, ["python", "-m", "pipeline.repro"], 1),
        (False, ["dvc", "exp", "run", "-S", f'seeds=["{SHELL}"]'], 255),
    ],
    ids=["repro", "one stage", "make repro", "experiment"],
)
def test_the_parameters_are_checked_first(checkout, edited, command, status):
    """No stage whose command depends on them starts."""
    if edited:
        checkout.edit("seeds: [0]", f"seeds: {json.dumps([SHELL])}")
    said = checkout.run(*command, status=status)
    assert "error: params.yaml: seeds.0: " in said
    assert set(re.findall(r"Running stage '([^']+)'", said)) <= {"device", "prepare"}
    assert "Traceback" not in said
    assert not (checkout.root / "sprung").exists()


def test_a_name_that_is_a_path_removes_no_file(checkout):
    """DVC removes the old outputs of a stage that it starts."""
    (checkout.root / "params.json").write_text("{}")  # `results/floor/<model>.json`
    checkout.edit("models: [aae, vae]", 'models: ["../../params"]')
    checkout.run("dvc", "repro", "floor@../../params", status=255)
    assert (checkout.root / "params.json").exists()


def test_nothing_is_fetched(checkout):
    """The whole experiment runs without a network."""
    alone = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("this system permits no process without a network")
    checkout.edit("models: [aae, vae]", "models: [vae]")
    checkout.run(*alone, "dvc", "repro")
    assert (checkout.root / "report/index.html").is_file()
    config = configparser.ConfigParser()
    config.read(checkout.root / ".dvc/config")
    assert not config["core"].getboolean("analytics")
    assert not config["core"].getboolean("check_update")
    assert set(config.sections()) == {"core"}, "no remote storage"
