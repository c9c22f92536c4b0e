"""`make paper`: all experiments of the paper, several runs at a time as in `pipeline.repro`."""

from pipeline.extension import check_extension

import argparse
import os

from aae.errors import InputError
from aae.files import alone
from paper.experiment import EXPERIMENTS
from paper.params import load_experiment
from pipeline.cli import run_stage
from pipeline.paths import run_name
from pipeline.repro import LOCK, cores_and_jobs, locks, repro, side_by_side, start_nothing_after_interrupt

STAGES = ("train", "measure")


def main() -> None:
    parser = argparse.ArgumentParser(description="the experiments of the paper, with several runs at a time")
    parser.add_argument("--jobs", type=int, help="runs at a time (one per core; a single one on a GPU)")
    jobs = parser.parse_args().jobs
    if jobs is not None and jobs < 1:
        raise InputError(f"--jobs: must be at least 1; found {jobs}")
    with alone(LOCK, "another `make repro` or `make paper` is at work in this folder; wait until it is done") as lock:
        locks.append(lock.fileno())
        make_all(jobs)


def make_all(jobs: int | None) -> None:
    """All stages of the paper's pipeline, after those of the top pipeline that they need."""
    check_extension()
    os.chdir("paper")
    experiments = {name: load_experiment(name) for name in EXPERIMENTS}
    os.chdir("..")
    start_nothing_after_interrupt()
    repro("device", "prepare")  # from `paper`, DVC does not make the stages of another repository
    os.chdir("paper")
    targets = [
        [f"{stage}_{name}@{run_name(model, seed)}" for stage in STAGES]
        for name, params in experiments.items()
        for seed in params.seeds
        for model in params.models
    ]
    cores, fitting = cores_and_jobs(next(iter(experiments.values())))
    jobs = min(len(targets), jobs or fitting)
    if jobs > 1:
        side_by_side(targets, jobs, cores)
    repro()


if __name__ == "__main__":
    run_stage(main)
