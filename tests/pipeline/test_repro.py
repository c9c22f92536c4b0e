"""The commands that the README promises, with the real `dvc`, on a small data set.

The tests are in the order in which a user runs the commands. They share one repository.
"""

import json
import os
import re
import signal
from pathlib import Path

import pytest

from pipeline.paths import stage_of
from tests.pipeline.conftest import Repository
from tests.pipeline.tiny_runs import load, load_rows

SCORES = {f"{model}.{score}" for model in ("aae", "vae") for score in ("distance", "worst", "nats", "knn")}


@pytest.fixture(scope="module")
def repository(small_repository, tmp_path_factory) -> Repository:
    repository = small_repository.copy_to(tmp_path_factory.mktemp("repro") / "repository")
    repository.run("dvc", "repro")
    repository.commit("first run")
    return repository


@pytest.fixture(autouse=True)
def leave_as_committed(repository):
    yield
    repository.run("git", "checkout", "-q", ".")
    repository.run("git", "clean", "-qfd", "results")
    repository.run("dvc", "checkout", "-q")


def ran_stages(output: str) -> set[str]:
    """All stages that ran, except `device`, which always runs."""
    return set(re.findall(r"Running stage '([^']+)'", output)) - {"device"}


def stages_of_a_new_seed(seed: int) -> set[str]:
    """The stages that an additional seed requires: those of its runs, and those that use all runs."""
    runs = {f"{stage}@{model}-{seed}" for stage in ("train", "evaluate", "render") for model in ("aae", "vae")}
    return runs | {"summarize", "report"}


def contents(repository) -> dict[str, bytes]:
    """All results except timing and the report, which contains timing."""
    return {
        str(path.relative_to(repository.root)): path.read_bytes()
        for folder in ("results", "data/prepared")
        for path in sorted((repository.root / folder).rglob("*"))
        if path.is_file() and "timing" not in str(path)
    }


def test_repro_makes_everything(repository):
    results = repository.root / "results"
    for run in ("aae-0", "vae-0"):
        snapshots = sorted(path.name for path in (results / "snapshots" / run).iterdir())
        assert snapshots == ["000.safetensors", "001.safetensors", "002.safetensors", "SHA256SUMS", "config.json"]
        for epoch in ("000", "001", "002"):
            for picture in ("scatter", "manifold"):
                assert (results / "figures" / run / f"{picture}-{epoch}.png").read_bytes()[:4] == b"\x89PNG"
        assert (results / "figures" / run / "animation.gif").read_bytes()[:4] == b"GIF8"
        assert load(results / "metrics" / f"{run}.json")["epoch"] == 2
        curves, match = (load_rows(results / kind / f"{run}.csv") for kind in ("curves", "match"))
        for row in curves:
            assert match[int(row["epoch"])].items() <= row.items(), "a snapshot has the bits of the network in training"
        assert load(results / "timing" / f"{run}.json")["seconds_per_epoch"] > 0
    assert "<html" in (repository.root / "report/index.html").read_text()


def test_everything_but_snapshots_pictures_and_data_is_in_git(repository):
    tracked = repository.run("git", "ls-files", "results", "report", "dvc.lock").splitlines()
    assert {
        "dvc.lock",
        "results/metrics/aae-0.json",
        "results/curves/vae-0.csv",
        "results/match/vae-0.csv",
        "results/floor/aae.json",
        "results/device.json",
        "results/summary.json",
        "results/timing/aae-0.json",
    } <= set(tracked)
    assert not any(name.endswith((".safetensors", ".npy", ".png", ".gif", ".html")) for name in tracked)
    assert repository.run("git", "status", "--porcelain") == ""


def test_a_second_repro_does_nothing(repository):
    assert ran_stages(repository.run("dvc", "repro")) == set()
    assert repository.run("git", "status", "--porcelain") == ""


def test_forced_repetition_is_bit_identical_but_for_timing(repository):
    before = contents(repository)
    repository.run("dvc", "repro", "--force")
    assert contents(repository) == before
    changed = repository.run("git", "diff", "--name-only").split()
    assert set(changed) <= {"dvc.lock", "results/timing_summary.json"} | {
        f"results/timing/{model}-0.json" for model in ("aae", "vae")
    }


def test_an_experiment_with_other_epochs_compares(repository):
    output = repository.run("dvc", "exp", "run", "--name", "longer", "-S", "epochs=3")
    assert "train@aae-0" in ran_stages(output)
    assert "prepare" not in ran_stages(output)
    assert "longer" in repository.run("dvc", "exp", "show", "--csv")
    metrics = json.loads(repository.run("dvc", "metrics", "diff", "--json"))
    assert list(metrics) == ["results/scores.json"]
    assert set(metrics["results/scores.json"]) <= SCORES
    change = metrics["results/scores.json"]["aae.distance"]
    assert change["diff"] == pytest.approx(change["new"] - change["old"])
    params = json.loads(repository.run("dvc", "params", "diff", "--json"))
    assert params == {"params.yaml": {"epochs": {"old": 2, "new": 3, "diff": 1}}}

    repository.run("git", "checkout", "-q", "params.yaml")
    # `summarize` takes seconds, and DVC does not restore its outputs.
    assert ran_stages(repository.run("dvc", "repro")) <= {"summarize"}, "going back restores what was trained before"


def test_plots(repository):
    for command in (["show"], ["diff", "HEAD"]):
        output = repository.run("dvc", "plots", *command, "--out", "plots")
        page = (repository.root / "plots/index.html").read_text()
        assert "scatter-002.png" in page or "scatter-002" in page, output
        assert "failed" not in output, "a list of checksums is no plot"
        assert '"$schema"' in page, "curves are drawn, not only pictures"
        for run in ("aae-0", "vae-0", "vae-0 means", "prior"):
            assert f'"run": "{run}"' in page, "one plot has a line for every run"
        assert '"field": "line"' in page, "a colour for each run"
        assert page.rindex('"$schema"') < page.index("<img"), "curves come before pictures"
        assert '"title": "step"' not in page, "an epoch is called an epoch"
    repository.run("rm", "-r", "plots")


def test_a_new_seed_trains_only_its_own_runs(repository):
    repository.edit("seeds: [0]", "seeds: [0, 1]")
    stages = ran_stages(repository.run("dvc", "repro"))
    assert stages == stages_of_a_new_seed(1)


def test_runs_side_by_side_are_those_that_dvc_makes_one_by_one(repository):
    repository.edit("seeds: [0]", "seeds: [0, 2]")
    output = repository.run("python", "-m", "pipeline.repro", "--jobs", "3")
    assert ran_stages(output) == stages_of_a_new_seed(2)
    assert ran_stages(repository.run("dvc", "repro")) == set()
    together = contents(repository)
    repository.run("dvc", "repro", "--force", "--single-item", "train@aae-2", "train@vae-2")
    assert contents(repository) == together


def test_a_failure_among_runs_side_by_side_leaves_the_others(repository):
    repository.edit("seeds: [0]", "seeds: [3]")
    before = "widths: [16]\n  autoencoder:\n    learning_rate: "  # the VAE's; the AAE's line has a comment
    repository.edit(before + "0.001", before + "1.0e+30")
    output = repository.run("python", "-m", "pipeline.repro", status=1)
    assert "error: vae-3: " in output
    assert "Traceback" not in output
    assert "evaluate@aae-3" in ran_stages(output)
    assert "evaluate@vae-3" not in ran_stages(output)


def test_control_c_stops_all_runs_side_by_side(repository):
    repository.edit("epochs: 2", "epochs: 1000000")
    process = repository.start("python", "-m", "pipeline.repro", "--jobs", "2", start_new_session=True)
    output, training = "", set()
    for line in process.stdout:  # Python also ends a line at the carriage return of a progress bar
        output += line
        training |= set(re.findall(r"(...-0):.*it/s", line))
        if len(training) == 2:
            break
    os.killpg(process.pid, signal.SIGINT)
    output += process.communicate()[0]
    assert process.returncode == 1
    assert "Traceback" not in output
    for run in ("aae-0", "vae-0"):
        assert re.search(rf"error: {run}: interrupted after iteration \d+; `dvc repro` resumes from there", output)
    assert "floor@aae" not in ran_stages(output)
    repository.run("rm", "-r", "scratch")
    repository.run("dvc", "checkout", "--force")  # force: nothing else holds the results of the interrupted runs


def test_jobs_must_be_one_or_more(repository):
    output = repository.run("python", "-m", "pipeline.repro", "--jobs", "0", status=1)
    assert output == "error: --jobs: must be at least 1; found 0\n"


def test_a_models_parameter_retrains_that_model_only(repository):
    repository.edit("discriminator_widths: [16]", "discriminator_widths: [8]")
    stages = ran_stages(repository.run("dvc", "repro"))
    assert {stage for stage in stages if stage.startswith("train")} == {"train@aae-0"}


def test_a_models_prior_is_the_parameter_of_that_model_only(repository):
    """On the command line, the prior's name is sufficient."""
    stages = ran_stages(repository.run("dvc", "exp", "run", "-S", "aae.prior=mixture", "-S", "aae.labels=true"))
    assert "train@aae-0" in stages
    assert not any(stage.endswith(("@vae-0", "@vae")) for stage in stages)


def test_another_device_is_another_training(repository):
    """Results from one device are not reused for another, even though `device: auto` is the same."""
    found = repository.root / "results/device.json"
    assert json.loads(found.read_text()) == {"device": "cpu"}
    found.write_text('{"device": "cuda", "name": "another"}\n')
    status = repository.run("dvc", "status", "train@aae-0")
    assert "results/device.json" in status


def test_another_version_of_a_library_is_another_training(repository):
    path = repository.root / "requirements.txt"
    path.write_text(path.read_text().replace("torch==", "torch==1"))
    for stage in ("train@aae-0", "evaluate@vae-0", "floor@aae", "render@aae-0"):
        assert "requirements.txt" in repository.run("dvc", "status", stage)


def test_an_experiment_in_a_fresh_checkout(repository):
    """`--temp` sees neither the working tree's build products nor its ignored files."""
    repository.run("dvc", "exp", "run", "--temp", "--name", "aside", "-S", "batch_size=4")
    shown = repository.run("dvc", "exp", "show", "--csv")
    assert "aside" in shown


def test_bad_parameters_stop_repro_with_one_line(repository):
    repository.edit("epochs: 2", "epochs: 0")
    output = repository.run("dvc", "repro", status=255)  # dvc's exit status; the stage's is 1
    assert "error: params.yaml: epochs: input should be greater than or equal to 1; found 0" in output
    assert "Traceback" not in output


DAMAGED = {
    "data/prepared/train_images.npy": "train --model aae --seed 0",
    "results/snapshots/aae-0/001.safetensors": "evaluate --model aae --seed 0",
    "results/figures/vae-0/scatter-002.png": "report",
    "results/metrics/aae-0.json": "report",
}


def test_a_bit_that_flips_unnoticed_by_dvc_is_restored_by_the_command_that_the_stage_tells(repository):
    repository.run("dvc", "status", "-q", "prepare", "train", "evaluate", "render")  # DVC notes the times of the files
    for name, stage in DAMAGED.items():
        path = repository.root / name
        content, status = path.read_bytes(), path.stat()
        path.chmod(0o644)
        path.write_bytes(content[:-2] + bytes([content[-2] ^ 64]) + content[-1:])
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert "up to date" in repository.run("dvc", "repro", "--single-item", stage_of(Path(name)))
        line = repository.run("python", "-m", *f"pipeline.{stage}".split(), status=1)
        assert name in line
        command = re.search("`(.*)` makes it again", line)[1]
        assert ran_stages(repository.run("sh", "-c", command)) == set(), "it comes from the cache"
        assert path.read_bytes() == content
    assert repository.run("python", "-m", "pipeline.verify").endswith("differ: 0, missing: 0\n")


def test_a_missing_snapshot_is_named(repository):
    output = repository.run("python", "-m", "pipeline.evaluate", "--model", "aae", "--seed", "9", status=1)
    assert output == (
        "error: results/snapshots/aae-9: no snapshots (needed 000.safetensors and later); `dvc repro` makes them\n"
    )
