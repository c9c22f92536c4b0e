"""A billion normals against the normal distribution, and the independence of samples that should be independent.

Slow: `pytest --slow -n 0 -s tests/csrc/test_statistics.py` takes minutes and prints the numbers in docs/results.md. The
samples are fixed, so a test that passes once always passes. Each test's threshold is one p-value of 1e-4 over all of
its comparisons.
"""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtr

from aae.ops import sample_prior
from aae.priors import NormalPrior

pytestmark = pytest.mark.slow

N, CHUNK, BINS = 2**30, 2**22, 2**16
LAGS = (1, 2, 3, 4, 5, 8, 16, 1024)


def normals(n=CHUNK, **draw):
    return sample_prior(NormalPrior(1), n, **({"seed": 0, "step": 0} | draw)).numpy().ravel()


@pytest.fixture(scope="module")
def counts():
    """The number of N normals in each of BINS equally probable bins, and beyond ±4 and ±5."""
    bins, tails = np.zeros(BINS, np.int64), np.zeros(4, np.int64)
    for offset in range(0, N, CHUNK):
        z = normals(offset=offset)
        bins += np.bincount((ndtr(z.astype(np.float64)) * BINS).astype(np.int64), minlength=BINS)
        tails += [np.count_nonzero(z < -5), np.count_nonzero(z < -4), np.count_nonzero(z > 4), np.count_nonzero(z > 5)]
    assert bins.sum() == N
    return bins, tails


def report(name, statistic, p):
    print(f"\n{name}: {statistic}, p = {p:.3g}")
    assert p > 1e-4


def test_chi_squared(counts):
    statistic, p = stats.chisquare(counts[0])
    report(f"chi² of {N:,} normals in {BINS:,} bins", f"{statistic:.0f} on {BINS - 1:,} degrees of freedom", p)


def test_kolmogorov_smirnov(counts):
    """The largest deviation at the bins' edges. Between two edges it can be larger by about 1/BINS^1.5."""
    distance = np.abs(np.cumsum(counts[0]) / N - np.arange(1, BINS + 1) / BINS).max()
    report("Kolmogorov-Smirnov", f"{distance:.2e}", stats.kstwobign.sf(distance * math.sqrt(N)))


def test_anderson_darling(counts):
    """A² as an integral over the distribution function, at the bins' edges, with Anderson and Darling's law (1952)."""
    u = np.arange(1, BINS) / BINS
    difference = np.cumsum(counts[0])[:-1] / N - u
    statistic = N * np.mean(difference**2 / (u * (1 - u))) * (BINS - 1) / BINS
    # The limiting law is that of the sum of chi²(1) / (k (k + 1)), sampled here.
    k = np.arange(1, 200)
    law = np.random.default_rng(0).chisquare(1, (20_000, len(k))) @ (1 / (k * (k + 1)))
    report("Anderson-Darling", f"A² = {statistic:.3f}", np.mean(law >= statistic))


def test_tails(counts):
    beyond = N * ndtr([-5.0, -4.0, -4.0, -5.0])
    inner = np.array([counts[1][0], counts[1][1] - counts[1][0], counts[1][2] - counts[1][3], counts[1][3]])
    expected = np.array([beyond[0], beyond[1] - beyond[0], beyond[2] - beyond[3], beyond[3]])
    statistic = ((inner - expected) ** 2 / expected).sum()
    found = f"{counts[1].tolist()} beyond -5, -4, 4, 5 where {beyond.round(1).tolist()} are expected"
    report(f"tails: {found}; chi²", f"{statistic:.2f} on 4 degrees of freedom", stats.chi2.sf(statistic, 4))


def test_independence():
    """Correlations of z and of z² between neighbours, steps, streams, seeds. Times sqrt(n), each is nearly N(0, 1)."""
    n, scores = 2**26, {}
    here = normals(n)
    others = {f"lag {lag}": normals(n, offset=lag) for lag in LAGS}
    others |= {f"step {step}": normals(n, step=step) for step in (1, 2, 2**32)}
    others |= {f"stream {stream}": normals(n, stream=stream) for stream in (1, 2, 2**15)}
    others |= {f"seed {seed}": normals(n, seed=seed) for seed in (1, 2**32)}
    for name, other in others.items():
        scores[name] = float(here.astype(np.float64) @ other)
        scores[f"{name}, squares"] = float((here.astype(np.float64) ** 2 - 1) @ (other.astype(np.float64) ** 2 - 1)) / 2
    values = np.array(list(scores.values())) / math.sqrt(n)
    worst = list(scores)[int(np.abs(values).argmax())]
    p = stats.chi2.sf((values**2).sum(), len(values))
    report(f"{len(values)} correlations of {n:,} normals, the largest {worst}", f"chi² {(values**2).sum():.1f}", p)
