"""Stage `many_samples`: the log-likelihood by a Parzen window on far more samples, of the likelihood's first run.

The samples are made in blocks and never all kept, so the memory does not depend on their number.
"""

from pipeline.extension import check_extension

from pathlib import Path

import numpy as np

from aae.errors import InputError
from paper.cli import run_paper_stage
from paper.experiments.likelihood import likelihood
from paper.params import PARAMS, load_experiment
from paper.runs import load_run
from pipeline.params import read_yaml
from pipeline.shown import shown
from pipeline.tables import write_record

MANY_SAMPLES = Path("results/many_samples.json")
SIGMAS = tuple(np.logspace(-4 / 3, -2 / 3, 7).tolist())  # the published grid, continued below 0.1: 0.046, 0.060, ...


def main() -> None:
    check_extension()
    samples, params = number_of_samples(), load_experiment("likelihood")
    run = load_run(params.recipes[0], params.seeds[0])
    found = {f"many_{name}": value for name, value in likelihood(run, samples, SIGMAS).items()}
    write_record(MANY_SAMPLES, {"many_samples": samples} | found)
    print(", ".join(f"{name} {value:.5g}" for name, value in found.items()))


def number_of_samples() -> int:
    """`many_samples` in the parameters."""
    content = read_yaml(PARAMS)
    count = content.get("many_samples") if isinstance(content, dict) else None
    if type(count) is not int or count < 1:
        raise InputError(f"paper/{PARAMS}: many_samples: must be a whole number of at least 1; found {shown(count)}")
    return count


if __name__ == "__main__":
    run_paper_stage(main)
