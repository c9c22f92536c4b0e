"""The AAE with a categorical code: its iteration against autograd, its labels, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from aae import backprop, backprop_cpu
from aae.errors import InputError
from aae.kinds.aae_categorical import CategoricalAAESettings, separation_gradient, softmax_gradient
from aae.models import Recipe, build_model, find_kind
from aae.ops import Stream, draw_minibatch, sample_prior
from aae.priors import NormalPrior, UniformPrior
from aae.schedules import Schedule
from aae.settings import AdamSettings, NormalSettings
from aae.trainer import train_epoch

SEED, BATCH, PIXELS, D, K = 3, 8, 40, 3, 5
IMAGES = torch.randint(0, 256, (100, PIXELS), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(100) % 4
ADAM = AdamSettings(0.01, [0.9, 0.999])
SETTINGS = CategoricalAAESettings(
    prior=NormalSettings(),
    categories=K,
    labelled=20,
    code="concatenation",
    encoder_widths=[16, 12],
    decoder_widths=[14],
    discriminator_widths=[10],
    encoder=ADAM,
    decoder=ADAM,
    discriminator=ADAM,
    reconstruction_weight=2.0,
    style_weight=0.5,
    category_weight=0.7,
    classification_weight=1.5,
    input_noise=0.3,
    code_noise=0.4,
    discriminator_noise=Schedule(0.3, 0.1),
    independent=False,
    separation=2.0,
    average=0.9,
)
STEPS = 20


@pytest.fixture(params=[backprop_cpu, backprop], ids=["native", "torch"])
def passes(request, monkeypatch):
    monkeypatch.setattr("aae.trainer.passes_on", lambda device: request.param)


def trainer_of(labels: torch.Tensor | None = LABELS, **settings):
    recipe = Recipe("aae_categorical", find_kind("aae_categorical"), replace(SETTINGS, **settings))
    model = build_model("aae_categorical", SEED, **recipe.sizes(pixels=PIXELS, code_size=D, classes=4))
    prior = recipe.prior(D, 4)
    return model.trainer(recipe.settings, IMAGES, labels, prior, seed=SEED, batch_size=BATCH, steps=STEPS)


@pytest.mark.parametrize(("code", "independent"), [("concatenation", False), ("sum", False), ("concatenation", True)])
def test_against_autograd(code, independent, passes):
    """Three iterations of the same losses, written with autograd and PyTorch's Adam."""
    trainer, plain = (trainer_of(code=code, independent=independent) for _ in range(2))
    plain = plain.model
    known = trainer.labelled[0]
    discriminators = (plain.style_discriminator, plain.category_discriminator)
    autoencoder = [plain.encoder, plain.decoder] + ([plain.points] if code == "sum" else [])
    adam = torch.optim.Adam([p for network in autoencoder for p in network.parameters()], lr=0.01)
    adversary = torch.optim.Adam([p for network in discriminators for p in network.parameters()], lr=0.01)

    def drawn(prior, n, stream):
        return sample_prior(prior, n, seed=SEED, step=step, stream=stream)

    def against(network, codes, target):
        return F.binary_cross_entropy_with_logits(network(codes), torch.full((len(codes), 1), target))

    for step in range(3):
        losses = torch.tensor(trainer.iteration(step), dtype=torch.float32)
        images, _ = draw_minibatch(IMAGES, BATCH, seed=SEED, step=step, stream=Stream.RECONSTRUCTION)
        labelled, rows = draw_minibatch(known, BATCH, seed=SEED, step=step, stream=Stream.CLASSIFICATION)
        noise = 0.3 * drawn(NormalPrior(PIXELS), 2 * BATCH, Stream.INPUT_NOISE)
        outputs = plain.encoder(torch.cat([images, labelled]) + noise)
        style, category = outputs[:BATCH, :D], outputs[:BATCH, D:].softmax(1)
        decoded = style + 0.4 * drawn(NormalPrior(D), BATCH, Stream.NOISE)
        decoded = decoded + plain.points(category) if code == "sum" else torch.cat([decoded, category], dim=1)
        reconstruction = F.binary_cross_entropy_with_logits(plain.decoder(decoded), images)
        classification = F.cross_entropy(outputs[BATCH:, D:], trainer.labelled[1][rows])
        std = float(Schedule(0.3, 0.1).values(STEPS)[step])
        seen = std * drawn(NormalPrior(D + K), 2 * BATCH, Stream.DISCRIMINATOR_NOISE)
        beside = [category.detach()] if independent else []
        style = torch.cat([style + seen[:BATCH, :D], *beside], dim=1)
        style_samples = torch.cat([drawn(NormalPrior(D), BATCH, Stream.PRIOR) + seen[BATCH:, :D], *beside], dim=1)
        category = category + seen[:BATCH, D:]
        numbers = ((drawn(UniformPrior(1, 0.5), BATCH, Stream.CATEGORY)[:, 0] + 0.5) * K).long()
        category_samples = F.one_hot(numbers, K) + seen[BATCH:, D:]
        style_generator, category_generator = (
            against(network, codes, 1.0) for network, codes in zip(discriminators, (style, category), strict=True)
        )
        # The points and the decoder have Adams of their own, which do not see the weight of the reconstruction.
        loss = 2 * reconstruction + 0.5 * style_generator + 0.7 * category_generator + 1.5 * classification
        if code == "sum":
            loss = loss + separation(plain.points(torch.eye(K)), 2.0)
        adam.zero_grad()
        loss.backward()
        adam.step()
        telling = [
            (against(network, codes.detach(), 0.0) + against(network, samples, 1.0)) / 2
            for network, codes, samples in (
                (discriminators[0], style, style_samples),
                (discriminators[1], category, category_samples),
            )
        ]
        adversary.zero_grad()
        sum(telling).backward()
        adversary.step()
        expected = [
            reconstruction * PIXELS,
            classification,
            telling[0],
            style_generator,
            telling[1],
            category_generator,
        ]
        torch.testing.assert_close(losses, torch.stack(expected).detach(), rtol=1e-3, atol=1e-6)
    for ours, theirs in zip(trainer.model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3)  # of at most 0.03 that three steps move


def separation(points, least):
    closer = [least - (p - q).norm() for i, p in enumerate(points) for q in points[:i] if (p - q).norm() < least]
    return torch.stack(closer).sum() if closer else torch.zeros(())


def test_gradients():
    logits = torch.randn(6, K, generator=torch.Generator().manual_seed(1), requires_grad=True)
    weights = torch.randn(6, K, generator=torch.Generator().manual_seed(2))
    (logits.softmax(1) * weights).sum().backward()
    torch.testing.assert_close(softmax_gradient(logits.detach().softmax(1), weights), logits.grad)
    points = torch.randn(7, 2, generator=torch.Generator().manual_seed(3), requires_grad=True)
    separation(points, 1.5).backward()
    torch.testing.assert_close(separation_gradient(points.detach(), 1.5), points.grad)


def test_labels():
    """The images that have a label: equally many of each class, and the seed selects them."""
    known, labels = trainer_of(labelled=20).labelled
    assert torch.bincount(labels).tolist() == [5, 5, 5, 5]
    assert len(known) == 20
    known, labels = trainer_of(labelled="all").labelled
    assert labels.tolist() == LABELS.tolist()
    assert trainer_of(labelled="none").labelled is None
    assert trainer_of(None, labelled="none").iteration(0)[1] == 0


@pytest.mark.parametrize(
    ("settings", "labels", "message"),
    [
        ({"labelled": 18}, LABELS, "labelled: must be a multiple of the 4 classes or all; found 18"),
        ({"labelled": 400}, LABELS, "labelled: must be at most 100, because a class has only 25 training images"),
        ({"labelled": "all"}, None, "labelled: the data .* has no labels; allowed: none; found all"),
        ({"categories": 3}, LABELS, "categories: must be at least the 4 classes; found 3"),
    ],
)
def test_what_is_refused(settings, labels, message):
    with pytest.raises(InputError, match=message):
        trainer_of(labels, **settings)


@pytest.mark.parametrize("code", ["concatenation", "sum"])
def test_a_restored_training_goes_on_with_the_same_bits(code, passes):
    whole, other = trainer_of(code=code), trainer_of(code=code)
    train_epoch(whole, 1, 5)
    state = {name: tensor.clone() for name, tensor in whole.state().items()}
    losses = train_epoch(whole, 2, 5)
    other.restore(5, state)
    assert train_epoch(other, 2, 5) == losses
    theirs = other.state()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in whole.state().items())


@pytest.mark.parametrize("code", ["concatenation", "sum"])
def test_codes_and_their_decoding(code):
    """The code is the style. With the encoder's outputs, the decoder gets q(y|x), otherwise equal probabilities."""
    model = trainer_of(code=code).published()
    images = IMAGES[:6].float() / 255
    with torch.no_grad():
        outputs = model.encoder(images)
        codes = model.encode(images)
        assert torch.equal(codes, outputs[:, :D])
        category = outputs[:, D:].softmax(1)
        for given, probabilities in ((outputs, category), (None, torch.full((6, K), 1 / K))):
            inputs = model.decoder_inputs(codes, given)
            expected = codes + model.points(probabilities) if code == "sum" else torch.cat([codes, probabilities], 1)
            np.testing.assert_allclose(inputs, expected, rtol=1e-5, atol=1e-6)
