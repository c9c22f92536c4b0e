"""Interrupted trainings. Whatever stops one, the next continues it and ends with the bits of an uninterrupted run."""

import random
import shutil
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from aae.checkpoints import load_checkpoint, save_checkpoint
from tests.pipeline.conftest import Repository
from tests.pipeline.tiny_runs import load

TRAIN = [sys.executable, "-m", "pipeline.train", "--model", "aae", "--seed", "0"]
RESULTS = ("results/snapshots/aae-0", "results/history/aae-0", "results/codes/aae-0.npy")


@pytest.fixture(scope="module")
def repository(small_repository, tmp_path_factory) -> Repository:
    """A prepared experiment of 200 epochs, with a snapshot and a checkpoint every five."""
    repository = small_repository.copy_to(tmp_path_factory.mktemp("resume") / "repository")
    repository.edit("epochs: 2 ", "epochs: 200 ")
    repository.edit("snapshot_every: 1 ", "snapshot_every: 5 ")
    repository.run("dvc", "repro", "-q", "prepare", "device")
    return repository


@pytest.fixture(scope="module")
def uninterrupted(repository) -> dict[str, bytes]:
    repository.run(*TRAIN)
    return results(repository.root)


@pytest.fixture(autouse=True)
def nothing_left(repository):
    remove_results(repository.root)


def remove_results(root: Path) -> None:
    for name in ("scratch", *RESULTS[:2]):
        shutil.rmtree(root / name, ignore_errors=True)
    (root / RESULTS[2]).unlink(missing_ok=True)


def results(root: Path) -> dict[str, bytes]:
    files = [path for name in RESULTS for path in [root / name, *(root / name).rglob("*")] if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def checkpoints(root: Path) -> list[Path]:
    return sorted(root.glob("scratch/aae-0/*/*.safetensors"))


def interrupt(repository: Repository, number: signal.Signals, after: float, new: int = 1) -> tuple[int, str]:
    """Starts the training, waits for `new` new checkpoints and another `after` seconds, and sends it the signal."""
    before = set(checkpoints(repository.root))
    process = repository.start(*TRAIN)
    while process.poll() is None and len(set(checkpoints(repository.root)) - before) < new:
        time.sleep(0.001)
    time.sleep(after)
    process.send_signal(number)
    output, _ = process.communicate()
    return process.returncode, output


def test_control_c_ends_with_one_line_and_a_checkpoint(repository, uninterrupted):
    status, output = interrupt(repository, signal.SIGINT, 0.05)
    assert status == 1
    assert "Traceback" not in output
    last = output.splitlines()[-1]
    assert last.startswith("error: aae-0: interrupted after iteration ")
    assert last.endswith("`dvc repro` resumes from there")
    step = int(last.split()[5].rstrip(";"))
    assert checkpoints(repository.root)[-1].stem == f"{step:012d}"

    assert f"aae-0: resuming after iteration {step} " in repository.run(*TRAIN)
    assert results(repository.root) == uninterrupted
    assert not (repository.root / "scratch/aae-0").exists()


def test_an_interrupted_epoch_keeps_its_time(repository, uninterrupted):
    """The seconds before the interruption count only for the interrupted epoch."""
    for _ in range(50):  # until the signal arrives within an epoch, which has five iterations
        status, output = interrupt(repository, signal.SIGINT, 0.01)
        if status == 0:  # the training finished before the signal
            continue
        checkpoint = load_checkpoint(checkpoints(repository.root)[-1].parent)
        if checkpoint.step % 5:
            break
    assert checkpoint.step % 5, output
    assert checkpoint.notes["spent"] > 0
    long_ago = replace(checkpoint, notes=checkpoint.notes | {"spent": 1000.0})
    save_checkpoint(checkpoints(repository.root)[-1].parent, long_ago)
    assert f"resuming after iteration {checkpoint.step} " in repository.run(*TRAIN)
    timing = load(repository.root / "results/timing/aae-0.json")
    assert 1000 <= timing["seconds"] < 2000
    assert timing["seconds_per_epoch"] < 1000, "the median over epochs, of which one was interrupted"
    assert results(repository.root) == uninterrupted


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_kill_at_random_moments(repository, uninterrupted, kills):
    moments = random.Random(kills)
    while kills:
        status, output = interrupt(repository, signal.SIGKILL, moments.uniform(0, 0.05))
        if status == -signal.SIGKILL:
            kills -= 1
        else:  # on a fast machine, the training finishes before the signal; the next one starts from the beginning
            assert status == 0, output
            assert results(repository.root) == uninterrupted
            remove_results(repository.root)
    assert "resuming after iteration" in repository.run(*TRAIN)
    assert results(repository.root) == uninterrupted


@pytest.mark.parametrize("after", [0, 0.001, 0.002])
def test_kill_while_a_finished_training_removes_its_checkpoints(repository, uninterrupted, after):
    """A training must not continue from a partly removed state, which also includes the snapshots."""
    timing = repository.root / "results/timing/aae-0.json"  # written last
    timing.unlink()
    process = repository.start(*TRAIN)
    while process.poll() is None and not timing.exists():
        pass
    time.sleep(after)
    process.kill()
    process.communicate()
    repository.run(*TRAIN)
    assert results(repository.root) == uninterrupted


@pytest.mark.parametrize("damage", ["cut in half", "empty", "zeros at the end"])
def test_a_damaged_checkpoint_is_passed_over(repository, uninterrupted, damage):
    """After damage such as a power cut leaves, the previous checkpoint is used."""
    interrupt(repository, signal.SIGKILL, 0, new=2)
    *_, older, newest = checkpoints(repository.root)
    content = newest.read_bytes()
    half = len(content) // 2
    newest.write_bytes(
        {"cut in half": content[:half], "empty": b""}.get(damage, content[:half] + bytes(len(content) - half))
    )
    assert f"resuming after iteration {int(older.stem)} " in repository.run(*TRAIN)
    assert results(repository.root) == uninterrupted


GROWING = ("epochs.jsonl", "codes.npy", "snapshots/SHA256SUMS")


@pytest.mark.parametrize("name", GROWING)
def test_what_a_crash_left_after_the_checkpoint_is_cut_off(repository, uninterrupted, name):
    """For example a torn line."""
    interrupt(repository, signal.SIGKILL, 0)
    newest = checkpoints(repository.root)[-1]
    with open(newest.parent / name, "ab") as file:
        file.write(b'{"losses": {"recon')
    assert f"resuming after iteration {int(newest.stem)} " in repository.run(*TRAIN)
    assert results(repository.root) == uninterrupted


@pytest.mark.parametrize("name", [*GROWING, "snapshots/000.safetensors", "snapshots/config.json"])
def test_a_training_with_a_damaged_file_begins_anew(repository, uninterrupted, name):
    interrupt(repository, signal.SIGKILL, 0)
    path = checkpoints(repository.root)[-1].parent / name
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 1
    path.write_bytes(content)
    assert "resuming" not in repository.run(*TRAIN)
    assert results(repository.root) == uninterrupted


def test_a_second_training_of_a_run_at_work_ends_with_one_line(repository, uninterrupted):
    """For example if `dvc repro` was killed and left the first one at work."""
    first = repository.start(*TRAIN)
    while not checkpoints(repository.root):
        time.sleep(0.001)
    first.send_signal(signal.SIGSTOP)
    for name, table in uninterrupted.items():
        if name.endswith(".tsv"):
            shown = (repository.root / name).read_bytes()
            assert table.startswith(shown), "rows appear during the training"
            assert len(shown.splitlines()) > 5
    output = repository.run(*TRAIN, status=1)
    first.send_signal(signal.SIGCONT)
    assert output == "error: aae-0: another process trains it; wait until it is done\n"
    first.communicate()
    assert first.returncode == 0
    assert results(repository.root) == uninterrupted


def test_rows_of_the_history_that_were_removed_are_there_at_the_end(repository, uninterrupted):
    """`git checkout` or `git stash` restore the committed history while a training is at work."""
    training = repository.start(*TRAIN)
    while not checkpoints(repository.root):
        time.sleep(0.001)
    for table in (repository.root / "results/history/aae-0/plots/metrics").iterdir():
        table.write_text("")
    training.communicate()
    assert results(repository.root) == uninterrupted


def test_other_parameters_begin_anew_and_leave_the_checkpoints(repository, uninterrupted):
    interrupt(repository, signal.SIGKILL, 0)
    repository.edit("std: 1.0\n", "std: 2.0\n")
    try:
        assert "resuming" not in repository.run(*TRAIN)
        assert results(repository.root) != uninterrupted
    finally:
        repository.edit("std: 2.0\n", "std: 1.0\n")
    assert "resuming after iteration" in repository.run(*TRAIN)
    assert results(repository.root) == uninterrupted


def test_the_timing_says_how_it_was_measured(repository, uninterrupted):
    timing = load(repository.root / "results/timing/aae-0.json")
    expected = {"precision": "float32", "deterministic": True, "iterations": "one by one", "products": "native"}
    expected |= {"threads": 1, "torch": torch.__version__}
    assert {key: timing[key] for key in expected} == expected
    assert timing["device"]
    assert timing["torch_capability"] == torch.backends.cpu.get_cpu_capability()


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_precisions_of_a_gpu_are_refused_on_the_cpu(repository, precision):
    repository.edit("precision: float32 ", f"precision: {precision} ")
    try:
        output = repository.run(*TRAIN, status=1)
    finally:
        repository.edit(f"precision: {precision} ", "precision: float32 ")
    assert output == f"error: precision: {precision}, but training runs on the CPU; allowed there: float32\n"
    assert not any((repository.root / folder).exists() for folder in ("scratch", *RESULTS))


def test_divergence_stops_with_one_line_and_keeps_earlier_snapshots(repository, uninterrupted):
    text = (repository.root / "params.yaml").read_text()
    (repository.root / "params.yaml").write_text(text.replace("learning_rate: 0.001", "learning_rate: 1.0e+30"))
    try:
        output = repository.run(*TRAIN, status=1)
    finally:
        (repository.root / "params.yaml").write_text(text)
    last = output.splitlines()[-1]
    assert "Traceback" not in output
    assert last.startswith("error: aae-0: training diverged in epoch 1: the ")
    assert last.endswith("the last good snapshot is of epoch 0; a smaller learning rate usually helps")
    assert (repository.root / "results/snapshots/aae-0/000.safetensors").exists()
