"""Clustering without labels (section 6 of the paper)."""

import numpy as np
from sklearn.metrics import normalized_mutual_info_score

from paper.runs import Row, Run

TITLE = "Clustering"
SECTION = "6"
TITLES = {"clustering_16": "16 clusters"}

ROWS = (
    Row(
        "error",
        "wrong test images by the paper's rule, per cent",
        paper="9.55 ± 2.05",
        target=12.0,
        digits=2,
    ),
    Row("majority_error", "… by the majority of each cluster's test images", digits=2),
    Row("mutual_information", "normalised mutual information of clusters and labels", digits=3),
    Row("squared_error", "squared error of the reconstructions, summed over the pixels"),
)
NOTE = (
    "The paper's rule gives each cluster the label of the validation image that belongs to it with the highest "
    "probability. The majority's rule looks at the test labels, so it is a bound, not an error of a classifier."
)


def measure(run: Run) -> dict[str, float]:
    """The errors in per cent when each cluster stands for one label, by two rules."""
    test, labels = run.probabilities(run.data.training.test_images), run.data.training.test_labels
    validation, validation_labels = run.probabilities(run.data.validation_images), run.data.validation_labels
    assert labels is not None
    assert validation_labels is not None
    clusters = test.argmax(axis=1)
    return {
        "error": error(clusters, labels, validation_labels[validation.argmax(axis=0)]),
        "majority_error": error(clusters, labels, majority(clusters, labels, test.shape[1])),
        "mutual_information": float(normalized_mutual_info_score(labels, clusters)),
        "squared_error": run.squared_error(),
    }


def error(clusters: np.ndarray, labels: np.ndarray, names: np.ndarray) -> float:
    """How many images, in per cent, have another label than the one their cluster stands for, `names` [categories]."""
    return 100 * float((names[clusters] != labels).mean())


def majority(clusters: np.ndarray, labels: np.ndarray, categories: int) -> np.ndarray:
    """The most frequent label of each cluster's images, int64 [categories]; 0 for an empty cluster."""
    return np.array([np.bincount(labels[clusters == i], minlength=1).argmax() for i in range(categories)])
