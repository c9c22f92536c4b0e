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
from tests.aae.resuming import assert_resumes

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
    masking_noise=0.25,
    code_noise=0.4,
    category_noise=0.6,
    discriminator_noise=Schedule(0.3, 0.1),
    recent_codes=12,
    gradient_penalty=0.1,
    batch_norm=False,
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


def normalised(network, gains, x, running=None):
    """The network's outputs with batch normalisation, by the minibatch's statistics or by `running` ones."""
    linears = [layer for layer in network if isinstance(layer, torch.nn.Linear)]
    for i, (linear, gain) in enumerate(zip(linears, gains, strict=True)):
        mean, variance = running[i] if running else (None, None)
        x = F.batch_norm(x @ linear.weight.t(), mean, variance, gain, linear.bias, training=running is None)
        x = x.relu() if i < len(linears) - 1 else x
    return x


@pytest.mark.parametrize(
    ("code", "independent", "batch_norm"),
    [("concatenation", False, False), ("sum", False, False), ("concatenation", True, False), ("sum", True, True)],
)
def test_against_autograd(code, independent, batch_norm, passes):
    """Three iterations of the same losses, written with autograd and PyTorch's Adam."""
    settings = {"code": code, "independent": independent, "batch_norm": batch_norm}
    trainer, plain = (trainer_of(**settings) for _ in range(2))
    recent, plain = plain.recent_codes, plain.model
    with torch.no_grad():
        first, _ = draw_minibatch(IMAGES, 12, seed=SEED, step=0, stream=Stream.DISCRIMINATOR)
        outputs = plain.encoder(first)
        torch.testing.assert_close(recent, torch.cat([outputs[:, :D], outputs[:, D:].softmax(1)], dim=1))
    gains = [torch.ones(n, requires_grad=True) for n in (16, 12, D + K)] if batch_norm else []
    known = trainer.labelled[0]
    discriminators = (plain.style_discriminator, plain.category_discriminator)
    autoencoder = [plain.encoder, plain.decoder] + ([plain.points] if code == "sum" else [])
    adam = torch.optim.Adam([*gains, *(p for network in autoencoder for p in network.parameters())], lr=0.01)
    adversary = torch.optim.Adam([p for network in discriminators for p in network.parameters()], lr=0.01)

    def drawn(prior, n, stream):
        return sample_prior(prior, n, seed=SEED, step=step, stream=stream)

    def against(network, codes, target):
        return F.binary_cross_entropy_with_logits(network(codes), torch.full((len(codes), 1), target))

    def telling(network, codes, samples, newest, directions, beside):
        """The discriminator's cross-entropy, and half its mean squared slope at the newest codes."""
        ahead, behind = (
            network(torch.cat([newest + way, *(columns[-BATCH:] for columns in beside)], dim=1))
            for way in (directions, -directions)
        )
        slope = ((ahead - behind) / 0.1).square().mean() / 2
        fake, real = (against(network, torch.cat([c, *beside], dim=1), t) for c, t in ((codes, 0.0), (samples, 1.0)))
        return (fake + real) / 2, slope

    for step in range(3):
        losses = torch.tensor(trainer.iteration(step), dtype=torch.float32)
        images, _ = draw_minibatch(IMAGES, BATCH, seed=SEED, step=step, stream=Stream.RECONSTRUCTION)
        labelled, rows = draw_minibatch(known, BATCH, seed=SEED, step=step, stream=Stream.CLASSIFICATION)
        noise = 0.3 * drawn(NormalPrior(PIXELS), 2 * BATCH, Stream.INPUT_NOISE)
        kept = drawn(UniformPrior(PIXELS), 2 * BATCH, Stream.MASK) >= 2 * 0.25 - 1
        seen_images = (torch.cat([images, labelled]) + noise) * kept / 0.75
        outputs = normalised(plain.encoder, gains, seen_images) if batch_norm else plain.encoder(seen_images)
        classification = F.cross_entropy(outputs[BATCH:, D:], trainer.labelled[1][rows])
        logits = outputs[:BATCH, D:] + 0.6 * drawn(NormalPrior(K), BATCH, Stream.CATEGORY_NOISE)
        style, category = outputs[:BATCH, :D], logits.softmax(1)
        recent = torch.cat([recent, torch.cat([style, category], dim=1).detach()])[-12:]
        decoded = style + 0.4 * drawn(NormalPrior(D), BATCH, Stream.NOISE)
        decoded = decoded + plain.points(category) if code == "sum" else torch.cat([decoded, category], dim=1)
        reconstruction = F.binary_cross_entropy_with_logits(plain.decoder(decoded), images)
        std = float(Schedule(0.3, 0.1).values(STEPS)[step])
        seen = std * drawn(NormalPrior(D + K), BATCH + 24, Stream.DISCRIMINATOR_NOISE)
        beside = [category.detach()] if independent else []
        style_generator = against(discriminators[0], torch.cat([style + seen[:BATCH, :D], *beside], dim=1), 1.0)
        category_generator = against(discriminators[1], category + seen[:BATCH, D:], 1.0)
        # The points and the decoder have Adams of their own, which do not see the weight of the reconstruction.
        loss = 2 * reconstruction + 0.5 * style_generator + 0.7 * category_generator + 1.5 * classification
        if code == "sum":
            loss = loss + separation(plain.points(torch.eye(K)), 2.0)
        adam.zero_grad()
        loss.backward()
        adam.step()
        numbers = ((drawn(UniformPrior(1, 0.5), 12, Stream.CATEGORY)[:, 0] + 0.5) * K).long()
        samples = torch.cat([drawn(NormalPrior(D), 12, Stream.PRIOR), F.one_hot(numbers, K)], dim=1)
        directions = drawn(NormalPrior(D + K, 0.05), BATCH, Stream.PENALTY)
        rows = (recent + seen[BATCH : BATCH + 12], samples + seen[BATCH + 12 :], recent[-BATCH:], directions)
        told = [
            telling(discriminators[0], *(part[:, :D] for part in rows), [recent[:, D:]] if independent else []),
            telling(discriminators[1], *(part[:, D:] for part in rows), []),
        ]
        adversary.zero_grad()
        sum(found + 0.1 * slope for found, slope in told).backward()
        adversary.step()
        expected = [
            reconstruction * PIXELS,
            classification,
            told[0][0],
            style_generator,
            told[1][0],
            category_generator,
        ]
        torch.testing.assert_close(losses, torch.stack(expected).detach(), rtol=1e-3, atol=1e-6)
    ours = [*trainer.model.parameters(), *(trainer.batch_norm.layers[i][2] for i in range(len(gains)))]
    for mine, theirs in zip(ours, [*plain.parameters(), *gains], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-3)  # of at most 0.03 that three steps move


def test_batch_norm_is_folded_into_the_weights(passes):
    """A snapshot's plain encoder computes what batch normalisation does by the running means and variances."""
    trainer = trainer_of(batch_norm=True, average=0.0)  # the average is the present weights
    train_epoch(trainer, 1, 10)
    images = IMAGES[:6].float() / 255
    perceptron = trainer.batch_norm
    with torch.no_grad():
        expected = normalised(
            trainer.model.encoder, [layer[2] for layer in perceptron.layers], images, perceptron.running
        )
        torch.testing.assert_close(trainer.published().encoder(images), expected)
        torch.testing.assert_close(trainer.encode(images), expected)


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


def test_some_pixels_remain():
    """The pixels that the encoder sees grow by 1 / (1 - fraction), so a schedule up to 1 is refused."""
    settings = replace(SETTINGS, masking_noise=Schedule(0.0, 1.0))
    with pytest.raises(InputError, match=r"^masking_noise: start and end should be less than 1; found 0.0, 1.0$"):
        find_kind("aae_categorical").check(settings, D)


@pytest.mark.parametrize(("code", "batch_norm"), [("concatenation", False), ("sum", False), ("sum", True)])
def test_a_restored_training_goes_on_with_the_same_bits(code, batch_norm, passes):
    assert_resumes(*(trainer_of(code=code, batch_norm=batch_norm) for _ in range(2)))


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
