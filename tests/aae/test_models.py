"""The networks are those of the post, and their initialisation depends only on the seed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from aae.models import build_model

ROOT = Path(__file__).parents[2]

POST = {"pixels": 784, "code_size": 2, "encoder_widths": [512], "decoder_widths": [512]}


def shapes(network):
    return [tuple(parameter.shape) for parameter in network.parameters()]


def test_the_posts_aae():
    model = build_model("aae", 0, **POST, discriminator_widths=[512])
    assert shapes(model.encoder) == [(512, 784), (512,), (2, 512), (2,)]
    assert shapes(model.decoder) == [(512, 2), (512,), (784, 512), (784,)]
    assert shapes(model.discriminator) == [(512, 2), (512,), (1, 512), (1,)]
    # The code is linear in the last hidden layer, so it has both signs and no bound.
    assert isinstance(model.encoder[-1], torch.nn.Linear)
    assert isinstance(model.encoder[1], torch.nn.ReLU)


def test_the_vae_of_the_same_size_differs_only_in_its_log_variance():
    model = build_model("vae", 0, **POST)
    assert shapes(model.encoder) == [(512, 784), (512,), (4, 512), (4,)]
    assert shapes(model.decoder) == [(512, 2), (512,), (784, 512), (784,)]
    images = torch.rand(3, 784)
    mean, log_variance = model.posterior(images)
    assert mean.shape == log_variance.shape == (3, 2)
    torch.testing.assert_close(model.encode(images), model.encoder(images)[:, :2])


@pytest.mark.parametrize("name", ["aae", "vae"])
def test_any_depth_and_size(name):
    extra = {"discriminator_widths": [6]} if name == "aae" else {}
    model = build_model(name, 1, pixels=15, code_size=3, encoder_widths=[8, 7], decoder_widths=[5, 9], **extra)
    images = torch.rand(4, 15)
    assert model.encode(images).shape == (4, 3)
    assert model.decode(model.encode(images)).shape == (4, 15)


def test_initialisation_is_a_function_of_the_seed():
    build = lambda seed: build_model("vae", seed, **POST).state_dict()  # noqa: E731
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second, other = build(3), build(3), build(4)
    assert torch.equal(torch.get_rng_state(), before), "the global generator is unchanged"
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not any(torch.equal(first[key], other[key]) for key in first)


WEIGHTS = """
import hashlib
from aae.models import build_model
model = build_model("vae", 3, pixels=784, code_size=2, encoder_widths=[512], decoder_widths=[512])
print([hashlib.sha256(tensor.numpy().tobytes()).hexdigest() for tensor in model.state_dict().values()])
"""


def test_initialisation_is_the_same_with_and_without_fma():
    """PyTorch's own initialisation differs between these two."""
    digests = set()
    for capability in ("default", "avx2"):
        environment = os.environ | {"ATEN_CPU_CAPABILITY": capability}
        run = subprocess.run(
            [sys.executable, "-c", WEIGHTS], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        digests.add(run.stdout)
    assert len(digests) == 1
