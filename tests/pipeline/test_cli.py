"""Mistakes that every stage reports in one line and with exit status 1."""

import re

import pytest
import torch

from pipeline import device, evaluate, floor, prepare, train
from pipeline.cli import run_stage
from tests.pipeline.tiny_runs import failure


def stopped_by(error: BaseException) -> str:
    def main():
        raise error

    with pytest.raises(SystemExit) as exit_:
        run_stage(main)
    return exit_.value.code


def test_control_c():
    assert stopped_by(KeyboardInterrupt()) == "error: interrupted"


def test_a_full_disk():
    assert stopped_by(OSError(28, "No space left on device", "results/x.csv")) == (
        "error: results/x.csv: No space left on device"
    )


def test_a_bug_keeps_its_traceback():
    for bug in (OSError("of no file"), ZeroDivisionError()):
        with pytest.raises(type(bug)):
            run_stage(lambda bug=bug: (_ for _ in ()).throw(bug))


def test_a_folder_that_is_a_file(fresh):
    (fresh / "results/curves").write_text("")
    assert failure(evaluate, "--model", "aae", "--seed", "0") == "error: results/curves: File exists"
    (fresh / "params.yaml").unlink()
    assert failure(prepare) == "error: params.yaml: cannot be read: No such file or directory"


def test_a_batch_larger_than_the_data(fresh):
    params = (fresh / "params.yaml").read_text().replace("batch_size: 4 ", "batch_size: 400 ")
    (fresh / "params.yaml").write_text(params)
    assert failure(train, "--model", "aae", "--seed", "0") == (
        "error: results/device.json: cannot be read (No such file or directory); `dvc repro device` makes it again"
    )
    (fresh / "data/raw/mnist").mkdir(parents=True)
    device.main()
    assert failure(train, "--model", "aae", "--seed", "0") == (
        "error: batch_size: 400 is more than the 20 training images"
    )


def test_more_labels_than_the_data_has(fresh):
    text = (fresh / "params.yaml").read_text().replace("    kind: normal\n    std: 1.0\n", "    kind: mixture\n", 1)
    (fresh / "params.yaml").write_text(text.replace("labels: false ", "labelled: 30\n  labels: true ", 1))
    (fresh / "data/raw/mnist").mkdir(parents=True)
    device.main()
    assert failure(train, "--model", "aae", "--seed", "0") == (
        "error: aae.labelled: must be at most 20, because a class has only 2 training images; found 30"
    )


def test_widths_that_no_memory_holds(fresh):
    """The first stage finds what layers between hidden ones need, a training what those at the images need, too."""
    text = (fresh / "params.yaml").read_text()
    (fresh / "data/raw/mnist").mkdir(parents=True)
    device.main()
    memory = r"GiB to train; the memory that this process may use is [\d,.]+ GiB; allowed: smaller widths"
    (fresh / "params.yaml").write_text(text.replace("encoder_widths: [8]", "encoder_widths: [10000000, 10000000]", 1))
    assert re.fullmatch(rf"error: aae\.encoder_widths: needs 1,490,116\.\d {memory}", failure(device))
    (fresh / "params.yaml").write_text(text.replace("decoder_widths: [8]", "decoder_widths: [2147483647]", 1))
    line = failure(train, "--model", "aae", "--seed", "0")
    assert re.fullmatch(rf"error: aae\.decoder_widths: needs 576\.0 {memory}", line)


@pytest.mark.parametrize("stage", [evaluate, floor])
def test_projections_that_a_container_cannot_hold(workspace, tmp_path, monkeypatch, stage):
    limit = tmp_path / "memory.max"
    limit.write_text("100\n")
    monkeypatch.setattr("pipeline.memory.CONTAINER_LIMITS", (limit, tmp_path / "none"))
    line = failure(stage, "--model", "aae", *(["--seed", "0"] if stage is evaluate else []))
    assert re.fullmatch(
        r"error: evaluation.projections: \d+ need 0\.0 GiB for 20 codes; the memory that this process may use is "
        r"0\.0 GiB; allowed: fewer",
        line,
    )


def test_a_model_that_is_not_trained(workspace):
    assert failure(evaluate, "--model", "gan", "--seed", "0") == (
        "error: --model: must be one of aae, vae (models in params.yaml); found gan"
    )


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_out_of_range(workspace, seed):
    line = failure(evaluate, "--model", "aae", "--seed", str(seed))
    assert line == f"error: --seed: must be from 0 to 2^63 - 1; found {seed}"


def test_it_is_said_why_training_does_not_take_the_gpu(fresh, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["device"])
    (fresh / "data/raw/mnist").mkdir(parents=True)
    device.main()
    assert capsys.readouterr().out == "device: auto: training runs on the CPU: PyTorch sees no CUDA device\n"
