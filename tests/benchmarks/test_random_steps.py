"""The random part of a training step: the native ops, plain PyTorch, and the post's NumPy expression.

Each result is checked before it is timed. `make bench` runs these; the test suite skips them.
"""

from functools import partial

import aae_native
import numpy as np
import pytest
import torch

from aae import reference
from aae.ops import Stream, assemble_discriminator_batch, draw_minibatch, sample_prior
from aae.priors import MixturePrior, NormalPrior, SwissRollPrior, UniformPrior

HALF, BATCH, PIXELS, LARGE = 64, 128, 784, 1_000_000
PRIOR = NormalPrior(2)
CODES = torch.randn(HALF, 2, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randint(0, 256, (10_000, PIXELS), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def native_batch():
    return assemble_discriminator_batch(CODES, PRIOR, HALF, seed=0, step=1)


def native_batch_out(out=(torch.empty(2 * HALF, 2), torch.empty(2 * HALF, 1))):  # noqa: B008  (reused on purpose)
    return assemble_discriminator_batch(CODES, PRIOR, HALF, seed=0, step=1, out=out)


def torch_batch():
    batch = torch.cat([CODES, torch.randn(HALF, 2)])
    return batch, torch.cat([torch.zeros(HALF, 1), torch.ones(HALF, 1)])


def post_batch():
    codes = CODES.numpy()
    batch = np.vstack([codes, np.random.multivariate_normal([0, 0], np.eye(2), HALF)])
    return batch, np.vstack([np.zeros((HALF, 1)), np.ones((HALF, 1))])


@pytest.mark.benchmark(group=f"discriminator batch, {HALF} codes + {HALF} samples")
@pytest.mark.parametrize("make", [native_batch, native_batch_out, torch_batch, post_batch])
def test_discriminator_batch(benchmark, make):
    batch, targets = (np.asarray(part) for part in make())
    assert batch.shape == (2 * HALF, 2)
    assert np.array_equal(batch[:HALF], CODES.numpy())
    assert targets.ravel().tolist() == [0] * HALF + [1] * HALF
    benchmark(make)


def native_minibatch():
    return draw_minibatch(IMAGES, BATCH, seed=0, step=1, stream=Stream.RECONSTRUCTION)


def native_minibatch_out(out=(torch.empty(BATCH, PIXELS), torch.empty(BATCH, dtype=torch.int64))):  # noqa: B008
    return draw_minibatch(IMAGES, BATCH, seed=0, step=1, stream=Stream.RECONSTRUCTION, out=out)


def torch_minibatch():
    indices = torch.randint(0, len(IMAGES), (BATCH,))
    return IMAGES[indices].float().div(255), indices


@pytest.mark.benchmark(group=f"minibatch, {BATCH} x {PIXELS}")
@pytest.mark.parametrize("make", [native_minibatch, native_minibatch_out, torch_minibatch])
def test_minibatch(benchmark, make):
    images, indices = make()
    assert torch.equal(images, IMAGES[indices].float() / 255)
    benchmark(make)


# These measure how fast numbers are generated. All therefore write to existing memory, except the post's expression,
# which cannot.
NORMALS = torch.empty(LARGE // 2, 2)


def native_normals(threads):
    aae_native.set_threads(threads)
    return sample_prior(PRIOR, LARGE // 2, seed=0, step=1, out=NORMALS)


def native_normals_one_core():
    return native_normals(1)


def native_normals_two_threads():
    return native_normals(2)


def torch_normals():
    return NORMALS.normal_()


def numpy_normals(generator=np.random.default_rng(0)):  # noqa: B008
    return generator.standard_normal(out=NORMALS.numpy(), dtype=np.float32)


def post_normals():
    return np.random.multivariate_normal([0, 0], np.eye(2), LARGE // 2)


@pytest.fixture
def threads():
    before = aae_native.get_threads()
    yield
    aae_native.set_threads(before)


@pytest.mark.benchmark(group=f"prior samples, {LARGE:,} normals")
@pytest.mark.parametrize(
    "make", [native_normals_one_core, native_normals_two_threads, torch_normals, numpy_normals, post_normals]
)
@pytest.mark.usefixtures("threads")
def test_normals(benchmark, make):
    normals = np.asarray(make())
    # The standard errors of n normals' mean and variance are 1/sqrt(n) and sqrt(2/n). One in 1e9 deviates by six.
    assert abs(normals.mean(dtype=np.float64)) < 6 / LARGE**0.5
    assert abs(normals.var(dtype=np.float64) - 1) < 6 * (2 / LARGE) ** 0.5
    note_speed(benchmark, make, LARGE, normals.nbytes)


PRIORS = [NormalPrior(2), UniformPrior(2), MixturePrior(), SwissRollPrior()]


@pytest.mark.benchmark(group=f"priors, {LARGE:,} values on one core")
@pytest.mark.parametrize("prior", PRIORS, ids=[prior.kind for prior in PRIORS])
@pytest.mark.usefixtures("threads")
def test_priors(benchmark, prior):
    aae_native.set_threads(1)
    rows = sample_prior(prior, 1000, seed=0, step=1)
    np.testing.assert_array_equal(rows.numpy(), reference.sample_prior(prior, 1000, seed=0, step=1))
    make = partial(sample_prior, prior, LARGE // 2, seed=0, step=1, out=NORMALS)
    note_speed(benchmark, make, LARGE, NORMALS.nbytes)


def note_speed(benchmark, make, values, nbytes):
    """Times `make` and records, for its fastest round, nanoseconds per value and bytes written per second."""
    benchmark(make)
    if benchmark.stats is not None:  # None with --benchmark-disable
        fastest = benchmark.stats["min"]
        benchmark.extra_info["ns per value"] = round(fastest / values * 1e9, 3)
        benchmark.extra_info["GB/s"] = round(nbytes / fastest / 1e9, 2)
