"""The data of the paper's experiments: the first 50,000 training images to train on, the other 10,000 to choose by.

The paper does not say what it chose its settings by. Here nothing is chosen by the test images.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from aae.data import Dataset, load_dataset

PREPARED = Path("../data/prepared")  # of the top pipeline
TRAINING_IMAGES = 50_000


@dataclass(frozen=True)
class PaperData:
    """`training` holds the images to train on, and the test images."""

    training: Dataset
    validation_images: np.ndarray  # uint8 [n, height, width, channels]
    validation_labels: np.ndarray | None  # uint8 [n]


def load_data() -> PaperData:
    """The training set in two parts, and the test set; raises InputError if a file is missing or damaged."""
    whole = load_dataset(PREPARED)
    labels = whole.train_labels
    # A set of another size is divided in the same proportion.
    n = len(whole.train_images) * TRAINING_IMAGES // 60_000
    training = replace(whole, train_images=whole.train_images[:n], train_labels=None if labels is None else labels[:n])
    return PaperData(training, whole.train_images[n:], None if labels is None else labels[n:])
