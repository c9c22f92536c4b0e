"""Reconstruction errors for known logits."""

import math

import pytest
import torch

from aae.errors import InputError
from aae.reconstruction import reconstruction_metrics


def test_reconstruction_of_an_undecided_decoder():
    images = torch.tensor([[0.0, 1.0, 0.5], [0.25, 0.0, 0.0]])
    metrics = reconstruction_metrics(torch.zeros(2, 3), images)
    assert metrics["nats"] == pytest.approx(3 * math.log(2))
    assert metrics["mse"] == pytest.approx((4 * 0.25 + 0.0625) / 6)


def test_reconstruction_of_known_logits():
    logits, images = torch.tensor([[2.0, -1.0]]), torch.tensor([[1.0, 0.25]])
    p, q = 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(1))
    metrics = reconstruction_metrics(logits, images)
    assert metrics["nats"] == pytest.approx(-math.log(p) - 0.25 * math.log(q) - 0.75 * math.log(1 - q), rel=1e-6)
    assert metrics["mse"] == pytest.approx(((1 - p) ** 2 + (0.25 - q) ** 2) / 2, rel=1e-6)


def test_a_decoder_that_is_not_finite():
    with pytest.raises(InputError, match="the decoder's output is not finite"):
        reconstruction_metrics(torch.tensor([[math.nan]]), torch.tensor([[0.5]]))
