"""The priors against their densities, and minibatch indices against the uniform distribution."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from scipy import stats

from aae import ops
from aae.ops import Stream
from aae.priors import MixturePrior, NormalPrior, SwissRollPrior, UniformPrior

# --- statistics: every tolerance is five standard errors, p-values above 1e-6 -----------------------

N = 1_000_000


@pytest.fixture(scope="module")
def z():
    """Samples whose columns are a block's four lanes."""
    return ops.sample_prior(NormalPrior(4), N // 4, seed=1, step=1).numpy().astype(np.float64)


def test_moments(z):
    assert abs(z.mean()) < 5 / np.sqrt(N)
    assert abs((z**2).mean() - 1) < 5 * np.sqrt(2 / N)
    assert abs((z**3).mean()) < 5 * np.sqrt(15 / N)
    assert abs((z**4).mean() - 3) < 5 * np.sqrt(96 / N)


def test_distribution(z):
    assert stats.kstest(z.reshape(-1), "norm").pvalue > 1e-6
    for lane in z.T:
        assert stats.kstest(lane, "norm").pvalue > 1e-6
    assert stats.kstest((z[:, 0] ** 2 + z[:, 1] ** 2), "chi2", args=(2,)).pvalue > 1e-6


@pytest.mark.parametrize("sigma", [2, 3, 4])
def test_tails(z, sigma):
    for tail in (z < -sigma, z > sigma):
        expected = N * stats.norm.sf(sigma)
        assert abs(tail.sum() - expected) < 5 * np.sqrt(expected)


def test_lanes_and_neighbours_are_uncorrelated(z):
    n = len(z)
    correlation = np.corrcoef(z.T) - np.eye(4)
    assert np.abs(correlation).max() < 5 / np.sqrt(n)
    for lag in (1, 2, 64):
        assert np.abs((z[lag:] * z[:-lag]).mean(axis=0)).max() < 5 / np.sqrt(n - lag)


@pytest.mark.parametrize(
    "other", [{"seed": 2}, {"seed": 1 + 2**32}, {"step": 2}, {"step": 1 + 2**32}, {"stream": 1}], ids=str
)
def test_seeds_steps_and_streams_are_independent(z, other):
    other = ops.sample_prior(NormalPrior(4), N // 4, **{"seed": 1, "step": 1, **other}).numpy()
    assert abs((z * other).mean()) < 5 / np.sqrt(N)


def test_std_scales(z):
    scaled = ops.sample_prior(NormalPrior(4, 5.0), N // 4, seed=1, step=1).numpy()
    np.testing.assert_array_equal(scaled, z.astype(np.float32) * np.float32(5))


def test_indices_are_uniform():
    rows = 1000
    _, indices = ops.draw_minibatch(torch.empty(rows, 0, dtype=torch.uint8), N, seed=1, step=1, stream=Stream.GENERATOR)
    assert stats.chisquare(np.bincount(indices, minlength=rows)).pvalue > 1e-6
    pairs = indices.numpy().reshape(-1, 2) // 40
    assert stats.chisquare(np.bincount(pairs[:, 0] * 25 + pairs[:, 1], minlength=625)).pvalue > 1e-6


@pytest.mark.parametrize("bound", [1.0, 2.5])
def test_uniform(bound):
    columns = ops.sample_prior(UniformPrior(3, bound), N // 4, seed=1, step=1).numpy().T
    for x in columns:
        assert stats.kstest(x, "uniform", args=(-bound, 2 * bound)).pvalue > 1e-6
    # The extremes of a quarter of a million samples are within 100 / N of the bounds, but for a chance of e^-25 each.
    assert bound * (1 - 200 / N) < columns.max() <= bound
    assert -bound <= columns.min() < -bound * (1 - 200 / N)
    assert np.abs(np.corrcoef(columns) - np.eye(3)).max() < 5 / np.sqrt(N // 4)


def labelled(prior, n=N // 4):
    """Samples without given labels, and the classes from which they were drawn."""
    batch, _ = ops.assemble_discriminator_batch(
        torch.empty(0, 2), prior, n, seed=1, step=1, labels=torch.empty(0, dtype=torch.int64)
    )
    assert (batch[:, 2:].sum(dim=1) == 1).all()
    return batch[:, :2].double().numpy(), batch[:, 2:].argmax(dim=1).numpy()


@pytest.mark.parametrize("prior", [MixturePrior(), MixturePrior(3), SwissRollPrior(), SwissRollPrior(7)], ids=str)
def test_classes_are_uniform_and_independent_of_their_neighbours(prior):
    _, classes = labelled(prior)
    assert stats.chisquare(np.bincount(classes, minlength=prior.classes)).pvalue > 1e-6
    pairs = np.bincount(classes[::2] * prior.classes + classes[1::2], minlength=prior.classes**2)
    assert stats.chisquare(pairs).pvalue > 1e-6


def test_streams_draw_classes_of_their_own():
    """At the same seed and step, one class in ten agrees between two streams, as for independent rows."""
    prior, n = MixturePrior(radial_std=0.01, tangential_std=0.01), 10_000

    def classes(stream):
        x, y = ops.sample_prior(prior, n, seed=1, step=1, stream=stream).double().numpy().T
        return np.rint(np.arctan2(y, x) / (2 * np.pi) * prior.classes) % prior.classes

    for one, other in [(Stream.PRIOR, Stream.EVALUATION), (0, 2**15 - 1)]:
        agreeing = (classes(one) == classes(other)).mean()
        assert abs(agreeing - 0.1) < 5 * np.sqrt(0.1 * 0.9 / n)


@pytest.mark.parametrize("prior", [MixturePrior(), MixturePrior(7, 0.0, 0.3, 2.0)], ids=str)
def test_mixture(prior):
    """Rotated back by its class's angle, a sample is normal along and across the line to its centre."""
    z, classes = labelled(prior)
    angle = 2 * np.pi * classes / prior.classes
    along = z[:, 0] * np.cos(angle) + z[:, 1] * np.sin(angle)
    across = z[:, 1] * np.cos(angle) - z[:, 0] * np.sin(angle)
    assert stats.kstest(along, "norm", args=(prior.radius, prior.radial_std)).pvalue > 1e-6
    assert stats.kstest(across, "norm", args=(0, prior.tangential_std)).pvalue > 1e-6
    for one in range(prior.classes):
        assert stats.kstest(along[classes == one], "norm", args=(prior.radius, prior.radial_std)).pvalue > 1e-6
    assert abs(np.corrcoef(along, across)[0, 1]) < 5 / np.sqrt(len(z))


@pytest.mark.parametrize("prior", [SwissRollPrior(), SwissRollPrior(7, 2.0, 5.5)], ids=str)
def test_swiss_roll(prior):
    """sqrt(u) is the distance divided by the radius. u is uniform within its class's segment and gives the angle."""
    z, classes = labelled(prior)
    s = np.hypot(*z.T) / prior.radius
    u = s**2
    assert stats.kstest(u, "uniform").pvalue > 1e-6
    # float32 rounds s, its product with the radius, and the products with sine and cosine: four half units of s.
    error = 4 * 2.0**-24
    assert (s >= np.sqrt(classes / prior.classes) - error).all()
    assert (s <= np.sqrt((classes + 1) / prior.classes) + error).all()
    off = (np.arctan2(z[:, 1], z[:, 0]) / (2 * np.pi) - prior.turns * s + 0.5) % 1 - 0.5
    # The angle's error, in turns: the rounding of turns * s, and of sine and cosine.
    assert np.abs(off).max() < prior.turns * (error + 2.0**-24) + 2.0**-24


# --- the priors as values -----------------------------------------------------------------------------


@pytest.mark.parametrize("prior", [NormalPrior(3, 2.0), UniformPrior(2), MixturePrior(7), SwissRollPrior()], ids=str)
def test_priors_are_values(prior):
    assert eval(repr(prior)) == prior
    samples = ops.sample_prior(prior, 5, seed=1, step=1)
    for twin in (copy.deepcopy(prior), pickle.loads(pickle.dumps(prior))):
        assert twin == prior
        assert hash(twin) == hash(prior)
        assert torch.equal(ops.sample_prior(twin, 5, seed=1, step=1), samples)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: NormalPrior(0), ValueError, r"NormalPrior: dim must be within \[1, 2147483647\], got 0"),
        (lambda: NormalPrior(2.0), TypeError, "NormalPrior: dim must be an int, got float"),
        (lambda: NormalPrior(2, 0.0), ValueError, r"NormalPrior: std must be within \[2\^-60, 2\^60\], got 0.0"),
        (lambda: NormalPrior(2, float("nan")), ValueError, "NormalPrior: std must be within"),
        (lambda: NormalPrior(2, "1"), TypeError, "NormalPrior: std must be a number, got str"),
        (lambda: UniformPrior(-1), ValueError, "UniformPrior: dim must be within"),
        (lambda: UniformPrior(2, float("inf")), ValueError, "UniformPrior: bound must be within"),
        (lambda: MixturePrior(0), ValueError, r"MixturePrior: classes must be within \[1, 256\], got 0"),
        (lambda: MixturePrior(257), ValueError, r"MixturePrior: classes must be within \[1, 256\], got 257"),
        (lambda: MixturePrior(radius=-1.0), ValueError, "MixturePrior: radius must be within"),
        (lambda: MixturePrior(radial_std=0.0), ValueError, "MixturePrior: radial_std must be within"),
        (lambda: MixturePrior(tangential_std=2e30), ValueError, "MixturePrior: tangential_std must be within"),
        (lambda: SwissRollPrior(10.0), TypeError, "SwissRollPrior: classes must be an int, got float"),
        (lambda: SwissRollPrior(radius=0.0), ValueError, "SwissRollPrior: radius must be within"),
        (lambda: SwissRollPrior(turns=2000.0), ValueError, r"SwissRollPrior: turns must be within \[2\^-10, 2\^10\]"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_outlines():
    for (label, line), k in zip(NormalPrior(2, 1.5).outline(), (1, 2, 3), strict=True):
        assert label == f"{k}\u03c3"
        assert np.hypot(*line.T) == pytest.approx(1.5 * k)
    ((_, square),) = UniformPrior(2, 2.0).outline()
    assert np.abs(square).max(axis=1).tolist() == [2.0] * 5
    ellipses = MixturePrior(10, 1.4, 0.5, 0.1).outline()
    assert len(ellipses) == 10
    for k, (_, line) in enumerate(ellipses):
        angle = 2 * math.pi * k / 10
        assert line[:-1].mean(axis=0) == pytest.approx([1.4 * math.cos(angle), 1.4 * math.sin(angle)])
        along = line @ [math.cos(angle), math.sin(angle)]
        assert [along.min(), along.max()] == pytest.approx([0.4, 2.4]), "it spans 2 standard deviations"
    ((_, roll),) = SwissRollPrior(10, 3.0, 2.0).outline()
    assert roll[-1] == pytest.approx([3, 0], abs=1e-9)
    assert np.hypot(*roll.T) == pytest.approx(np.linspace(0, 3, len(roll)))
