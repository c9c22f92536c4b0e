"""What trainers register: averages that replace weights, and values by step. All of it is restored."""

import pytest
import torch

from aae import backprop, backprop_cpu
from aae.priors import NormalPrior
from aae.schedules import Schedule
from aae.settings import AdamSettings
from tests.pipeline.toy_kind import Toy, ToySettings

PIXELS, STEPS = 12, 20
IMAGES = torch.randint(0, 256, (50, PIXELS), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.zeros(50, dtype=torch.int64)


@pytest.fixture(params=[backprop_cpu, backprop], ids=["native", "torch"])
def passes(request, monkeypatch):
    monkeypatch.setattr("aae.trainer.passes_on", lambda device: request.param)


def trainer(penalty=Schedule(0.01, 1.0, "exponential"), rate=Schedule(0.01, 0.001)):  # noqa: B008 - frozen
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Toy(PIXELS, 2, [8], [8])
    settings = ToySettings([8], [8], AdamSettings(rate, [0.9, 0.999]), penalty)
    return model.trainer(settings, IMAGES, LABELS, NormalPrior(2), seed=1, batch_size=4, steps=STEPS)


def weights(module):
    return [parameter.detach().clone() for parameter in module.parameters()]


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_snapshot_holds_the_average_of_the_weights(passes):
    ours = trainer()
    averages = weights(ours.model.decoder)
    for _ in range(STEPS):
        ours.advance(1)
        averages = [a + 0.1 * (b - a) for a, b in zip(averages, weights(ours.model.decoder), strict=True)]
    published = ours.published()
    for found, expected in zip(weights(published.decoder), averages, strict=True):
        # Twenty averages of numbers below 4, each rounded a few times.
        torch.testing.assert_close(found, expected, rtol=0, atol=20 * 3 * 4 * 2**-24)
    assert not same(weights(published.decoder), weights(ours.model.decoder))
    assert same(weights(published.encoder), weights(ours.model.encoder)), "only the decoder has an average"


def test_values_follow_their_schedules(passes):
    """In the first step, a schedule and its constant start value agree. In later steps they differ everywhere."""
    scheduled, constant = trainer(), trainer(penalty=0.01, rate=0.01)
    for both in (scheduled, constant):
        both.advance(1)
    assert same(weights(scheduled.model), weights(constant.model))
    for both in (scheduled, constant):
        both.advance(1)
    assert not same(weights(scheduled.model), weights(constant.model))


@pytest.mark.parametrize("step", [1, 7, STEPS - 1])
def test_what_is_restored_goes_on_to_the_same_bits(passes, step):
    """Averages, schedules and optimiser steps are restored into a trainer in another state."""
    whole, other = trainer(), trainer()
    state = None
    for done in range(1, STEPS + 1):
        whole.advance(1)
        if done == step:
            state = {name: tensor.clone() for name, tensor in whole.state().items()}
    for _ in range(3):
        other.advance(1)
    other.restore(step, state)
    while other.step < STEPS:
        other.advance(1)
    ours, theirs = whole.state(), other.state()
    assert ours.keys() == theirs.keys()
    assert not [name for name in ours if not torch.equal(ours[name], theirs[name])]


def test_two_passes_in_one_update_are_two_losses(passes):
    """The encoder also follows the penalty: a large penalty shrinks the codes."""
    sizes = []
    for penalty in (1e-6, 100.0):
        ours = trainer(penalty=penalty, rate=0.01)
        for _ in range(STEPS):
            ours.advance(1)
        sizes.append(ours.encode(IMAGES.float() / 255).square().mean())
    assert sizes[1] < sizes[0] / 2
