"""Codes that predict or do not predict labels, and discriminators with known answers."""

import math

import numpy as np
import pytest
import torch

from aae.classification import discriminator_metrics, label_metrics
from aae.kinds.aae import AAE
from aae.priors import MixturePrior, NormalPrior

LABELS = np.arange(200) % 4
CENTRES = np.array([[0, 0], [10, 0], [0, 10], [10, 10]])


def clusters(seed: int) -> np.ndarray:
    """One cluster of codes per label, far apart."""
    return CENTRES[LABELS] + np.random.default_rng(seed).normal(size=(200, 2))


def test_labels_that_the_codes_tell():
    metrics = label_metrics(clusters(0), LABELS, clusters(1), LABELS)
    assert metrics == {"knn_accuracy": 1, "probe_accuracy": 1}


def test_labels_that_no_line_separates():
    """Two labels in opposite corners: neighbours separate them, a line gets at most three corners of four right."""
    labels = (LABELS % 3 == 0).astype(int)
    metrics = label_metrics(clusters(0), labels, clusters(1), labels)
    assert metrics["knn_accuracy"] == 1
    assert metrics["probe_accuracy"] <= 0.75


def test_codes_that_tell_nothing():
    """One point in four is right by chance. The tolerance for 200 points is five sigma."""
    random = np.random.default_rng(0)
    codes = random.normal(size=(2, 200, 2))
    for accuracy in label_metrics(codes[0], LABELS, codes[1], LABELS).values():
        assert accuracy == pytest.approx(0.25, abs=5 * math.sqrt(0.25 * 0.75 / 200))


def test_the_unit_of_the_code_does_not_matter():
    labels = (clusters(2)[:, 0] > 4).astype(int)
    small = label_metrics(clusters(0), labels, clusters(1), labels)
    large = label_metrics(1000 * clusters(0), labels, 1000 * clusters(1), labels)
    assert small == pytest.approx(large, abs=0.01)


def test_one_label_and_few_codes():
    codes = clusters(0)[:5]
    assert label_metrics(codes, np.zeros(5), codes, np.array([0, 0, 0, 0, 1])) == pytest.approx(
        {"knn_accuracy": 0.8, "probe_accuracy": 0.8}
    )


def discriminator(weight: float, bias: float, label_classes: int = 0) -> AAE:
    """An AAE whose discriminator gives relu(z_0) weight + bias, plus the label's number if it sees labels."""
    model = AAE(3, 2, [2], [2], [1 + label_classes], label_classes).requires_grad_(False)
    first, _, last = model.discriminator
    for parameter in model.discriminator.parameters():
        parameter.zero_()
    first.weight[0, 0], last.weight[0, 0], last.bias[0] = 1, weight, bias
    for label in range(label_classes):
        first.weight[1 + label, 2 + label], last.weight[0, 1 + label] = 1, label
    return model


def test_an_undecided_discriminator():
    metrics = discriminator_metrics(discriminator(0, 0), torch.zeros(50, 2), np.zeros(50), NormalPrior(2), seed=0)
    assert metrics == pytest.approx({"accuracy": 0.5, "loss": math.log(2), "generator_loss": math.log(2)})


def test_a_discriminator_that_is_right():
    """Codes at z_0 = 20 have the logit 5 - 20. Samples within 6.8 have 5 - z_0 > -1.8, and nearly all are above 0."""
    codes = torch.tensor([[20.0, 0.0]]).repeat(50, 1)
    metrics = discriminator_metrics(discriminator(-1, 5), codes, np.zeros(50), NormalPrior(2), seed=0)
    assert metrics["accuracy"] == 1
    assert metrics["generator_loss"] == pytest.approx(15, abs=1e-5)
    assert 0 < metrics["loss"] < 0.05


def test_a_discriminator_that_is_wrong():
    codes = torch.zeros(50, 2)
    metrics = discriminator_metrics(discriminator(-1000, 0.5), codes - 1, np.zeros(50), NormalPrior(2), seed=0)
    # Every code has the logit 0.5. The half of the samples with z_0 > 0 has a logit below 0.
    assert metrics["accuracy"] == pytest.approx(0.25, abs=5 * 0.5 / math.sqrt(50) / 2)
    assert metrics["generator_loss"] == pytest.approx(math.log(1 + math.exp(-0.5)))


def test_a_discriminator_that_sees_labels():
    """Logits are the label minus 1.5, for codes and for samples of the same classes. Labels 2 and 3 are classified as
    samples, so codes of labels 0 and 1 and samples of classes 2 and 3 are right."""
    labels = np.repeat([0, 1, 2, 3], [40, 30, 20, 10])
    metrics = discriminator_metrics(
        discriminator(0, -1.5, label_classes=4), torch.zeros(100, 2), labels, MixturePrior(4), seed=0
    )
    assert metrics["accuracy"] == pytest.approx((0.7 + 0.3) / 2)
    expected = np.mean([math.log(1 + math.exp(1.5 - label)) for label in labels])
    assert metrics["generator_loss"] == pytest.approx(expected)


def test_samples_have_the_classes_of_the_codes():
    """Classes 0 and 2 of a tight mixture lie at z_0 = 30 and -30, where the logit is 30 and 0. Codes lie at 0."""
    prior = MixturePrior(4, 30.0, 0.1, 0.1)
    model = discriminator(1, 0, label_classes=4)
    model.discriminator[2].weight[0, 1:] = 0
    for label, accuracy in ((0, 1.0), (2, 0.5)):
        labels = np.full(20, label)
        metrics = discriminator_metrics(model, torch.zeros(20, 2), labels, prior, seed=0)
        assert metrics["accuracy"] == accuracy
