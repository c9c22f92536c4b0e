"""The metrics of complete models: which codes are measured, and with which noise."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from aae.backprop_cpu import forward
from aae.errors import InputError
from aae.evaluation_samples import posterior_noise
from aae.metrics import Sample, Split, epoch_metrics, model_metrics
from aae.models import build_model
from aae.priors import MixturePrior, NormalPrior
from aae.summary import flatten
from aae.targets import build_target

N = 10_000
PRIOR = NormalPrior(2)


def small_model(name, **sizes):
    widths = {"encoder_widths": [8], "decoder_widths": [8]}
    widths |= {"discriminator_widths": [8]} if name == "aae" else {}
    return build_model(name, 0, pixels=6, code_size=2, **widths, **sizes).requires_grad_(False)


IMAGES = torch.linspace(0, 1, 6 * N).reshape(N, 6)
LABELS = (np.arange(N) // 1000).astype(np.uint8)


def split(n=N, prior=PRIOR, images=IMAGES):
    return Split(images[:n], LABELS[:n], build_target(prior, n, cells=20, projections=128))


TEST, TRAIN = split(), split(2000)


def measured(model, seed=0, test=TEST, train=TRAIN, prior=PRIOR):
    sample = Sample(np.arange(100), build_target(prior, 100, cells=3, projections=16))
    return model_metrics(model, test, train, sample, prior, seed=seed)


def test_an_aae_has_one_kind_of_codes():
    metrics = measured(small_model("aae"))
    assert list(metrics) == ["reconstruction", "codes", "labels", "discriminator", "train", "train_sample"]
    assert list(metrics["train"]) == ["codes"]


def test_a_vae_that_ignores_its_input():
    """q(z|x) = N(0, I) for every x. All means are one point, and the samples are prior samples."""
    vae = small_model("vae")
    for parameter in vae.encoder.parameters():
        parameter.zero_()
    metrics = measured(vae, 0)
    parts = [part + suffix for suffix in ("", "_sampled") for part in ("reconstruction", "codes", "labels")]
    assert list(metrics) == [*parts, "train", "train_sample"]
    assert metrics["codes"]["sliced_wasserstein"] == pytest.approx(1)
    assert metrics["codes"]["chi2_per_dof"] == pytest.approx(N)
    assert metrics["codes_sampled"]["chi2_per_dof"] == pytest.approx(1, abs=5 * math.sqrt(2 / 399))
    other_seed = measured(vae, 1)
    assert other_seed["codes_sampled"] != metrics["codes_sampled"]
    assert measured(vae, 0) == metrics


def test_a_vae_with_one_posterior():
    """q(z|x), and so q(z), is N((1, -2), 3² I) for every x. Means and deviations of N samples agree to five sigma."""
    vae = small_model("vae")
    for parameter in vae.encoder.parameters():
        parameter.zero_()
    vae.encoder[-1].bias.copy_(torch.tensor([1.0, -2.0, math.log(9), math.log(9)]))
    codes = measured(vae, 0)["codes_sampled"]
    for axis, mean in (("axis_0", 1), ("axis_1", -2)):
        assert codes[axis]["mean"] == pytest.approx(mean, abs=5 * 3 / math.sqrt(N))
        assert codes[axis]["std"] == pytest.approx(3, abs=5 * 3 / math.sqrt(2 * N))


def test_a_vae_that_is_certain():
    """With log-variances of -60, the samples equal the means, and their reconstructions are equal too."""
    vae = small_model("vae")
    vae.encoder[-1].weight[2:] = 0
    vae.encoder[-1].bias[2:] = -60
    metrics = measured(vae, 0)
    for part in ("reconstruction", "codes", "labels"):
        assert flatten(metrics[f"{part}_sampled"]) == pytest.approx(flatten(metrics[part]), rel=1e-5, abs=1e-6)


def test_labels_are_told_from_training_codes():
    """Labels are steps of brightness, the only content of the images. Only the first two are in the training set."""
    model = small_model("aae")
    assert measured(model)["labels"]["knn_accuracy"] <= 0.21
    assert measured(model, train=TEST)["labels"]["knn_accuracy"] > 0.9


def test_the_match_of_training_images_is_that_of_their_codes():
    model = small_model("aae")
    metrics = measured(model, test=TRAIN, train=TEST)
    swapped = measured(model)
    for key, value in metrics["train"]["codes"].items():
        assert swapped["codes"][key] == value
    for key, value in swapped["train"]["codes"].items():
        assert metrics["codes"][key] == value


def test_the_sample_of_training_images_is_measured_as_they_are():
    """A training set of only its first hundred images has the same match."""
    model = small_model("aae")
    first = measured(model, train=Split(IMAGES[:100], LABELS[:100], build_target(PRIOR, 100, cells=3, projections=16)))
    assert measured(model)["train_sample"] == first["train_sample"] == first["train"]


@pytest.mark.parametrize(("name", "sizes"), [("aae", {}), ("aae", {"posterior": "universal"}), ("vae", {})])
def test_the_match_of_an_epoch_is_that_of_its_snapshot(name, sizes):
    """Codes, noise and measures are the same to the last bit."""
    model = small_model(name, **sizes)
    snapshot = flatten(measured(model, seed=4))
    noise = posterior_noise(2, len(IMAGES), seed=4)
    outputs = model.outputs(IMAGES, noise, partial(forward, model.encoder))
    epoch = flatten(epoch_metrics(model, outputs.numpy(), TEST.target, seed=4))
    assert epoch == {key: snapshot[key] for key in epoch}
    assert len(epoch) == (10 if sizes or name == "vae" else 5)


def test_an_aae_with_a_gaussian_posterior():
    """It has the codes of a VAE, and its discriminator gets samples of q(z|x): here those of the prior."""
    model = small_model("aae", posterior="gaussian")
    for parameter in model.encoder.parameters():
        parameter.zero_()
    assert_samples_are_those_of_the_prior(measured(model))


def test_an_aae_with_a_universal_approximator():
    """Here the code is the noise: its positive part through two hidden units, its negative part through two others."""
    model = small_model("aae", posterior="universal")
    for parameter in model.encoder.parameters():
        parameter.zero_()
    for unit, (axis, sign) in enumerate([(0, 1), (0, -1), (1, 1), (1, -1)]):
        model.encoder[0].weight[unit, 6 + axis] = model.encoder[-1].weight[axis, unit] = sign
    assert_samples_are_those_of_the_prior(measured(model))


def assert_samples_are_those_of_the_prior(metrics):
    """And the codes in the pictures are all 0."""
    assert metrics["codes"]["sliced_wasserstein"] == pytest.approx(1)
    assert metrics["codes_sampled"]["chi2_per_dof"] == pytest.approx(1, abs=5 * math.sqrt(2 / 399))
    assert metrics["discriminator"]["accuracy"] == pytest.approx(0.5, abs=5 / math.sqrt(8 * N))


@pytest.mark.parametrize("labelled", [False, True])
def test_another_prior(labelled):
    sizes = {"encoder_widths": [8], "decoder_widths": [8], "discriminator_widths": [8]}
    model = build_model("aae", 0, pixels=6, code_size=2, **sizes, label_classes=10 * labelled).requires_grad_(False)
    prior = MixturePrior()
    part = split(500, prior)
    metrics = measured(model, test=part, train=part, prior=prior)
    assert 0 <= metrics["discriminator"]["accuracy"] <= 1
    assert metrics["codes"]["sliced_wasserstein"] > 0.5


def test_a_decoder_that_takes_labels_gets_those_of_the_images():
    """Here the label alone decides what it draws. The discriminator sees labels too, although the prior has none."""
    widths = {"encoder_widths": [8], "decoder_widths": [10], "discriminator_widths": [8]}
    sizes = {"pixels": 6, "code_size": 2, "classes": 10, "label_classes": 10}
    model = build_model("aae_supervised", 0, **sizes, **widths).requires_grad_(False)
    drawn = torch.arange(10)[:, None] >> torch.arange(6) & 1  # [label, pixel]
    first, last = model.decoder[0], model.decoder[-1]
    first.weight.copy_(torch.cat([torch.zeros(10, 2), torch.eye(10)], dim=1))
    last.weight.copy_(60 * drawn.T - 30)
    for layer in (first, last):
        layer.bias.zero_()
    part = split(images=drawn[LABELS.astype(int)].float())
    metrics = measured(model, test=part, train=TRAIN)
    assert metrics["reconstruction"]["nats"] == pytest.approx(0, abs=1e-6)
    assert 0 <= metrics["discriminator"]["accuracy"] <= 1


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e20])
def test_codes_that_are_not_finite(bad):
    model = small_model("aae")
    model.encoder[-1].bias[0] = bad
    model.decoder[0].weight.zero_()  # its output for such codes does not matter here
    codes = forward(model.encoder, IMAGES).numpy()
    codes[2:] = 0
    with pytest.raises(InputError, match="2 of 10000 codes are not finite: the training diverged"):
        epoch_metrics(model, codes, TEST.target, seed=0)
    with pytest.raises(InputError, match="not finite: the training diverged"):
        measured(model)
