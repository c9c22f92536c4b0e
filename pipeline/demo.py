"""`make demo`: trains the AAE for two epochs in a separate folder and prints the path of the report, in a minute.

The stages run one after the other in this process, without DVC, in `build/demo`. Nothing else in the checkout changes.
"""

import os
import shutil
import sys
from pathlib import Path

from ruamel.yaml import YAML

from pipeline import device, evaluate, floor, prepare, render, report, summarize, train
from pipeline.cli import run_stage
from pipeline.params import load_params
from pipeline.paths import PARAMS, REPORT

FOLDER = Path("build/demo")
MODEL, SEED = "aae", 0
CHANGES = {"epochs": 2, "snapshot_every": 1, "models": [MODEL], "seeds": [SEED]}
OF_RUN, OF_MODEL = ["--model", MODEL, "--seed", str(SEED)], ["--model", MODEL]
STAGES = {
    device: [],
    prepare: [],
    train: OF_RUN,
    floor: OF_MODEL,
    evaluate: OF_RUN,
    render: OF_RUN,
    summarize: [],
    report: [],
}


def main() -> None:
    load_params()  # reports a mistake in params.yaml in one line
    yaml = YAML()
    content = yaml.load(PARAMS)
    content.update(CHANGES)
    content["data"]["path"] = str(Path(content["data"]["path"]).resolve())
    content["evaluation"]["floor_samples"] = 10  # a rough floor is enough here
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    yaml.dump(content, FOLDER / PARAMS)
    root = Path.cwd()
    os.chdir(FOLDER)
    for stage, arguments in STAGES.items():
        print(f"{stage.__name__.rpartition('.')[2]} ...", flush=True)
        sys.argv[1:] = arguments
        stage.main()
    print(f"The report: {root / FOLDER / REPORT / 'index.html'}")


if __name__ == "__main__":
    run_stage(main)
