"""Stage `floor`: the measures of prior samples in place of a model's codes, as many as there are images."""

from pipeline.extension import check_extension

from collections.abc import Callable
from typing import Any

from aae.data import load_dataset
from aae.floor import floor_metrics, train_floor_metrics
from aae.targets import build_target
from pipeline.cli import model_argument, run_stage
from pipeline.memory import check_projections
from pipeline.params import load_params
from pipeline.paths import DATA, FLOOR
from pipeline.tables import write_record
from pipeline.threads import take_share


def main() -> None:
    params = load_params()
    recipe = model_argument(params)
    check_extension()
    take_share()
    settings, data = params.evaluation, load_dataset(DATA, contents=())
    check_projections(settings.projections, len(data.train_images))
    prior = recipe.prior(params.code_size, data.classes)

    def floor(metrics: Callable[..., dict[str, Any]], rows: int, cells: int, samples: int) -> dict[str, Any]:
        target = build_target(prior, rows, cells=cells, projections=settings.projections)
        return {"rows": rows, "samples": samples, "codes": metrics(prior, target, samples)}

    of_test = floor(floor_metrics, len(data.test_images), settings.cells, settings.floor_samples)
    # Samples as large as the training set take longer and vary less, so fewer are enough.
    samples = max(2, settings.floor_samples // 5)
    of_train = floor(train_floor_metrics, len(data.train_images), settings.train_cells, samples)
    write_record(FLOOR / f"{recipe.name}.json", of_test | {"train": of_train})


if __name__ == "__main__":
    run_stage(main)
