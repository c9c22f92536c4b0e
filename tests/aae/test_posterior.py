"""AAEs whose codes are samples of q(z|x): a Gaussian, or what the encoder makes of noise (section 2.1 of the paper)."""

import json
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F

import aae
from aae import backprop, backprop_cpu
from aae.models import Recipe, build_model, find_kind
from aae.onnx_export import to_onnx
from aae.ops import Stream, draw_minibatch, sample_prior
from aae.priors import NormalPrior
from aae.snapshots import Metadata, save_snapshot
from aae.trainer import train_epoch
from tests.aae.resuming import assert_resumes
from tests.csrc.test_contract import SETTINGS

SEED, BATCH, PIXELS = 3, 8, 40
IMAGES = torch.randint(0, 256, (100, PIXELS), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=[backprop_cpu, backprop], ids=["native", "torch"])
def passes(request, monkeypatch):
    monkeypatch.setattr("aae.trainer.passes_on", lambda device: request.param)


@pytest.fixture(params=["gaussian", "universal"])
def posterior(request):
    return request.param


def trainer_of(kind: str, posterior: str):
    recipe = Recipe(kind, find_kind(kind), replace(SETTINGS[kind], posterior=posterior))
    model = build_model(kind, SEED, **recipe.sizes(pixels=PIXELS, code_size=2, classes=0))
    return model.trainer(recipe.settings, IMAGES, None, NormalPrior(2), seed=SEED, batch_size=BATCH, steps=20)


def test_against_the_plain_algorithm(posterior, passes):
    """The loop of the post with autograd; each of the three minibatches has its own noise."""
    trainer, plain = trainer_of("aae", posterior), trainer_of("aae", posterior).model
    autoencoder = torch.optim.Adam([*plain.encoder.parameters(), *plain.decoder.parameters()], lr=0.01)
    discriminator = torch.optim.Adam(plain.discriminator.parameters(), lr=0.01)
    generator = torch.optim.Adam(plain.encoder.parameters(), lr=0.01)

    def encoded(n, step, stream, noise):
        images, _ = draw_minibatch(IMAGES, n, seed=SEED, step=step, stream=stream)
        normal = sample_prior(NormalPrior(2), n, seed=SEED, step=step, stream=noise)
        if posterior == "universal":
            return images, plain.encoder(torch.cat([images, normal], dim=1))
        mean, log_variance = plain.encoder(images).split(2, dim=1)
        return images, mean + torch.exp(log_variance / 2) * normal

    def train(optimizer, loss):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    for step in range(6):
        losses = torch.tensor(trainer.iteration(step))
        images, codes = encoded(BATCH, step, Stream.RECONSTRUCTION, Stream.RECONSTRUCTION_CODES)
        loss = F.binary_cross_entropy_with_logits(plain.decoder(codes), images)
        reconstruction = train(autoencoder, loss) * PIXELS
        _, codes = encoded(BATCH // 2, step, Stream.DISCRIMINATOR, Stream.DISCRIMINATOR_CODES)
        drawn = sample_prior(NormalPrior(2), BATCH // 2, seed=SEED, step=step)
        answers = plain.discriminator(torch.cat([codes.detach(), drawn]))
        signs = torch.cat([torch.ones(BATCH // 2, 1), -torch.ones(BATCH // 2, 1)])
        telling = train(discriminator, F.softplus(signs * answers).mean())
        _, codes = encoded(BATCH, step, Stream.GENERATOR, Stream.GENERATOR_CODES)
        fooling = train(generator, F.softplus(-plain.discriminator(codes)).mean())
        torch.testing.assert_close(losses, torch.stack([reconstruction, telling, fooling]), rtol=1e-3, atol=0)
    # Six Adam steps of at most about 0.01, two of them on the encoder, move a weight by up to 0.12.
    for ours, theirs in zip(trainer.model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-4)


@pytest.mark.parametrize("kind", ["aae", "aae_joint"])
def test_a_restored_training_goes_on_with_the_same_bits(kind, posterior, passes):
    assert_resumes(trainer_of(kind, posterior), trainer_of(kind, posterior))


@pytest.mark.parametrize("kind", ["aae", "aae_joint"])
def test_a_snapshot_is_used_like_any_other(kind, posterior, tmp_path):
    trainer = trainer_of(kind, posterior)
    train_epoch(trainer, 1, 5)
    save_snapshot(tmp_path, 1, trainer.published(), Metadata(NormalPrior(2), (8, 5, 1), ()))
    model = aae.load(tmp_path)
    images = IMAGES.numpy().reshape(100, 8, 5)
    codes = model.encode(images)
    outputs = trainer.encode(IMAGES / 255)
    assert np.array_equal(codes, outputs[:, :2].numpy()), (
        "the means or the codes without noise, with the bits of training"
    )
    assert model.decode(codes).shape == model.reconstruct(images).shape == model.sample(100).shape == (100, 8, 5)
    assert np.array_equal(model.decode(codes), model.reconstruct(images))
    assert model.encode(images[:0]).shape == (0, 2)


def test_the_codes_of_a_universal_approximator():
    """Its outputs have the codes without noise and those of the given noise, and what training stores has the same."""
    trainer = trainer_of("aae_joint", "universal")
    train_epoch(trainer, 1, 5)
    model, images, noise = trainer.published(), IMAGES / 255, sample_prior(NormalPrior(2), 100, seed=1, step=0)
    outputs = model.outputs(images, noise).detach()
    assert outputs.shape == (100, model.output_size)
    codes = model.codes(outputs, noise)
    torch.testing.assert_close(codes[""], model.encode(images))
    torch.testing.assert_close(codes["_sampled"], model.encoder(torch.cat([images, noise], dim=1)))
    torch.testing.assert_close(trainer.encode(images, noise), outputs)
    assert (codes["_sampled"] - codes[""]).abs().min() > 0


def test_onnx_has_the_codes_without_noise(tmp_path):
    save_snapshot(tmp_path, 1, trainer_of("aae", "universal").model, Metadata(NormalPrior(2), (8, 5, 1), ()))
    model, images = aae.load(tmp_path), IMAGES.numpy().reshape(100, 8, 5)
    session = onnxruntime.InferenceSession(to_onnx(model, "both"), providers=["CPUExecutionProvider"])
    codes, decoded = session.run(None, {"images": (images / 255).astype(np.float32)})
    np.testing.assert_allclose(codes, model.encode(images), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(decoded, model.reconstruct(images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("posterior", "inputs", "outputs"),
    [("deterministic", PIXELS, 2), ("gaussian", PIXELS, 4), ("universal", PIXELS + 2, 2)],
)
def test_only_a_choice_other_than_the_default_is_in_a_snapshot(posterior, inputs, outputs, tmp_path):
    """So snapshots of deterministic encoders keep their bytes."""
    model = trainer_of("aae", posterior).model
    save_snapshot(tmp_path, 0, model, Metadata(NormalPrior(2), (8, 5, 1), ()))
    sizes = json.loads((tmp_path / "config.json").read_text())["sizes"]
    assert sizes.get("posterior", "deterministic") == posterior
    assert ("posterior" in sizes) == (posterior != "deterministic")
    assert (model.encoder[0].in_features, model.encoder[-1].out_features) == (inputs, outputs)
