"""Stage `floor`: what the measures are between a model's prior and samples of it, as many as there are images."""

from collections.abc import Callable

from aae.data import load_dataset
from aae.floor import floor_metrics, train_floor_metrics
from aae.targets import build_target
from pipeline.cli import model_argument, run_stage
from pipeline.extension import check_extension
from pipeline.params import load_params
from pipeline.paths import DATA, FLOOR
from pipeline.tables import write_record


def main() -> None:
    params = load_params()
    recipe = model_argument(params)
    check_extension()
    settings, data = params.evaluation, load_dataset(DATA)
    prior = recipe.prior(params.code_size, data.classes)

    def floor(metrics: Callable, rows: int, cells: int, samples: int) -> dict:
        target = build_target(prior, rows, cells=cells, projections=settings.projections)
        return {"rows": rows, "samples": samples, "codes": metrics(prior, target, samples)}

    of_test = floor(floor_metrics, len(data.test_images), settings.cells, settings.floor_samples)
    # Samples of the size of the training set take longer and vary less.
    samples = max(2, settings.floor_samples // 5)
    of_train = floor(train_floor_metrics, len(data.train_images), settings.train_cells, samples)
    write_record(FLOOR / f"{recipe.name}.json", of_test | {"train": of_train})


if __name__ == "__main__":
    run_stage(main)
