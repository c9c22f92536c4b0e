"""Stage `floor`: what the measures are between a prior and samples of it, as many as there are test images."""

from aae.data import load_dataset
from aae.floor import floor_metrics
from aae.targets import build_target
from pipeline.cli import run_stage
from pipeline.extension import check_extension
from pipeline.params import MODELS, load_params
from pipeline.paths import DATA, FLOOR
from pipeline.prior import prior_of
from pipeline.tables import write_json


def main() -> None:
    params = load_params()
    check_extension()
    settings = params.evaluation
    n = len(load_dataset(DATA).test_images)
    floors = {}
    for prior in {prior_of(model, params) for model in MODELS}:
        target = build_target(prior, n, cells=settings.cells, projections=settings.projections)
        floors[prior] = floor_metrics(prior, target, settings.floor_samples)
    counts = {"rows": n, "samples": settings.floor_samples}
    write_json(FLOOR, counts | {model: floors[prior_of(model, params)] for model in MODELS})


if __name__ == "__main__":
    run_stage(main)
