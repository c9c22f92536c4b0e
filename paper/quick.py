"""`make paper-quick`: every experiment with one seed and two epochs, in a separate folder, with its report.

The stages run one after the other in this process, without DVC, in `build/paper-quick`. Nothing else in the checkout
changes. The numbers show that everything works, no more.
"""

from pipeline.extension import check_extension

import os
import shutil
import sys
from pathlib import Path

from ruamel.yaml import YAML

from paper import controls, many_samples, measure, report, train
from paper.experiment import EXPERIMENTS
from paper.params import PARAMS, load_experiment
from pipeline import device, prepare
from pipeline.cli import run_stage

FOLDER = Path("build/paper-quick")
EPOCHS = 2
SAMPLES = 20_000  # in place of millions


def main() -> None:
    check_extension()
    yaml = YAML()
    base, content = yaml.load(PARAMS), yaml.load(Path("paper") / PARAMS)
    base["data"]["path"] = str(Path(base["data"]["path"]).resolve())
    for experiment in EXPERIMENTS:
        content[experiment]["seeds"] = [0]
        content[experiment]["training"].update(epochs=EPOCHS, snapshot_every=EPOCHS)
    content["many_samples"] = SAMPLES
    shutil.rmtree(FOLDER, ignore_errors=True)
    (FOLDER / "paper").mkdir(parents=True)
    yaml.dump(base, FOLDER / PARAMS)
    yaml.dump(content, FOLDER / "paper" / PARAMS)
    root = Path.cwd()
    os.chdir(FOLDER)
    sys.argv[1:] = []
    device.main()
    prepare.main()
    os.chdir("paper")
    for experiment in EXPERIMENTS:
        for model in load_experiment(experiment).models:
            print(f"{experiment}: {model} ...", flush=True)
            sys.argv[1:] = ["--experiment", experiment, "--model", model, "--seed", "0"]
            train.main()
            measure.main()
    sys.argv[1:] = []
    many_samples.main()
    controls.main()
    report.main()
    print(f"The report: {root / FOLDER / 'paper/report/index.html'}")


if __name__ == "__main__":
    run_stage(main)
