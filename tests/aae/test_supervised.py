"""The supervised AAE: its decoder takes the label beside the code, and its discriminator may see it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import aae
from aae import backprop, backprop_cpu
from aae.errors import InputError
from aae.models import Recipe, build_model, find_kind
from aae.ops import Stream, draw_minibatch, sample_prior
from aae.priors import NormalPrior
from aae.snapshots import Metadata, save_snapshot
from aae.trained import TrainedModel
from aae.trainer import train_epoch
from tests.aae.resuming import assert_resumes
from tests.csrc.test_contract import SETTINGS

SEED, BATCH, PIXELS, CLASSES, STEPS, NOISE = 3, 8, 40, 4, 6, 0.3
IMAGES = torch.randint(0, 256, (100, PIXELS), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(100) % 7 % CLASSES
SHAPE, NAMES = (8, 5, 1), tuple("abcd")


@pytest.fixture(params=[backprop_cpu, backprop], ids=["native", "torch"])
def passes(request, monkeypatch):
    monkeypatch.setattr("aae.trainer.passes_on", lambda device: request.param)


def recipe_of(seen: bool, **settings) -> Recipe:
    changed = replace(SETTINGS["aae_supervised"], labels=seen, **settings)
    return Recipe("aae_supervised", find_kind("aae_supervised"), changed)


def trainer_of(seen: bool = True, labels: torch.Tensor | None = LABELS, **settings):
    recipe = recipe_of(seen, **settings)
    model = build_model("aae_supervised", SEED, **recipe.sizes(pixels=PIXELS, code_size=2, classes=CLASSES))
    training = {"seed": SEED, "batch_size": BATCH, "steps": STEPS}
    return model.trainer(recipe.settings, IMAGES, labels, NormalPrior(2), **training)


@pytest.mark.parametrize("seen", [False, True])
def test_against_the_plain_algorithm(seen, passes):
    """Autograd and one Adam for each network, on the contract's random numbers."""
    plainly = {
        "encoder": replace(SETTINGS["aae_supervised"].encoder, learning_rate=0.01),
        "decoder": replace(SETTINGS["aae_supervised"].decoder, learning_rate=0.02),
        "discriminator": replace(SETTINGS["aae_supervised"].discriminator, learning_rate=0.01),
        "adversarial_weight": 2.0,
        "masking_noise": 0.0,
        "code_noise": NOISE,
        "gradient_penalty": 0.0,
        "recent_codes": BATCH,
    }
    trainer, plain = trainer_of(seen, **plainly), trainer_of(seen, **plainly).model
    rates = ((plain.encoder, 0.01), (plain.decoder, 0.02))
    autoencoder = torch.optim.Adam([{"params": network.parameters(), "lr": rate} for network, rate in rates])
    discriminator = torch.optim.Adam(plain.discriminator.parameters(), lr=0.01, betas=(0.5, 0.999))

    for step in range(STEPS):
        losses = torch.tensor(trainer.iteration(step))
        images, indices = draw_minibatch(IMAGES, BATCH, seed=SEED, step=step, stream=Stream.RECONSTRUCTION)
        columns = F.one_hot(LABELS[indices], CLASSES)
        noise, drawn = (
            sample_prior(NormalPrior(2), BATCH, seed=SEED, step=step, stream=stream)
            for stream in (Stream.NOISE, Stream.PRIOR)
        )

        def answers(rows, columns=columns):
            return plain.discriminator(torch.cat([rows, columns], dim=1) if seen else rows)

        codes = plain.encoder(images)
        logits = plain.decoder(torch.cat([codes + NOISE * noise, columns], dim=1))
        reconstruction = F.binary_cross_entropy_with_logits(logits, images)
        generator = F.softplus(-answers(codes)).mean()
        autoencoder.zero_grad()
        (reconstruction + 2.0 * generator).backward()
        autoencoder.step()
        discriminator.zero_grad()
        telling = (F.softplus(answers(codes.detach())).mean() + F.softplus(-answers(drawn)).mean()) / 2
        telling.backward()
        discriminator.step()
        expected = torch.stack([reconstruction * PIXELS, telling, generator]).detach()
        torch.testing.assert_close(losses, expected, rtol=1e-3, atol=0)
    # Six Adam steps of at most about 0.02 move a weight by up to 0.12. Rounding errors are far smaller.
    for ours, theirs in zip(trainer.model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-4)


def test_the_rows_of_the_discriminator():
    """Codes have their labels. So have the samples of the prior with the same numbers, which are of the whole prior."""
    model = trainer_of().model
    codes, labels, draw = torch.arange(20.0).view(10, 2), LABELS[:10], {"seed": SEED, "step": 5, "offset": 2}
    batch, targets = model.discriminator_batch(codes, NormalPrior(2), 10, labels=labels, **draw)
    assert targets.squeeze(1).tolist() == [0.0] * 10 + [1.0] * 10
    columns = F.one_hot(labels, CLASSES)
    assert torch.equal(batch[:10], torch.cat([codes, columns], dim=1))
    assert torch.equal(batch[10:], torch.cat([sample_prior(NormalPrior(2), 10, **draw), columns], dim=1))
    out = torch.full_like(batch, -1), torch.full_like(targets, -1)
    model.discriminator_batch(codes, NormalPrior(2), 10, labels=labels, out=out, **draw)
    assert all(torch.equal(*pair) for pair in zip(out, (batch, targets), strict=True))


def test_an_unknown_label_is_the_uniform_distribution():
    model = trainer_of().model
    codes, labels = torch.randn(CLASSES, 2, generator=torch.Generator().manual_seed(1)), torch.arange(CLASSES)
    of_labels = model.decoder_inputs(codes, labels=labels)
    assert torch.equal(of_labels, torch.cat([codes, torch.eye(CLASSES)], dim=1))
    unknown = model.decoder_inputs(codes)
    assert torch.equal(unknown, torch.cat([codes, torch.full((CLASSES, CLASSES), 1 / CLASSES)], dim=1))


@pytest.mark.parametrize("seen", [False, True])
def test_a_restored_training_goes_on_with_the_same_bits(seen, passes):
    assert_resumes(trainer_of(seen), trainer_of(seen))


def test_data_without_labels():
    with pytest.raises(InputError, match=r"^kind: aae_supervised needs labels, but the data \(data.path\) has none$"):
        trainer_of(labels=None)


def test_labels_make_columns_of_the_discriminator_although_the_prior_has_no_classes():
    assert recipe_of(seen=True).sizes(PIXELS, 2, CLASSES)["label_classes"] == CLASSES
    assert recipe_of(seen=False).sizes(PIXELS, 2, CLASSES)["label_classes"] == 0


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> TrainedModel:
    folder = tmp_path_factory.mktemp("supervised")
    trainer = trainer_of()
    train_epoch(trainer, 1, 3)
    save_snapshot(folder, 1, trainer.published(), Metadata(NormalPrior(2), SHAPE, NAMES))
    return aae.load(folder)


def test_a_code_has_an_image_for_every_label(model):
    images = IMAGES.numpy().reshape(100, 8, 5)
    codes, labels = model.encode(images), LABELS.numpy().astype(np.uint8)
    decoded = model.decode(codes, labels)
    inputs = torch.cat([torch.from_numpy(codes), F.one_hot(LABELS, CLASSES)], dim=1)
    expected = model.network.decoder(inputs).sigmoid().detach().reshape(100, 8, 5)
    np.testing.assert_allclose(decoded, expected, atol=1e-6)
    assert np.array_equal(model.reconstruct(images, labels), decoded)
    assert np.array_equal(model.decode(codes, 2), model.decode(codes, np.full(100, 2)))
    assert not np.array_equal(model.decode(codes, 2), model.decode(codes, 1))
    assert np.array_equal(model.sample(5, seed=1, labels=3), model.decode(model.sample_prior(5, seed=1), 3))


def test_without_labels_it_works_like_any_other_model(model):
    images = IMAGES.numpy().reshape(100, 8, 5)
    decoded = model.decode(model.encode(images))
    assert decoded.shape == model.sample(100).shape == (100, 8, 5)
    assert np.array_equal(model.reconstruct(images), decoded)
    assert model.decode(np.empty((0, 2)), []).shape == (0, 8, 5)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 4], "labels must be integers from 0 to 3; found 0 to 4"),
        ([-1, 0], "labels must be integers from 0 to 3; found -1 to 0"),
        (7, "labels must be integers from 0 to 3; found 7 to 7"),
        ([0.0, 1.0], "labels must be integers from 0 to 3; found float64"),
        (["a", "b"], "labels must be integers from 0 to 3; found <U1"),
        ([1], "labels must be an integer or have the shape [2]; found [1]"),
        ([[1], [2]], "labels must be an integer or have the shape [2]; found [2, 1]"),
        ([[1], [2, 3]], "labels must be an array; found rows of different lengths"),
    ],
)
def test_labels_that_it_refuses(model, labels, message):
    for refused in (lambda: model.decode([[0, 1], [2, 3]], labels), lambda: model.sample(2, labels=labels)):
        with pytest.raises(InputError) as error:
            refused()
        assert str(error.value) == message
