"""Stage `train`: trains one run of an experiment as the top pipeline trains a run."""

from pipeline.extension import check_extension

from pathlib import Path

from aae.device import choose_device
from paper.cli import run_arguments, run_paper_stage
from paper.data import load_data
from pipeline.paths import DEVICE
from pipeline.tables import read_json
from pipeline.train import train_run


def main() -> None:
    check_extension()
    _, params, recipe, seed = run_arguments()
    device = choose_device(read_json(Path("..") / DEVICE)["device"])
    train_run(recipe, seed, params, load_data().training, device)


if __name__ == "__main__":
    run_paper_stage(main)
