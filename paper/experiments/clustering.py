"""Clustering without labels (section 6 of the paper)."""

import numpy as np
import torch
from PIL import Image
from sklearn.metrics import normalized_mutual_info_score

from aae.backprop_cpu import forward
from paper.pictures import image_table
from paper.runs import Row, Run, title_of

TITLE = "Clustering"
SECTION = "6"
TITLES = {"clustering_16": "16 clusters"}
SHOWN = 10  # images of each cluster in the picture

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


def picture(run: Run) -> Image.Image:
    """For each cluster, the decoded mean style and the first test images that belong to it."""
    data, network = run.data.training, run.categorical
    clusters = run.probabilities(data.test_images).argmax(axis=1)
    inputs = network.combined(torch.zeros(network.categories, network.code_size), torch.eye(network.categories))
    decoded = forward(network.decoder, inputs).sigmoid().numpy().reshape(-1, *data.shape)
    rows = np.zeros((network.categories, 1 + SHOWN, *data.shape), np.float32)
    rows[:, 0] = decoded
    for cluster, row in enumerate(rows[:, 1:]):
        members = data.test_images[clusters == cluster][:SHOWN]
        row[: len(members)] = members / np.float32(255)
    return image_table(
        rows[..., 0] if data.shape[2] == 1 else rows,
        ["style 0", *[""] * SHOWN],
        title=f"Clusters: {title_of(run.recipe, TITLES)}",
        subtitle="left: each category decoded with style 0; then the first test images of the cluster",
        epoch=run.epoch,
    )
