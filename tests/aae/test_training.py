"""The trainers against a plain implementation of the post's algorithm, and what each step may change."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Normal, kl_divergence

from aae import backprop, backprop_cpu
from aae.errors import InputError
from aae.kinds.aae import AAETrainer
from aae.kinds.vae import VAETrainer
from aae.models import build_model
from aae.ops import Stream, assemble_discriminator_batch, draw_minibatch, sample_prior
from aae.priors import MixturePrior, NormalPrior
from aae.settings import AdamSettings
from aae.trainer import train_epoch

PIXELS, BATCH, SEED = 20, 8, 3
ADAM = AdamSettings(0.001, [0.9, 0.999])
IMAGES = torch.randint(0, 256, (50, PIXELS), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=[backprop_cpu, backprop], ids=["native", "torch"])
def passes(request, monkeypatch):
    """Both implementations of the passes train here. The second is the one that trains on a GPU."""
    monkeypatch.setattr("aae.trainer.passes_on", lambda device: request.param)


def aae_trainer(seed=SEED, **settings):
    model = build_model(
        "aae",
        seed,
        pixels=PIXELS,
        code_size=2,
        encoder_widths=[16],
        decoder_widths=[16],
        discriminator_widths=[16],
    )
    optimizers = {"autoencoder": ADAM, "discriminator": ADAM, "generator": ADAM} | settings
    return AAETrainer(model, IMAGES, NormalPrior(2), seed=seed, batch_size=BATCH, steps=100, **optimizers)


def vae_trainer(seed=SEED, std=1.0):
    model = build_model("vae", seed, pixels=PIXELS, code_size=2, encoder_widths=[16], decoder_widths=[16])
    return VAETrainer(model, IMAGES, NormalPrior(2, std), seed=seed, batch_size=BATCH, steps=100, autoencoder=ADAM)


def weights(module):
    return [parameter.detach().clone() for parameter in module.parameters()]


def same(before, module):
    return all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


def minibatch(n, step, stream):
    return draw_minibatch(IMAGES, n, seed=SEED, step=step, stream=stream)[0]


def test_aae_against_the_plain_algorithm(passes):
    """The post's loop (three unfused Adams, backward() and one concatenation) with the contract's random numbers."""
    trainer, plain = aae_trainer(), aae_trainer().model
    autoencoder = torch.optim.Adam([*plain.encoder.parameters(), *plain.decoder.parameters()], lr=0.001)
    discriminator = torch.optim.Adam(plain.discriminator.parameters(), lr=0.001)
    generator = torch.optim.Adam(plain.encoder.parameters(), lr=0.001)
    for step in range(12):
        losses = torch.tensor(trainer.iteration(step))

        images = minibatch(BATCH, step, Stream.RECONSTRUCTION)
        decoded = torch.sigmoid(plain.decoder(plain.encoder(images)))
        reconstruction = F.binary_cross_entropy(decoded, images)
        autoencoder.zero_grad()
        reconstruction.backward()
        autoencoder.step()

        codes = plain.encoder(minibatch(BATCH // 2, step, Stream.DISCRIMINATOR)).detach()
        prior = sample_prior(NormalPrior(2), BATCH // 2, seed=SEED, step=step)
        answers = torch.sigmoid(plain.discriminator(torch.cat([codes, prior])))
        truth = torch.cat([torch.zeros(BATCH // 2, 1), torch.ones(BATCH // 2, 1)])
        telling = F.binary_cross_entropy(answers, truth)
        discriminator.zero_grad()
        telling.backward()
        discriminator.step()

        answers = torch.sigmoid(plain.discriminator(plain.encoder(minibatch(BATCH, step, Stream.GENERATOR))))
        fooling = F.binary_cross_entropy(answers, torch.ones(BATCH, 1))
        generator.zero_grad()
        fooling.backward()
        generator.step()

        expected = torch.stack([reconstruction * PIXELS, telling, fooling]).detach()
        torch.testing.assert_close(losses, expected, rtol=1e-4, atol=0)
    # Twelve Adam steps of at most about 0.001 each move a weight by up to 0.036. Rounding errors are far smaller.
    for ours, theirs in zip(trainer.model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5)


def test_each_step_touches_its_own_networks_only(passes):
    trainer = aae_trainer()
    model = trainer.model
    networks = {"encoder": model.encoder, "decoder": model.decoder, "discriminator": model.discriminator}
    minibatches = []
    for step, changed in [
        (lambda: trainer.reconstruction_step(0), {"encoder", "decoder"}),
        (lambda: minibatches.extend(trainer.encode_minibatches(0)), set()),
        (lambda: trainer.discriminator_step(0, *minibatches[0]), {"discriminator"}),
        (lambda: trainer.generator_step(0, *minibatches[1]), {"encoder"}),
    ]:
        before = {name: weights(network) for name, network in networks.items()}
        step()
        assert {name for name in networks if not same(before[name], networks[name])} == changed


def test_optimizer_states_are_separate(passes):
    trainer = aae_trainer()
    trainer.iteration(0)
    assert trainer.encoder_adam is not trainer.generator_adam
    for ours, others in zip(trainer.encoder_adam.adam.means, trainer.generator_adam.adam.means, strict=True):
        assert not torch.equal(ours, others)


def test_reconstruction_is_nats_an_image(passes):
    trainer = aae_trainer()
    torch.nn.init.zeros_(trainer.model.decoder[-1].weight)
    torch.nn.init.zeros_(trainer.model.decoder[-1].bias)
    # Every pixel is 1/2 for any image: ln 2 nats per pixel.
    assert float(trainer.reconstruction_step(0)) == pytest.approx(PIXELS * math.log(2), rel=1e-6)


def test_an_undecided_discriminator_loses_ln_2(passes):
    trainer = aae_trainer()
    torch.nn.init.zeros_(trainer.model.discriminator[-1].weight)
    torch.nn.init.zeros_(trainer.model.discriminator[-1].bias)
    for_discriminator, _ = trainer.encode_minibatches(0)
    assert float(trainer.discriminator_step(0, *for_discriminator)) == pytest.approx(math.log(2), rel=1e-6)


def test_vae_against_the_plain_algorithm(passes):
    trainer, plain = vae_trainer(std=1.5), vae_trainer(std=1.5).model
    optimizer = torch.optim.Adam(plain.parameters(), lr=0.001)
    for step in range(12):
        losses = torch.tensor(trainer.iteration(step))
        images = minibatch(BATCH, step, Stream.RECONSTRUCTION)
        mean, log_variance = plain.encoder(images).split(2, dim=1)
        posterior = Normal(mean, torch.exp(log_variance / 2))
        noise = sample_prior(NormalPrior(2), BATCH, seed=SEED, step=step, stream=Stream.NOISE)
        decoded = torch.sigmoid(plain.decoder(mean + posterior.stddev * noise))
        reconstruction = F.binary_cross_entropy(decoded, images, reduction="sum") / BATCH
        kl = kl_divergence(posterior, Normal(0.0, 1.5)).sum() / BATCH
        optimizer.zero_grad()
        (reconstruction + kl).backward()
        optimizer.step()
        expected = torch.stack([reconstruction + kl, reconstruction, kl]).detach()
        torch.testing.assert_close(losses, expected, rtol=1e-4, atol=1e-6)
    for ours, theirs in zip(trainer.model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5)


@pytest.mark.parametrize("module", [backprop_cpu, backprop], ids=["native", "torch"])
@pytest.mark.parametrize("std", [0.5, 1.0, 2.0])
def test_the_posterior_against_autograd(module, std):
    """Codes, divergence and gradients, for a loss with a given gradient in the codes."""
    posterior, noise, grad_codes = (
        torch.randn(5, size, generator=torch.Generator().manual_seed(size)) for size in (6, 3, 3)
    )
    exact = posterior.double().requires_grad_()
    mean, log_variance = exact.chunk(2, dim=1)
    posteriors = Normal(mean, (log_variance / 2).exp())
    codes = mean + noise.double() * posteriors.stddev
    kl = kl_divergence(posteriors, Normal(0.0, std)).sum(dim=1).mean()
    (expected,) = torch.autograd.grad((codes * grad_codes).sum() + kl, exact)
    torch.testing.assert_close(module.sample_posterior(posterior, noise).double(), codes.detach(), rtol=0, atol=2e-6)
    found_kl, found = module.kl_to_normal(posterior, noise, grad_codes, std)
    assert float(found_kl) == pytest.approx(kl.item(), rel=1e-5)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("build", [aae_trainer, vae_trainer])
def test_a_run_is_a_function_of_its_seed(passes, build):
    def train(seed):
        trainer = build(seed=seed)
        losses = [train_epoch(trainer, epoch, 5) for epoch in (1, 2)]
        return losses, weights(trainer.model)

    (losses, model), (again, same_model), (_, other) = train(1), train(1), train(2)
    assert losses == again
    assert all(torch.equal(a, b) for a, b in zip(model, same_model, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(model, other, strict=True))


def test_epochs_go_on_where_the_last_one_ended(passes):
    whole, parts = aae_trainer(), aae_trainer()
    for step in range(6):
        whole.iteration(step)
    train_epoch(parts, 1, 3)
    train_epoch(parts, 2, 3)
    assert same(weights(whole.model), parts.model)


def test_an_epoch_returns_the_mean_of_its_losses():
    trainer, twin = aae_trainer(), aae_trainer()
    losses = torch.tensor([twin.iteration(step) for step in range(4)]).mean(dim=0)
    assert list(train_epoch(trainer, 1, 4).values()) == pytest.approx(losses.tolist(), rel=1e-6)


def test_divergence_stops_with_one_line():
    trainer = aae_trainer(autoencoder=AdamSettings(1e30, [0.9, 0.999]))
    with pytest.raises(InputError, match="diverged in epoch 1: the reconstruction loss is") as error:
        train_epoch(trainer, 1, 10)
    assert "\n" not in str(error.value)


def test_labels_against_the_plain_algorithm(passes):
    """Section 2.3 of the paper: the discriminator sees one-hot labels next to codes and next to prior samples."""
    labels = torch.arange(len(IMAGES)) % 4
    prior = MixturePrior(classes=4)
    sizes = {"pixels": PIXELS, "code_size": 2, "encoder_widths": [16], "decoder_widths": [16]}
    sizes |= {"discriminator_widths": [16], "label_classes": 4}
    settings = {"autoencoder": ADAM, "discriminator": ADAM, "generator": ADAM, "labels": labels}
    model, plain = (build_model("aae", SEED, **sizes) for _ in range(2))
    trainer = AAETrainer(model, IMAGES, prior, seed=SEED, batch_size=BATCH, steps=100, **settings)

    images, indices = draw_minibatch(IMAGES, BATCH // 2, seed=SEED, step=0, stream=Stream.DISCRIMINATOR)
    batch, targets = assemble_discriminator_batch(
        plain.encode(images).detach(), prior, BATCH // 2, seed=SEED, step=0, labels=labels[indices]
    )
    assert torch.equal(batch[: BATCH // 2, 2:], F.one_hot(labels[indices], 4).float())
    expected = F.binary_cross_entropy_with_logits(plain.discriminator(batch), targets)
    for_discriminator, for_generator = trainer.encode_minibatches(0)
    assert float(trainer.discriminator_step(0, *for_discriminator)) == pytest.approx(expected.item(), rel=1e-5)

    plain.discriminator.load_state_dict(model.discriminator.state_dict())
    generator = torch.optim.Adam(plain.encoder.parameters(), lr=0.001)
    images, indices = draw_minibatch(IMAGES, BATCH, seed=SEED, step=0, stream=Stream.GENERATOR)
    labelled = torch.cat([plain.encode(images), F.one_hot(labels[indices], 4)], dim=1)
    expected = F.binary_cross_entropy_with_logits(plain.discriminator(labelled), torch.ones(BATCH, 1))
    expected.backward()
    generator.step()
    assert float(trainer.generator_step(0, *for_generator)) == pytest.approx(expected.item(), rel=1e-5)
    for ours, theirs in zip(model.encoder.parameters(), plain.encoder.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5)
