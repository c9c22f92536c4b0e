"""The random part of a training step: the native ops, plain PyTorch, and the post's NumPy expression.

Each result is checked before it is timed. `make bench` runs these; the tests leave them out.
"""

import numpy as np
import pytest
import torch

from aae.ops import Stream, assemble_discriminator_batch, draw_minibatch, sample_prior
from aae.priors import NormalPrior

HALF, BATCH, PIXELS, LARGE = 64, 128, 784, 1_000_000
CODES = torch.randn(HALF, 2, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randint(0, 256, (10_000, PIXELS), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def native_batch():
    return assemble_discriminator_batch(CODES, NormalPrior(2), HALF, seed=0, step=1)


def torch_batch():
    batch = torch.cat([CODES, torch.randn(HALF, 2)])
    return batch, torch.cat([torch.zeros(HALF, 1), torch.ones(HALF, 1)])


def post_batch():
    codes = CODES.numpy()
    batch = np.vstack([codes, np.random.multivariate_normal([0, 0], np.eye(2), HALF)])
    return batch, np.vstack([np.zeros((HALF, 1)), np.ones((HALF, 1))])


@pytest.mark.benchmark(group=f"discriminator batch, {HALF} codes + {HALF} samples")
@pytest.mark.parametrize("make", [native_batch, torch_batch, post_batch])
def test_discriminator_batch(benchmark, make):
    batch, targets = (np.asarray(part) for part in make())
    assert batch.shape == (2 * HALF, 2)
    assert np.array_equal(batch[:HALF], CODES.numpy())
    assert targets.ravel().tolist() == [0] * HALF + [1] * HALF
    benchmark(make)


def native_minibatch():
    return draw_minibatch(IMAGES, BATCH, seed=0, step=1, stream=Stream.RECONSTRUCTION)


def torch_minibatch():
    indices = torch.randint(0, len(IMAGES), (BATCH,))
    return IMAGES[indices].float().div(255), indices


@pytest.mark.benchmark(group=f"minibatch, {BATCH} x {PIXELS}")
@pytest.mark.parametrize("make", [native_minibatch, torch_minibatch])
def test_minibatch(benchmark, make):
    images, indices = make()
    assert torch.equal(images, IMAGES[indices].float() / 255)
    benchmark(make)


def native_normals():
    return sample_prior(NormalPrior(2), LARGE // 2, seed=0, step=1)


def torch_normals():
    return torch.randn(LARGE // 2, 2)


def numpy_normals():
    return np.random.default_rng().standard_normal((LARGE // 2, 2), dtype=np.float32)


def post_normals():
    return np.random.multivariate_normal([0, 0], np.eye(2), LARGE // 2)


@pytest.mark.benchmark(group=f"prior samples, {LARGE:,} normals")
@pytest.mark.parametrize("make", [native_normals, torch_normals, numpy_normals, post_normals])
def test_normals(benchmark, make):
    normals = np.asarray(make())
    # Mean and variance of n normals stray from 0 and 1 by 1/sqrt(n) and sqrt(2/n); six times that is one in 1e9.
    assert abs(normals.mean()) < 6 / LARGE**0.5
    assert abs(normals.var() - 1) < 6 * (2 / LARGE) ** 0.5
    benchmark(make)
