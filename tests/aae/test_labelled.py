"""Discriminators that see the labels of a part of the training images (section 2.3 of the paper)."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from aae.errors import InputError
from aae.kinds.aae import partly_hidden
from aae.models import Recipe, build_model, find_kind
from aae.ops import Stream, draw_minibatch, sample_prior
from aae.priors import MixturePrior
from tests.aae.resuming import assert_resumes
from tests.csrc.test_contract import SETTINGS

CLASSES, LABELLED, SEED, BATCH = 4, 20, 3, 16
IMAGES = torch.randint(0, 256, (100, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(100) % 7 % CLASSES  # from 14 to 30 of each class
PRIOR = MixturePrior(CLASSES)


def trainer_of(kind: str, labelled=LABELLED, seed: int = SEED):
    recipe = Recipe(kind, find_kind(kind), replace(SETTINGS[kind], labels=True, labelled=labelled))
    model = build_model(kind, 0, **recipe.sizes(pixels=40, code_size=2, classes=CLASSES))
    return model.trainer(recipe.settings, IMAGES, LABELS, PRIOR, seed=seed, batch_size=BATCH, steps=20)


@pytest.mark.parametrize("count", [4, 20, 56])
def test_equally_many_of_each_class_keep_their_label(count):
    seen = partly_hidden(LABELS, count, CLASSES, SEED)
    assert torch.bincount(seen).tolist() == [count // CLASSES] * CLASSES + [100 - count]
    known = seen < CLASSES
    assert torch.equal(seen[known], LABELS[known])
    more = partly_hidden(LABELS, 56, CLASSES, SEED)
    assert torch.equal(more[known], seen[known]), "a larger number keeps the same and more"
    assert not torch.equal(seen, partly_hidden(LABELS, count, CLASSES, SEED + 1)), "each run has its own"


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (18, "labelled: must be a multiple of the 4 classes or all; found 18"),
        (60, "labelled: must be at most 56, because a class has only 14 training images; found 60"),
        (1000, "labelled: must be at most 56, because a class has only 14 training images; found 1000"),
    ],
)
@pytest.mark.parametrize("kind", ["aae", "aae_joint"])
def test_impossible_numbers(kind, count, message):
    with pytest.raises(InputError) as error:
        trainer_of(kind, labelled=count)
    assert str(error.value) == message


def test_the_rows_of_the_discriminator():
    """An unlabelled code and the prior's row of the same number have the last class; other rows have their own."""
    trainer = trainer_of("aae")
    codes = torch.arange(20.0).view(10, 2)
    labels = torch.tensor([0, 4, 4, 3, 1, 4, 2, 4, 4, 0])
    draw = {"seed": SEED, "step": 5, "offset": 2}
    batch, targets = trainer.assemble(codes, PRIOR, 10, labels=labels, **draw)
    assert targets.squeeze(1).tolist() == [0.0] * 10 + [1.0] * 10
    assert torch.equal(batch[:10], torch.cat([codes, F.one_hot(labels, 5)], dim=1))
    assert torch.equal(batch[10:, :2], sample_prior(PRIOR, 10, **draw))
    classes = batch[10:, 2:].argmax(dim=1)
    assert torch.equal(batch[10:, 2:], F.one_hot(classes, 5).float())
    assert torch.equal(classes == 4, labels == 4)
    known = classes < 4
    drawn = sample_prior(PRIOR, 10, **draw, labels=classes.masked_fill(~known, 0))
    assert torch.equal(batch[10:][known][:, :2], drawn[known]), "a labelled row is from the component of its class"

    out = torch.full_like(batch, -1), torch.full_like(targets, -1)
    trainer.assemble(codes, PRIOR, 10, labels=labels, out=out, **draw)
    assert all(torch.equal(*pair) for pair in zip(out, (batch, targets), strict=True))


def test_the_unlabelled_rows_of_the_prior_are_the_whole_prior():
    batch, _ = trainer_of("aae").assemble(
        torch.zeros(4000, 2), PRIOR, 4000, labels=torch.full((4000,), CLASSES), seed=SEED, step=0
    )
    angles = torch.atan2(batch[4000:, 1], batch[4000:, 0])
    near = torch.bincount((angles / (torch.pi / 2)).round().long() % CLASSES)
    assert (near / 4000 - 1 / CLASSES).abs().max() < 0.04  # five standard deviations


def test_both_steps_against_autograd():
    trainer, plain = trainer_of("aae"), trainer_of("aae").model
    seen = partly_hidden(LABELS, LABELLED, CLASSES, SEED)
    for_discriminator, for_generator = trainer.encode_minibatches(0)
    loss = float(trainer.discriminator_step(0, *for_discriminator))
    images, indices = draw_minibatch(IMAGES, BATCH // 2, seed=SEED, step=0, stream=Stream.DISCRIMINATOR)
    codes = torch.cat([plain.encode(images), F.one_hot(seen[indices], CLASSES + 1)], dim=1).detach()
    batch, targets = trainer.discriminator_batch
    torch.testing.assert_close(batch[: BATCH // 2], codes, rtol=1e-5, atol=1e-6)
    expected = F.binary_cross_entropy_with_logits(plain.discriminator(batch), targets)
    assert loss == pytest.approx(expected.item(), rel=1e-5)

    plain.discriminator.load_state_dict(trainer.model.discriminator.state_dict())
    generator = torch.optim.Adam(plain.encoder.parameters(), lr=0.01)
    images, indices = draw_minibatch(IMAGES, BATCH, seed=SEED, step=0, stream=Stream.GENERATOR)
    rows = torch.cat([plain.encode(images), F.one_hot(seen[indices], CLASSES + 1)], dim=1)
    expected = F.softplus(-plain.discriminator(rows)).mean()
    expected.backward()
    generator.step()
    assert float(trainer.generator_step(0, *for_generator)) == pytest.approx(expected.item(), rel=1e-5)
    for ours, theirs in zip(trainer.model.encoder.parameters(), plain.encoder.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", ["aae", "aae_joint"])
def test_a_restored_training_goes_on_with_the_same_bits(kind):
    assert_resumes(trainer_of(kind), trainer_of(kind))
