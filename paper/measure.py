"""Stage `measure`: the measures of one run of an experiment."""

from pipeline.extension import check_extension

from pathlib import Path

from aae.trained import load_trained
from paper.cli import run_arguments, run_paper_stage
from paper.data import load_data
from paper.experiment import module_of
from paper.runs import Run
from pipeline.paths import SNAPSHOTS, run_name
from pipeline.tables import write_record

MEASURES = Path("results/measures")


def main() -> None:
    check_extension()
    experiment, _, recipe, seed = run_arguments()
    run = run_name(recipe.name, seed)
    measures = module_of(experiment).measure(Run(recipe, seed, load_trained(SNAPSHOTS / run), load_data()))
    write_record(MEASURES / f"{run}.json", measures)
    print(f"{run}: {', '.join(f'{name} {value:.5g}' for name, value in measures.items())}")


if __name__ == "__main__":
    run_paper_stage(main)
