"""Priors with one part per class, imposed with 10,000 labels and 40,000 images without (section 2.3 of the paper)."""

import numpy as np
import torch
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier

from aae.figures import View, scatter
from aae.ops import Stream, sample_prior
from paper.runs import Row, Run, title_of

TITLE = "Priors with one part per class, 10,000 labels"
SECTION = "2.3"
TITLES = {"priors_mixture": "mixture of ten Gaussians", "priors_swiss_roll": "swiss roll"}
SAMPLES = 100_000
NEIGHBOURS = 15  # whose majority tells the part of the prior in which a code lies

ROWS = (
    Row("accuracy", "test codes in the part of their label, per cent", target=97.0, at_least=True),
    Row("prior_accuracy", "… the same for samples of the prior: the best possible", digits=1),
)
NOTE = (
    "A code lies in the part of the prior to which most of the 15 nearest of 100,000 prior samples belong. The paper "
    "shows pictures and gives no figure."
)


def measure(run: Run) -> dict[str, float]:
    """How many codes lie in the part of the prior that belongs to the image's label, in per cent."""
    labels = run.data.training.test_labels
    assert labels is not None
    samples, classes = prior_samples(run, SAMPLES, 0)
    parts = KNeighborsClassifier(NEIGHBOURS).fit(samples, classes)
    others, other_classes = prior_samples(run, len(labels), 1)
    return {
        "accuracy": 100 * float((parts.predict(run.test_codes()) == labels).mean()),
        "prior_accuracy": 100 * float((parts.predict(others) == other_classes).mean()),
    }


def prior_samples(run: Run, n: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """`n` samples of the prior, float64 [n, code_size], and their classes, int64 [n]."""
    classes = torch.arange(n) % run.model.prior.classes
    samples = sample_prior(run.model.prior, n, seed=run.seed, step=step, stream=Stream.EVALUATION, labels=classes)
    return samples.double().numpy(), classes.numpy()


def picture(run: Run) -> Image.Image:
    """The codes of the test images over samples of the prior."""
    data, codes = run.data.training, run.test_codes()
    view = View.of([codes], prior_samples(run, 4000, 2)[0], data.classes)
    return scatter(
        codes,
        data.test_labels,
        view,
        class_names=data.class_names,
        title=f"Prior: {title_of(run.recipe, TITLES)}",
        subtitle=f"codes of the {len(codes):,} test images, coloured by label",
        epoch=run.epoch,
    )
