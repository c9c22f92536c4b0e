"""Reduction to two dimensions with few labels (section 7 of the paper)."""

import numpy as np
import torch
from PIL import Image

from aae.figures import View, scatter
from aae.ops import Stream, sample_prior
from paper.experiments import semi_supervised
from paper.runs import Row, Run, title_of

TITLE = "Reduction to two dimensions"
SECTION = "7"
TITLES = {"reduction_100": "100 labels", "reduction_1000": "1,000 labels"}

ROWS = (
    Row(
        "error",
        "wrong test images, per cent",
        paper="6.08 (recalled)",
        public="26.0 (1henrypage)",
        target=8.0,
        digits=2,
        models=("reduction_100",),
    ),
    Row(
        "error",
        "wrong test images, per cent",
        paper="4.20 (recalled)",
        target=5.5,
        digits=2,
        models=("reduction_1000",),
    ),
    *semi_supervised.ROWS_OF_ALL,
)
NOTE = (
    "A code is the sum of two parts: the point of the category, or of several in proportion to their probabilities, "
    "and the style. The grey points are samples: a category's point plus a sample of the style's prior."
)
SAMPLES = 4000


measure = semi_supervised.measure


def picture(run: Run) -> Image.Image:
    """The codes of the test images in the plane, over samples."""
    data, network = run.data.training, run.categorical
    styles, category = torch.from_numpy(run.test_codes()).float(), torch.from_numpy(run.probabilities(data.test_images))
    codes = network.combined(styles, category).double().numpy()
    view = View.of([codes], samples(run), data.classes)
    return scatter(
        codes,
        data.test_labels,
        view,
        class_names=data.class_names,
        title=f"Two dimensions: {title_of(run.recipe, TITLES)}",
        subtitle=f"codes of the {len(codes):,} test images, coloured by label",
        epoch=run.epoch,
    )


def samples(run: Run) -> np.ndarray:
    """Samples of the code, float64 [n, code_size]: a point of each category in turn, and a style of its prior."""
    network = run.categorical
    styles = sample_prior(run.model.prior, SAMPLES, seed=run.seed, step=0, stream=Stream.EVALUATION)
    categories = torch.eye(network.categories)[torch.arange(SAMPLES) % network.categories]
    return network.combined(styles, categories).double().numpy()
