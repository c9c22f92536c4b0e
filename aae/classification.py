"""What can be told from codes: their label, and whether they are codes at all or samples of the prior."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

from aae.backprop_cpu import forward
from aae.models import Autoencoder
from aae.ops import Stream, sample_prior
from aae.priors import Prior
from aae.targets import PRIOR_SAMPLE

NEIGHBOURS = 10


def label_metrics(
    train_codes: np.ndarray, train_labels: np.ndarray, codes: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """How often the labels [n] of `codes` [n, d] are told from the training codes and their labels, in [0, 1].

    - `knn_accuracy`: by a vote of the 10 nearest training codes (or all, where there are fewer).
    - `probe_accuracy`: by a linear probe (Alain & Bengio, arXiv 1610.01644), a multinomial logistic regression on the
      training codes, each axis brought to mean 0 and standard deviation 1.
    """
    nearest = KNeighborsClassifier(min(NEIGHBOURS, len(train_codes)), algorithm="kd_tree")
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    if len(np.unique(train_labels)) == 1:  # nothing to regress on
        probe = nearest
    return {
        "knn_accuracy": float(nearest.fit(train_codes, train_labels).score(codes, labels)),
        "probe_accuracy": float(probe.fit(train_codes, train_labels).score(codes, labels)),
    }


def discriminator_metrics(
    model: Autoencoder, codes: Tensor, labels: np.ndarray | None, prior: Prior, *, seed: int
) -> dict[str, float]:
    """How the discriminator tells `codes` [n, d] from as many samples of the prior, and what it costs either side.

    - `accuracy`: the fraction of codes and samples put in their class, `encoded` or `prior`; 0.5 by guessing.
    - `loss`: its cross-entropy in nats, mean over codes and samples; ln 2 if it is undecided.
    - `generator_loss`: the cross-entropy of the codes taken for samples of the prior, which the encoder minimises.

    A discriminator that sees labels is shown the codes' own, `labels` [n], and samples of the same classes.
    """
    assert model.discriminator is not None
    count, classes = model.label_classes, None
    if count:
        assert labels is not None
        classes = torch.from_numpy(labels.astype(np.int64))
    sample = sample_prior(prior, len(codes), seed=seed, step=PRIOR_SAMPLE, stream=Stream.EVALUATION, labels=classes)
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
    """Binary cross-entropy of `logits` against one target for all, in nats, their mean."""
    logits = logits.double()
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, target)).item()
