"""The joint recipe against a plain implementation of its loss, and the state that it keeps between iterations."""

import math

import pytest
import torch
import torch.nn.functional as F

from aae import backprop, backprop_cpu
from aae.kinds.aae import partly_hidden
from aae.kinds.aae_joint import PENALTY_STEP, JointAAESettings
from aae.models import build_model
from aae.ops import Stream, draw_minibatch, sample_prior
from aae.priors import MixturePrior, NormalPrior, UniformPrior
from aae.schedules import Schedule
from aae.settings import AdamSettings, MixtureSettings, NormalSettings
from aae.trainer import train_epoch

PIXELS, BATCH, RECENT, SEED, STEPS = 20, 8, 12, 3, 12
IMAGES = torch.randint(0, 256, (50, PIXELS), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(50) % 4
RATE, WEIGHT, MASKED, NOISE, PENALTY, DECAY = 0.01, 2.0, 0.25, 0.3, 0.5, 0.9


@pytest.fixture(params=[backprop_cpu, backprop], ids=["native", "torch"], autouse=True)
def passes(request, monkeypatch):
    monkeypatch.setattr("aae.trainer.passes_on", lambda device: request.param)


def joint_trainer(
    seed=SEED, recent=RECENT, labels=False, labelled="all", posterior="deterministic", widths=(16,), **settings
):
    sizes = {"encoder_widths": [16], "decoder_widths": [16], "discriminator_widths": list(widths)}
    settings = {
        "prior": MixtureSettings() if labels else NormalSettings(),
        "labels": labels,
        "labelled": labelled,
        "posterior": posterior,
        "encoder": AdamSettings(RATE, [0.9, 0.999]),
        "decoder": AdamSettings(2 * RATE, [0.9, 0.999]),
        "discriminator": AdamSettings(RATE, [0.5, 0.999]),
        "adversarial_weight": WEIGHT,
        "masking_noise": MASKED,
        "code_noise": NOISE,
        "recent_codes": recent,
        "gradient_penalty": PENALTY,
        "average": DECAY,
        **sizes,
    } | settings
    classes = {"label_classes": 4 + (labelled != "all")} if labels else {}
    model = build_model("aae_joint", seed, pixels=PIXELS, code_size=2, **sizes, **classes, posterior=posterior)
    prior = MixturePrior(4) if labels else NormalPrior(2)
    training = {"seed": seed, "batch_size": BATCH, "steps": STEPS}
    return model.trainer(JointAAESettings(**settings), IMAGES, LABELS, prior, **training)


def samples(prior, n, step, stream):
    return sample_prior(prior, n, seed=SEED, step=step, stream=stream)


def weights(module):
    return [parameter.detach().clone() for parameter in module.parameters()]


@pytest.mark.parametrize(
    ("labels", "labelled", "posterior", "error"),
    [
        (False, "all", "deterministic", "cross_entropy"),
        (False, "all", "deterministic", "squared_error"),
        (True, "all", "deterministic", "cross_entropy"),
        (True, 20, "deterministic", "cross_entropy"),
        (False, "all", "gaussian", "cross_entropy"),
        (False, "all", "universal", "cross_entropy"),
    ],
)
def test_against_the_plain_algorithm(labels, labelled, posterior, error):
    """Autograd, two unfused Adams and lists of codes, on the contract's random numbers."""
    settings = {"labels": labels, "labelled": labelled, "posterior": posterior, "reconstruction": error}
    trainer, plain = (joint_trainer(**settings) for _ in range(2))
    plain, columns = plain.model, plain.model.label_classes
    seen = LABELS if labelled == "all" else partly_hidden(LABELS, labelled, 4, SEED)
    prior = MixturePrior(4) if labels else NormalPrior(2)
    networks = [plain.encoder, plain.decoder]
    rates = zip(networks, (RATE, 2 * RATE), strict=True)
    autoencoder = torch.optim.Adam([{"params": network.parameters(), "lr": rate} for network, rate in rates])
    discriminator = torch.optim.Adam(plain.discriminator.parameters(), lr=RATE, betas=(0.5, 0.999))
    averages = weights(plain.decoder)

    def rows(codes, classes):
        return torch.cat([codes, F.one_hot(classes, columns)], dim=1) if labels else codes

    def encode(images, step, stream):
        if posterior == "deterministic":
            return plain.encoder(images)
        noise = samples(NormalPrior(2), len(images), step, stream)
        if posterior == "universal":
            return plain.encoder(torch.cat([images, noise], dim=1))
        mean, log_variance = plain.encoder(images).split(2, dim=1)
        return mean + torch.exp(log_variance / 2) * noise

    images, indices = draw_minibatch(IMAGES, RECENT, seed=SEED, step=0, stream=Stream.DISCRIMINATOR)
    recent = list(rows(encode(images, 0, Stream.DISCRIMINATOR_CODES), seen[indices]).detach())
    for step in range(STEPS):
        losses = torch.tensor(trainer.iteration(step))

        images, indices = draw_minibatch(IMAGES, BATCH, seed=SEED, step=step, stream=Stream.RECONSTRUCTION)
        uniform = samples(UniformPrior(PIXELS), BATCH, step, Stream.MASK)
        codes = encode(images * (uniform / 2 + 0.5 >= MASKED), step, Stream.RECONSTRUCTION_CODES)
        noise = NOISE * samples(NormalPrior(2), BATCH, step, Stream.NOISE)
        decoded = torch.sigmoid(plain.decoder(codes + noise))
        reconstruction = F.binary_cross_entropy(decoded, images)
        minimised = reconstruction if error == "cross_entropy" else F.mse_loss(decoded, images)
        generator = F.softplus(-plain.discriminator(rows(codes, seen[indices]))).mean()
        autoencoder.zero_grad()
        (minimised + WEIGHT * generator).backward()
        autoencoder.step()
        averages = [DECAY * a + (1 - DECAY) * b for a, b in zip(averages, weights(plain.decoder), strict=True)]

        recent = [*recent, *rows(codes, seen[indices]).detach()][-RECENT:]
        drawn = samples(prior, RECENT, step, Stream.PRIOR)
        if labels:  # the prior's rows have drawn classes, which are read from the trainer's batch
            drawn = torch.cat([drawn, trainer.rows[RECENT : 2 * RECENT, 2:]], dim=1)
        encoded = torch.stack(recent)
        telling = F.softplus(plain.discriminator(encoded)).sum() + F.softplus(-plain.discriminator(drawn)).sum()
        telling = telling / (2 * RECENT)
        direction = torch.zeros_like(encoded[-BATCH:])
        direction[:, :2] = PENALTY_STEP * samples(NormalPrior(2), BATCH, step, Stream.PENALTY)
        ahead, behind = (plain.discriminator(encoded[-BATCH:] + side * direction) for side in (1, -1))
        slope = (ahead - behind) / (2 * PENALTY_STEP)
        discriminator.zero_grad()
        (telling + PENALTY / 2 * slope.square().mean()).backward()
        discriminator.step()

        expected = torch.stack([reconstruction * PIXELS, telling, generator]).detach()
        torch.testing.assert_close(losses, expected, rtol=1e-3, atol=0)
    # Twelve Adam steps of about 0.01 move a weight by up to 0.12. Rounding errors are far smaller.
    for ours, theirs in zip(trainer.model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-4)
    for ours, theirs in zip(trainer.published().decoder.parameters(), averages, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-4)


def test_the_penalty_is_the_squared_slope_where_the_discriminator_is_linear():
    """No ReLU switches nearby, so the differences equal the derivative and the gradient of its square is known."""
    trainer = joint_trainer(gradient_penalty=1.0)
    first, last = trainer.model.discriminator[0], trainer.model.discriminator[-1]
    with torch.no_grad():
        first.bias.fill_(100)  # every unit is on
        before = (last.weight @ first.weight).squeeze()
    trainer.discriminator_adam.adam.update = lambda *passes, learning_rate: None
    trainer.discriminator_step(0)
    logits = trainer.discriminator_pass.grad_outputs
    ahead, behind = logits[2 * RECENT :].split(BATCH)
    direction = samples(NormalPrior(2), BATCH, 0, Stream.PENALTY)
    slope = direction @ before
    expected = slope / (2 * PENALTY_STEP * BATCH)
    # A logit of a few hundred has a rounding error of 2^-17. The difference of two logits is divided by 0.1 twice.
    torch.testing.assert_close(ahead.squeeze(1), expected, rtol=0, atol=2e-3)
    assert torch.equal(ahead, -behind)


@pytest.mark.parametrize("recent", [3, BATCH, 20])
def test_it_remembers_the_last_codes(recent):
    """Fewer codes than a minibatch, one minibatch or several. A new code replaces the oldest."""
    trainer = joint_trainer(recent=recent, masking_noise=0.0)
    seen = list(trainer.recent_codes.clone())
    for step in range(4):
        images, _ = draw_minibatch(IMAGES, BATCH, seed=SEED, step=step, stream=Stream.RECONSTRUCTION)
        seen += list(backprop_cpu.forward(trainer.model.encoder, images))
        trainer.iteration(step)
        torch.testing.assert_close(trainer.recent_codes, torch.stack(seen[-recent:]), rtol=1e-5, atol=1e-6)


def test_an_undecided_discriminator_moves_no_code():
    trainer = joint_trainer()
    torch.nn.init.zeros_(trainer.model.discriminator[-1].weight)
    torch.nn.init.zeros_(trainer.model.discriminator[-1].bias)
    loss, gradient = trainer.oppose(0, trainer.recent_codes[:BATCH].clone(), None)
    assert float(loss) == pytest.approx(math.log(2), rel=1e-6)
    assert not gradient.any()


def test_goes_on_from_any_step_with_the_same_bits():
    schedules = {
        "adversarial_weight": Schedule(0.02, 1.0, "exponential"),
        "masking_noise": Schedule(0.5, 0.0, until=0.5),
        "code_noise": Schedule(0.3, 0.02),
        "gradient_penalty": Schedule(0.5, 0.0, until=0.9),
        "encoder": AdamSettings(Schedule(0.01, 0.0), [0.9, 0.999]),
    }
    whole, other = joint_trainer(**schedules), joint_trainer(**schedules)
    train_epoch(whole, 1, 5)
    state = {name: tensor.clone() for name, tensor in whole.state().items()}
    train_epoch(whole, 2, 5)
    train_epoch(other, 1, 3)
    other.restore(5, state)
    train_epoch(other, 2, 5)
    theirs = other.state()
    assert not [name for name, tensor in whole.state().items() if not torch.equal(tensor, theirs[name])]
