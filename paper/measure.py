"""Stage `measure`: the measures of one run of an experiment."""

from pipeline.extension import check_extension

from pathlib import Path

from aae.figures import save_picture
from paper.cli import run_arguments, run_paper_stage
from paper.experiment import module_of
from paper.runs import load_run
from pipeline.paths import FIGURES, run_name
from pipeline.tables import write_record

MEASURES = Path("results/measures")


def main() -> None:
    check_extension()
    experiment, _, recipe, seed = run_arguments()
    run = run_name(recipe.name, seed)
    module = module_of(experiment)
    trained = load_run(recipe, seed)
    measures = module.measure(trained)
    write_record(MEASURES / f"{run}.json", measures)
    if hasattr(module, "picture"):
        save_picture(module.picture(trained), FIGURES / f"{run}.png")
    print(f"{run}: {', '.join(f'{name} {value:.5g}' for name, value in measures.items())}")


if __name__ == "__main__":
    run_paper_stage(main)
