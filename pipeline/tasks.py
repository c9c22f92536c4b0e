"""What may be made on another machine: the runs of one seed, in one piece, so that their times compare.

The head is the checkout that gives out the tasks. It needs no more than its commit in common with a machine, and the
files that an order carries.
"""

import configparser
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from aae.errors import InputError
from pipeline import lockfile
from pipeline.clones import SCRATCH, Order
from pipeline.paths import DEVICE, PARAMS, run_name

if TYPE_CHECKING:  # it imports PyTorch, which takes seconds
    from pipeline.params import Params

DVC = (sys.executable, "-m", "dvc")
PREPARE = "prepare"
STAGES_OF_RUN = ("train", "evaluate", "render")
WRITTEN = ("dvc.lock", "results/")  # what the stages write and Git keeps
SEEDS = re.compile(r"^seeds:(?: *\[[^\]]*\]|(?:\n *- *\d+)+)", re.MULTILINE)


@dataclass(frozen=True)
class Task:
    """The models to make with one seed."""

    seed: int
    models: tuple[str, ...]

    @property
    def runs(self) -> list[str]:
        return [run_name(model, self.seed) for model in self.models]

    @property
    def stages(self) -> list[str]:
        return [stage for run in self.runs for stage in stages_of(run)]


def stages_of(run: str) -> list[str]:
    """The stages of a run, in order."""
    return [f"{stage}@{run}" for stage in STAGES_OF_RUN]


def tasks_of(params: "Params") -> list[Task]:
    """The tasks with the runs that are not up to date."""
    command = [*DVC, "status", "--json", *STAGES_OF_RUN]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(1)
    stale = {stage.partition("@")[2] for stage in json.loads(done.stdout)}
    tasks = [
        Task(seed, tuple(model for model in params.models if run_name(model, seed) in stale)) for seed in params.seeds
    ]
    return [task for task in tasks if task.models]


def check_tree() -> None:
    """Raises InputError if the checkout differs from its commit in more than the seeds and what stages write."""
    for line in git("status", "--porcelain", "--untracked-files=all", "-z").split("\0"):
        path = line[3:]
        if not path or path.startswith(WRITTEN) or (path == str(PARAMS) and only_seeds_differ()):
            continue
        raise InputError(f"{path}: differs from the last commit, of which the clones are made; commit it first")


def only_seeds_differ() -> bool:
    """Whether params.yaml has the values of the last commit, except for `seeds`."""
    now, committed = (YAML(typ="safe").load(text) for text in (PARAMS.read_text(), git("show", f"HEAD:./{PARAMS}")))
    return {**now, "seeds": None} == {**committed, "seeds": None}


def with_seeds(text: str, seeds: Sequence[int]) -> str:
    """The text of params.yaml with other seeds."""
    changed, count = SEEDS.subn(f"seeds: {list(seeds)}", text)
    if count != 1:
        raise InputError(f"{PARAMS}: seeds: must be a list in one line, such as `seeds: [0, 1]`, to be changed")
    return changed


class Orders:
    """Makes orders of tasks.

    Args:
        study: see `pipeline.clones.Order`.
    """

    def __init__(self, study: str):
        self.study, self.root = study, Path.cwd()
        self.remote = default_remote()
        self.cache = "" if self.remote else dvc_says("cache", "dir")
        self.commit = git("rev-parse", "HEAD").strip()
        self.origin = git("config", "--default", "", "--get", "remote.origin.url").strip()
        self.entries = lockfile.read_entries()
        self.config = config_of_clones(self.remote, self.cache)

    @property
    def marked(self) -> list[Path]:
        """The folders that other machines may see."""
        return [self.root / SCRATCH, *([Path(self.cache)] if self.cache else [])]

    def push(self, tasks: Iterable[Task]) -> None:
        """Sends what the tasks need to the remote, if there is one."""
        if self.remote:
            known = lockfile.cut(self.entries, [stage for task in tasks for stage in task.stages])
            subprocess.run([*DVC, "push", "--quiet", PREPARE, *known], check=False)  # what is missing is made again

    def order(self, task: Task) -> Order:
        entries = lockfile.cut(self.entries, [PREPARE, *task.stages])
        outputs = [path for stage, lines in entries.items() for path in lockfile.outputs_of(stage, lines)]
        files = [Path(name) for name in kept_by_git(outputs)]
        return Order(
            study=self.study,
            root=str(self.root),
            commit=self.commit,
            origin=self.origin,
            cache=self.cache,
            config=self.config,
            files={
                str(PARAMS): with_seeds(PARAMS.read_text(), [task.seed]).encode(),
                str(lockfile.LOCK): lockfile.text_of(entries).encode(),
                **{str(path): path.read_bytes() for path in (DEVICE, *files)},
            },
            arguments=("--seed", str(task.seed), "--models", *task.models),
        )


def kept_by_git(paths: Sequence[Path]) -> list[str]:
    """The files that are or are in `paths` and that Git tracks or would track."""
    if not paths:  # which Git would take for everything
        return []
    listed = git("ls-files", "-z", "-co", "--exclude-standard", "--", *map(str, paths))
    return sorted({name for name in listed.split("\0") if Path(name).is_file()})


def default_remote() -> str:
    """The name of DVC's default remote in this checkout; empty if there is none. `dvc config` takes half a second."""
    config = configparser.ConfigParser(interpolation=None)
    config.read([".dvc/config", ".dvc/config.local"])
    return config.get("core", "remote", fallback="")


def config_of_clones(remote: str, cache: str) -> str:
    """This checkout's `.dvc/config.local` with the address of the cache or of the remote."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(".dvc/config.local")
    settings: dict[str, dict[str, Any]]
    if remote:
        from dvc.config import Config

        # In a relative form, an address would mean another folder in a clone. DVC reads it in full.
        url = Config(".dvc")["remote"][remote]["url"]
        settings = {f"'remote \"{remote}\"'": {"url": url}, "core": {"remote": remote}}
    else:
        settings = {"cache": {"dir": cache}}
    for section, values in settings.items():
        config.read_dict({section: values})
    text = io.StringIO()
    config.write(text)
    return text.getvalue()


def dvc_says(*arguments: str) -> str:
    done = subprocess.run([*DVC, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"`dvc {' '.join(arguments)}` failed: {' '.join(done.stderr.split())}")
    return done.stdout.strip()


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"`git {arguments[0]}` failed: {' '.join(done.stderr.split())}")
    return done.stdout
