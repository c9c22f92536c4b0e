"""A full disk, and a limit on the size of files: one line, nothing half-written, and the next run makes all results."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import aae_native
import pytest

from pipeline import device, evaluate, floor, prepare, render, report, summarize, train
from tests.pipeline.conftest import write_idx_files
from tests.pipeline.tiny_runs import ALL, in_process, write_inputs

ROOT = Path(__file__).parents[2]
# Without the settings of a measurement of coverage, which would write a file, too.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
ENVIRONMENT |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
RUN = ("--model", "aae", "--seed", "0")
STAGES = {  # module, arguments, outputs
    "device": (device, (), ["results/device.json"]),
    "prepare": (prepare, (), ["data/prepared"]),
    "train": (
        train, RUN,
        ["results/snapshots/aae-0", "results/history/aae-0", "results/codes/aae-0.npy", "results/timing/aae-0.json"],
    ),
    "floor": (floor, RUN[:2], ["results/floor/aae.json"]),
    "evaluate": (
        evaluate, RUN, ["results/metrics/aae-0.json", "results/curves/aae-0.csv", "results/match/aae-0.csv"],
    ),
    "render": (render, RUN, ["results/figures/aae-0"]),
    "summarize": (
        summarize, (),
        ["results/summary.json", "results/timing_summary.json", "results/scores.json", "results/plots"],
    ),
    "report": (report, (), ["report"]),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tests run in parallel."""
    threads = aae_native.get_threads()
    aae_native.set_threads(1)
    yield
    aae_native.set_threads(threads)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A folder in which all stages have run, on 40 training and 24 test images of 5 x 3 pixels."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_inputs(changes={"path: data/raw/mnist ": "path: data/raw/small "})
        for name in ("data/prepared", "results"):
            shutil.rmtree(name)
        write_idx_files(Path("data/raw/small"))
        in_process(prepare, device, train, *ALL)
    return folder


@pytest.fixture
def disk(whole, tmp_path) -> Iterator[Callable[[int | None], Path]]:
    """A function that makes a copy of the folder `whole` on a disk of its own, or gives that disk other free space."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this system lets no test mount a disk")
    shutil.copytree(whole, folder, dirs_exist_ok=True)

    def leave(free: int | None) -> Path:
        """Leaves `free` KiB of free space on the disk, or much."""
        used = shutil.disk_usage(folder).used // 1024
        size = "256m" if free is None else f"{used + free}k"
        subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)
        return folder

    yield leave
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # arrays of the stages may still be mapped


def start(name: str, folder: Path, **options) -> tuple[int, str]:
    """Runs a stage as a process; returns its exit status and what it wrote to standard error."""
    command = [sys.executable, "-m", f"pipeline.{name}", *STAGES[name][1]]
    ended = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options
    )
    return ended.returncode, ended.stderr


def remove(name: str, folder: Path) -> None:
    """Removes the outputs of a stage, as DVC does before the stage runs."""
    for output in STAGES[name][2]:
        if (folder / output).is_dir():
            shutil.rmtree(folder / output)
        else:
            (folder / output).unlink()


def sizes(name: str, folder: Path) -> list[int]:
    """The sizes of the outputs of a stage."""
    return [len(content) for each, content in files(folder).items() if each.startswith(tuple(STAGES[name][2]))]


def files(folder: Path, *without: str) -> dict[str, bytes]:
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in paths.items() if not name.startswith(without)}


def check_failure(status: int, output: str, reason: str) -> None:
    """One line names the file; standard output has space. Progress bars end with a carriage return."""
    *before, line = output.splitlines()
    assert status == 1, output
    assert line.startswith(tuple(f"error: {folder}/" for folder in ("data", "results", "scratch", "report"))), output
    assert line.endswith(f": {reason}"), output
    assert not any(each.strip() and "it/s" not in each and "0/" not in each for each in before), output


def check_files(name: str, folder: Path, whole: Path) -> None:
    """Every file is as whole as it was, and there is no other."""
    found, expected = files(folder, "scratch", "results/timing"), files(whole)
    histories = {each for each in found if each.startswith("results/history/aae-0")}
    for history in histories if name == "train" else ():  # they grow with each epoch
        assert expected[history].startswith(found.pop(history)), history
    assert found.items() <= expected.items(), found.keys() - expected.keys()
    assert not list(folder.rglob("*.unfinished"))


def check_next_run(name: str, folder: Path, whole: Path, monkeypatch) -> None:
    """With space, the next run makes all results, and nothing else is left."""
    monkeypatch.chdir(folder)
    in_process(STAGES[name][0])
    assert files(folder, "results/timing") == files(whole, "results/timing")


def slow(*values) -> list:
    return [pytest.param(*each, marks=pytest.mark.slow) for each in values]


@pytest.mark.parametrize(
    ("name", "free", "earlier"),
    [
        *((name, 4 if name in ("train", "prepare", "evaluate", "render", "report") else 0, False) for name in STAGES),
        ("train", 40, False),
        ("prepare", 4, True),
        *slow(*((name, free, earlier) for name in STAGES for free in (0, 8, 40, 400) for earlier in (False, True))),
    ],
)
def test_a_full_disk(whole, disk, monkeypatch, name, free, earlier):
    """With `free` KiB left, and with or without an earlier output."""
    folder = disk(None)
    if not earlier:
        remove(name, folder)
    status, output = start(name, disk(free))
    needed = max if earlier else sum  # files that are replaced one by one leave their space to the next
    if status or needed(sizes(name, whole)) > 1024 * free:
        check_failure(status, output, "No space left on device")
    check_files(name, folder, whole)
    disk(None)
    check_next_run(name, folder, whole, monkeypatch)


@pytest.mark.parametrize(
    ("name", "most"),
    [("train", 2000), *slow(*((name, most) for name in STAGES for most in (100, 1000, 4000)))],
)
def test_a_limit_on_the_size_of_files(whole, tmp_path, monkeypatch, name, most):
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    remove(name, folder)
    status, output = start(
        name, folder, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    )
    if status or max(sizes(name, whole)) > most:
        check_failure(status, output, "File too large")
    check_files(name, folder, whole)
    check_next_run(name, folder, whole, monkeypatch)


def test_a_training_resumes_from_what_fitted_on_the_disk(disk, monkeypatch):
    """The disk is filled while the training is at work."""
    folder = disk(None)
    monkeypatch.chdir(folder)
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(
        text.replace("epochs: 4 ", "epochs: 1000 ").replace("models: [aae, vae]", "models: [aae]")
    )
    in_process(train)
    undisturbed = files(folder, "results/timing")
    remove("train", folder)
    status, output = start("train", disk(400))
    check_failure(status, output, "No space left on device")
    assert list(folder.glob("scratch/aae-0/*/*.safetensors")), "a checkpoint"
    disk(None)
    in_process(train)
    assert files(folder, "results/timing") == undisturbed


def test_the_report_in_a_folder_that_is_a_disk_of_its_own(whole, disk, monkeypatch):
    """Another disk mounted at report/ is filled, and one that is read-only is named."""
    folder = disk(None)
    remove("report", folder)
    (folder / "report").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder / "report")], check=True)
    try:
        check_next_run("report", folder, whole, monkeypatch)
        subprocess.run(["mount", "-o", "remount,ro", str(folder / "report")], check=True)
        status, output = start("report", folder)
        assert (status, output) == (1, "error: report/index.html: Read-only file system\n")
    finally:
        subprocess.run(["umount", "--lazy", str(folder / "report")], check=True)


@pytest.mark.parametrize("output", ["x.png", "x.gif", "x.npy", pytest.param("x.onnx", marks=pytest.mark.slow)])
def test_the_command_on_a_full_disk(disk, output):
    folder = disk(None)
    model = ("--model", "results/snapshots/aae-0")
    command = ("export", "--onnx", output) if output.endswith("onnx") else ("sample", "-o", output)
    disk(0)
    ended = subprocess.run(
        [sys.executable, "-m", "aae", *command, *model], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"error: {output}: No space left on device\n"
    assert not list(folder.glob("x.*"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    ("unbuffered", "command"),
    [
        ("", ("aae", "info")),
        ("1", ("aae", "info")),
        ("", ("aae", "encode", "data/prepared/test_images.npy")),
        ("", ("pipeline.prepare",)),
    ],
)
def test_standard_output_on_a_full_disk(whole, tmp_path, unbuffered, command):
    """Python writes what is printed at once, or when its buffer is full and at the end."""
    environment = ENVIRONMENT | {"PYTHONUNBUFFERED": unbuffered}
    shutil.copytree(whole, tmp_path / "copy")
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=tmp_path / "copy", env=environment, stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (1, "error: standard output: No space left on device\n")
