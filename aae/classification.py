"""Classifying codes: predicting their labels, and telling codes from samples of the prior."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

from aae.backprop_cpu import forward
from aae.evaluation_samples import PRIOR_SAMPLE
from aae.models import Autoencoder
from aae.ops import Stream, sample_prior
from aae.priors import Prior

NEIGHBOURS = 10


def label_metrics(
    train_codes: np.ndarray, train_labels: np.ndarray, codes: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """Accuracy, in [0, 1], of predicting the labels [n] of `codes` [n, d] from the training codes and their labels.

    - `knn_accuracy`: by a vote of the 10 nearest training codes (or all, if there are fewer).
    - `probe_accuracy`: by a linear probe (Alain & Bengio, arXiv 1610.01644): multinomial logistic regression on the
      training codes, each axis standardised to mean 0 and standard deviation 1.
    """
    nearest = KNeighborsClassifier(min(NEIGHBOURS, len(train_codes)), algorithm="kd_tree")
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    if len(np.unique(train_labels)) == 1:  # logistic regression needs two classes
        probe = nearest
    return {
        "knn_accuracy": float(nearest.fit(train_codes, train_labels).score(codes, labels)),
        "probe_accuracy": float(probe.fit(train_codes, train_labels).score(codes, labels)),
    }


def discriminator_metrics(
    model: Autoencoder, codes: Tensor, labels: np.ndarray | None, prior: Prior, *, seed: int
) -> dict[str, float]:
    """How well the discriminator tells `codes` [n, d] from equally many samples of the prior, and both losses.

    - `accuracy`: the fraction of codes and samples classified correctly as `encoded` or `prior`; 0.5 by guessing.
    - `loss`: the discriminator's cross-entropy in nats, mean over codes and samples; ln 2 if it is undecided.
    - `generator_loss`: the cross-entropy of the codes with the target `prior`, which the encoder minimises.

    A discriminator that sees labels gets the codes' `labels` [n] with codes and samples. If the prior has classes, the
    samples are of these.
    """
    assert model.discriminator is not None
    count, classes = model.label_classes, None
    if count:
        assert labels is not None
        classes = torch.from_numpy(labels.astype(np.int64))
    drawn_from = classes if prior.classes else None
    sample = sample_prior(prior, len(codes), seed=seed, step=PRIOR_SAMPLE, stream=Stream.EVALUATION, labels=drawn_from)
    if classes is not None:
        seen = one_hot(classes, count).float()
        codes, sample = (torch.cat([rows, seen], dim=1) for rows in (codes, sample))
    encoded, drawn = forward(model.discriminator, codes), forward(model.discriminator, sample)
    correct = (encoded <= 0).double().mean() + (drawn > 0).double().mean()
    return {
        "accuracy": correct.item() / 2,
        "loss": (cross_entropy(encoded, 0.0) + cross_entropy(drawn, 1.0)) / 2,
        "generator_loss": cross_entropy(encoded, 1.0),
    }


def cross_entropy(logits: Tensor, target: float) -> float:
    """Binary cross-entropy of `logits` against one target for all, in nats, mean over the logits."""
    logits = logits.double()
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, target)).item()
