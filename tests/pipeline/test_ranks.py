"""One training in several processes, by the stage's own command: the results, and what ends or disturbs it."""

import os
import re
import signal
import subprocess
import time

import pytest

from tests.pipeline.conftest import Repository
from tests.pipeline.test_resume import TRAIN, checkpoints, remove_results, results
from tests.pipeline.tiny_runs import load


@pytest.fixture(scope="module")
def repository(small_repository, tmp_path_factory) -> Repository:
    """A prepared experiment of 40 epochs in four shards, with a snapshot and a checkpoint every five epochs."""
    repository = small_repository.copy_to(tmp_path_factory.mktemp("ranks") / "repository")
    repository.edit("epochs: 2 ", "epochs: 40 ")
    repository.edit("snapshot_every: 1 ", "snapshot_every: 5 ")
    repository.edit("shards: 1 ", "shards: 4 ")
    repository.run("dvc", "repro", "-q", "prepare", "device")
    return repository


@pytest.fixture(scope="module")
def of_one(repository) -> dict[str, bytes]:
    """The results of one process."""
    repository.run(*TRAIN)
    return results(repository.root)


@pytest.fixture(autouse=True)
def nothing_left(repository):
    remove_results(repository.root)
    set_ranks(repository, 1)


def set_ranks(repository: Repository, ranks: int) -> None:
    path = repository.root / "params.yaml"
    path.write_text(re.sub(r"^ranks: \d+", f"ranks: {ranks}", path.read_text(), flags=re.MULTILINE))


def ranks_of(process: subprocess.Popen) -> list[int]:
    """The process ids of the ranks, in order."""
    listed = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(process.pid)], capture_output=True, text=True)
    return sorted(int(line.split()[0]) for line in listed.stdout.splitlines() if "pipeline.train" in line)


def started(repository: Repository, ranks: int = 2, new: int = 1) -> tuple[subprocess.Popen, list[int]]:
    """A training on so many ranks that has written `new` new checkpoints, and its ranks."""
    set_ranks(repository, ranks)
    before = set(checkpoints(repository.root))
    process = repository.start(*TRAIN)
    while process.poll() is None and len(set(checkpoints(repository.root)) - before) < new:
        time.sleep(0.001)
    return process, ranks_of(process)


def alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def test_two_ranks_write_the_results_of_one_process(repository, of_one):
    set_ranks(repository, 2)
    output = repository.run(*TRAIN)
    assert "Traceback" not in output
    assert "Warning" not in output
    assert results(repository.root) == of_one
    timing = load(repository.root / "results/timing/aae-0.json")
    assert (timing["ranks"], timing["threads"]) == (2, 1)
    assert not (repository.root / "scratch/aae-0").exists()


@pytest.mark.parametrize("lost", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_all_ranks_resume_when_one_is_killed(repository, of_one, lost):
    process, ranks = started(repository)
    assert len(ranks) == 2, process.communicate()[0]
    os.kill(ranks[lost], signal.SIGKILL)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert "aae-0: resuming after iteration " in output
    assert "Traceback" not in output
    assert results(repository.root) == of_one
    assert not any(map(alive, ranks))


def test_control_c_ends_with_one_line_and_other_ranks_resume(repository, of_one):
    process, ranks = started(repository, ranks=4)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    assert process.returncode == 1
    assert "Traceback" not in output
    last = output.splitlines()[-1]
    assert re.fullmatch(r"error: aae-0: interrupted after iteration \d+; `dvc repro` resumes from there", last)
    assert not any(map(alive, ranks))

    set_ranks(repository, 2)
    assert "resuming after iteration" in repository.run(*TRAIN)
    assert results(repository.root) == of_one


@pytest.mark.slow
def test_ranks_end_when_the_stage_is_killed(repository, of_one):
    process, ranks = started(repository)
    process.kill()
    process.communicate()  # ends when the ranks have closed their output
    assert ranks
    for _ in range(1000):
        if not any(map(alive, ranks)):
            break
        time.sleep(0.01)
    assert not any(map(alive, ranks))
    assert "resuming after iteration" in repository.run(*TRAIN)
    assert results(repository.root) == of_one


@pytest.mark.slow
def test_the_stage_gives_up_when_ranks_are_lost_again_and_again(repository):
    repository.edit("epochs: 40 ", "epochs: 40000 ")
    try:
        process, ranks = started(repository)
        for _ in range(4):
            os.kill(ranks[1], signal.SIGKILL)
            gone = ranks
            while process.poll() is None and (set(ranks := ranks_of(process)) & set(gone) or len(ranks) < 2):
                time.sleep(0.01)
        output, _ = process.communicate()
    finally:
        repository.edit("epochs: 40000 ", "epochs: 40 ")
    assert process.returncode == 1
    assert "Traceback" not in output
    assert output.splitlines()[-1].startswith("error: aae-0: ranks were lost 4 times, the last time rank 1, with exit ")


def test_divergence_ends_all_ranks_with_one_line(repository):
    text = (repository.root / "params.yaml").read_text()
    (repository.root / "params.yaml").write_text(text.replace("learning_rate: 0.001", "learning_rate: 1.0e+30"))
    set_ranks(repository, 2)
    try:
        output = repository.run(*TRAIN, status=1)
    finally:
        (repository.root / "params.yaml").write_text(text)
    last = output.splitlines()[-1]
    assert "Traceback" not in output
    assert last.startswith("error: aae-0: training diverged in epoch 1: the ")
    assert last.endswith("the last good snapshot is of epoch 0; a smaller learning rate usually helps")
