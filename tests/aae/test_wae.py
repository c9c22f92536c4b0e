"""The distances of codes from N(0, I) against their definitions and autograd, and the training of kind `wae`."""

import math

import numpy as np
import pytest
import torch

from aae import backprop, backprop_cpu
from aae.code_distances import MMD_SCALES, log_cramer_wold, mmd, sliced_wasserstein
from aae.errors import InputError
from aae.kinds.wae import WAE, WAESettings, squared_error
from aae.models import build_model
from aae.moments import raw_kurtosis, raw_skewness
from aae.ops import Stream, sample_prior
from aae.priors import NormalPrior
from aae.settings import AdamSettings, NormalSettings
from aae.trainer import train_epoch

N, D = 20, 5
DISTANCES = ("mmd", "sliced", "cramer_wold")


def normal(n: int = N, d: int = D, step: int = 0) -> torch.Tensor:
    return sample_prior(NormalPrior(d), n, seed=1, step=step, stream=Stream.SAMPLE)


CODES, SAMPLES, DIRECTIONS = normal() * 1.3 + 0.2, normal(step=1), normal(50, step=2)


def defined_mmd(codes: torch.Tensor) -> torch.Tensor:
    def kernel(x, y):
        return sum(2 * D * s / (2 * D * s + (x - y).square().sum()) for s in MMD_SCALES)

    n = len(codes)
    own = sum(kernel(x, y) for i, x in enumerate(codes) for j, y in enumerate(codes) if i != j)
    prior = sum(kernel(x, y) for i, x in enumerate(SAMPLES) for j, y in enumerate(SAMPLES) if i != j)
    cross = sum(kernel(x, y) for x in codes for y in SAMPLES)
    return (own + prior) / (n * (n - 1)) - 2 * cross / n**2


def defined_sliced(codes: torch.Tensor) -> torch.Tensor:
    total = torch.zeros(())
    for direction in DIRECTIONS:
        unit = direction / direction.norm()
        total = total + ((codes @ unit).sort().values - (SAMPLES @ unit).sort().values).square().mean()
    return total / len(DIRECTIONS)


def defined_cramer_wold(codes: torch.Tensor) -> torch.Tensor:
    n, d = codes.shape
    gamma = (4 / (3 * n)) ** (2 / 5)
    pairs = sum((gamma + (x - y).square().sum() / (2 * d - 3)) ** -0.5 for x in codes for y in codes) / n**2
    cross = sum((gamma + 0.5 + x.square().sum() / (2 * d - 3)) ** -0.5 for x in codes) * 2 / n
    return ((pairs + (1 + gamma) ** -0.5 - cross) / (2 * math.sqrt(math.pi))).log()


def distance(name: str, codes: torch.Tensor, samples: torch.Tensor = SAMPLES) -> tuple[torch.Tensor, torch.Tensor]:
    if name == "cramer_wold":
        return log_cramer_wold(codes)
    return mmd(codes, samples) if name == "mmd" else sliced_wasserstein(codes, samples, DIRECTIONS[:, : codes.shape[1]])


@pytest.mark.parametrize("name", DISTANCES)
def test_distances_and_gradients_are_those_of_the_definition(name):
    defined = {"mmd": defined_mmd, "sliced": defined_sliced, "cramer_wold": defined_cramer_wold}[name]
    codes = CODES.clone().requires_grad_()
    expected = defined(codes)
    (gradient,) = torch.autograd.grad(expected, codes)
    found, found_gradient = distance(name, CODES)
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)
    torch.testing.assert_close(found_gradient, gradient, rtol=1e-3, atol=1e-5 * gradient.abs().max().item())


@pytest.mark.parametrize("name", DISTANCES)
def test_samples_of_the_prior_are_nearest(name):
    samples, own = normal(500, step=3), normal(500, step=4)
    assert distance(name, own, samples)[0] < distance(name, own * 0.7, samples)[0]
    assert distance(name, own, samples)[0] < distance(name, own + 0.3, samples)[0]


def test_the_moments_of_normal_samples_are_known():
    """In 8 dimensions, 10,000 samples: skewness d (d + 2) (d + 4) / n = 0.096 with a standard deviation of 0.017."""
    codes = normal(10_000, 8).double().numpy()
    assert raw_skewness(codes) == pytest.approx(8 * 10 * 12 / 10_000, abs=5 * 0.017)
    # |x|² is chi² with 8 degrees of freedom; the variance of its square is 8·10·12·14 - 80².
    assert raw_kurtosis(codes) < 5 * math.sqrt((8 * 10 * 12 * 14 - 80**2) / 10_000)


def test_the_skewness_is_the_mean_over_pairs():
    codes = CODES.double().numpy()
    assert raw_skewness(codes) == pytest.approx(((codes @ codes.T) ** 3).mean())


def test_the_moments_are_neither_centred_nor_whitened():
    codes = normal(10_000, 2).double().numpy()
    assert raw_skewness(codes + 1) > 10 > 1 > raw_skewness(codes)
    assert raw_kurtosis(codes * 2) == pytest.approx(16 * 8 - 8, rel=0.1)


@pytest.mark.parametrize("passes", [backprop, backprop_cpu])
def test_the_squared_error_and_its_gradient(passes):
    logits, images = normal(6, 9), normal(6, 9, step=1).sigmoid()
    ours = logits.clone().requires_grad_()
    expected = (ours.sigmoid() - images).square().sum() / 6
    (gradient,) = torch.autograd.grad(expected, ours)
    found, found_gradient = squared_error(passes, logits, images)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(found_gradient, gradient, rtol=1e-4, atol=1e-6)


def settings(name: str, weight: float = 1.0, std: float = 1.0) -> WAESettings:
    adam = AdamSettings(0.003, [0.9, 0.999])
    return WAESettings(NormalSettings(std=std), [16, 16], [16, 16], name, weight, adam)


def trainer(name: str, **options):
    images = (normal(200, 30, step=9).sigmoid() * 255).to(torch.uint8)
    model = build_model("wae", 0, pixels=30, code_size=3, encoder_widths=[16, 16], decoder_widths=[16, 16])
    chosen = settings(name, **options)
    prior = WAE.prior(chosen, 3, 0)
    return model.trainer(chosen, images, None, prior, seed=0, batch_size=50, steps=300)


@pytest.mark.parametrize(("name", "std"), [*((name, 1.0) for name in DISTANCES), ("sliced", 5.0)])
def test_training_brings_the_codes_to_the_prior(name, std):
    trained = trainer(name, weight=10.0, std=std)
    before = train_epoch(trained, 1, 10)
    trained.step = 0
    for epoch in range(1, 31):
        after = train_epoch(trained, epoch, 10)
    assert after["reconstruction"] < before["reconstruction"]
    assert after["distance"] < before["distance"]
    codes = trained.encode(trained.images.float() / 255)
    assert codes.std().item() / std == pytest.approx(1, abs=0.3)


def test_training_resumes_exactly():
    whole, first, second = trainer("sliced"), trainer("sliced"), trainer("sliced")
    for each, steps in ((whole, 8), (first, 5)):
        for _ in range(steps):
            each.advance(1)
    second.restore(first.step, {name: tensor.clone() for name, tensor in first.state().items()})
    for _ in range(3):
        second.advance(1)
    for name, tensor in whole.state().items():
        assert torch.equal(tensor, second.state()[name]), name


def test_one_dimension_has_no_cramer_wold_distance():
    with pytest.raises(InputError, match=r"distance: cramer_wold needs code_size 2 or more; found 1"):
        WAE.check(settings("cramer_wold"), 1)
    WAE.check(settings("mmd"), 1)


def test_the_skewness_of_a_fixed_set_is_that_of_the_direct_tensor():
    codes = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    direct = sum((codes[i] @ codes[j]) ** 3 for i in range(3) for j in range(3)) / 9
    assert raw_skewness(codes) == pytest.approx(direct)
