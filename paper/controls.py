"""Stage `controls`: the Parzen window estimate for samples that need no model, which calibrate it.

Without them, the estimate is easily misread: images that are averages of ten training images score far higher than the
training images.
"""

from pipeline.extension import check_extension

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from aae.models import to_inputs
from aae.parzen import parzen_likelihood
from paper.cli import run_paper_stage
from paper.data import PaperData, load_data
from paper.experiments.likelihood import SAMPLES, VALIDATION_IMAGES
from pipeline.tables import write_record

CONTROLS = Path("results/controls.json")
NEIGHBOURS, COMPONENTS = 10, 8


def main() -> None:
    check_extension()
    write_record(CONTROLS, controls(load_data()))


def controls(data: PaperData) -> dict[str, float]:
    """The likelihood in nats for samples made of training images, and its standard errors, see `control_samples`."""
    validation = to_inputs(data.validation_images[:VALIDATION_IMAGES])
    test = to_inputs(data.training.test_images)
    found: dict[str, float] = {}
    for name, samples in control_samples(to_inputs(data.training.train_images)).items():
        likelihood = parzen_likelihood(partial(iter, [samples]), validation, test)
        found |= {name: likelihood.mean, f"{name}_error": likelihood.standard_error, f"{name}_sigma": likelihood.sigma}
    return found


def control_samples(images: Tensor) -> dict[str, Tensor]:
    """Samples by name, float32 [n, pixels], from training `images`, float32 [N, pixels].

    - `training_images`: the first of them, as many as a model has samples;
    - `neighbour_means`: for each of these, the mean of its 10 nearest images, itself among them;
    - `principal_components`: each of these, projected onto the first 8 principal components.
    """
    first = images[:SAMPLES]
    means = torch.cat([images[nearest(part, images)].mean(dim=1) for part in first.split(1000)])
    centre = images.mean(dim=0)
    _, _, directions = torch.linalg.svd((images - centre).T @ (images - centre))
    projected = centre + (first - centre) @ directions[:COMPONENTS].T @ directions[:COMPONENTS]
    return {"training_images": first, "neighbour_means": means, "principal_components": projected}


def nearest(points: Tensor, images: Tensor) -> Tensor:
    """The indices of the nearest `images` of each point, int64 [points, 10]."""
    distances = images.square().sum(dim=1) - 2 * points @ images.T  # without |point|², which is the same for all
    return distances.topk(NEIGHBOURS, largest=False).indices


if __name__ == "__main__":
    run_paper_stage(main)
