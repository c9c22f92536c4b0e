"""The ops against their NumPy twins, bit for bit; splits, statistics, compilation and errors."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch._dynamo.testing import CompileCounterWithBackend
from torch.library import opcheck

from aae import ops, reference
from aae.ops import Stream
from aae.priors import NormalPrior

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
devices = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.cuda, needs_cuda])])

draws = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**63 - 1),
        "step": st.integers(0, 2**48 - 1),
        "stream": st.integers(0, 2**16 - 1),
    }
)
offsets = st.integers(0, 100) | st.integers(2**32 - 50, 2**32 + 50) | st.integers(0, 2**59)
sizes = st.integers(0, 40) | st.integers(1000, 1100)
priors = st.builds(NormalPrior, dim=st.integers(1, 9), std=st.floats(2.0**-60, 2.0**60))


def images(rows, pixels):
    return (torch.arange(rows * pixels) * 37 % 256).to(torch.uint8).reshape(rows, pixels)


def assert_same_bits(tensor, array):
    tensor = tensor.cpu().numpy()
    assert tensor.dtype == array.dtype
    assert tensor.shape == array.shape
    assert tensor.tobytes() == array.tobytes()


# --- the same bits as the reference -----------------------------------------------------------------


@devices
@given(
    words=st.lists(st.lists(st.integers(0, 2**32 - 1), min_size=4, max_size=4), max_size=9),
    key=st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=2),
)
def test_philox4x32(device, words, key):
    counter = torch.tensor(words, dtype=torch.int64, device=device).reshape(-1, 4)
    result = ops.philox4x32(counter, torch.tensor(key, device=device))
    assert result.device == counter.device
    assert_same_bits(result, reference.philox4x32(counter.cpu().numpy(), key).astype(np.int64))


@devices
@given(prior=priors, n=sizes, offset=offsets, draw=draws)
def test_sample_prior(device, prior, n, offset, draw):
    z = ops.sample_prior(prior, n, offset=offset, device=device, **draw)
    assert z.device.type == device
    assert_same_bits(z, reference.sample_prior(prior, n, offset=offset, **draw))


@devices
@given(prior=priors, n=sizes, n_prior=sizes, offset=offsets, draw=draws)
def test_assemble_discriminator_batch(device, prior, n, n_prior, offset, draw):
    draw = {"seed": draw["seed"], "step": draw["step"], "offset": offset}
    codes = torch.randn(n, prior.dim, device=device)
    result = ops.assemble_discriminator_batch(codes, prior, n_prior, **draw)
    expected = reference.assemble_discriminator_batch(codes.cpu().numpy(), prior, n_prior, **draw)
    for tensor, array in zip(result, expected, strict=True):
        assert tensor.device == codes.device
        assert_same_bits(tensor, array)


@devices
@given(rows=st.integers(1, 300), pixels=st.integers(0, 40), n=sizes, offset=offsets, draw=draws)
def test_draw_minibatch(device, rows, pixels, n, offset, draw):
    pool = images(rows, pixels).to(device)
    result = ops.draw_minibatch(pool, n, offset=offset, **draw)
    expected = reference.draw_minibatch(pool.cpu().numpy(), n, offset=offset, **draw)
    for tensor, array in zip(result, expected, strict=True):
        assert tensor.device == pool.device
        assert_same_bits(tensor, array)


@given(rows=st.integers(2**32 - 1000, 2**32 - 1) | st.integers(1, 2**32 - 1), draw=draws)
def test_indices_of_very_many_images(rows, draw):
    pool = torch.empty(rows, 0, dtype=torch.uint8)
    words = reference.random_words(**draw, first_block=0, blocks=50).astype(object)
    exact = [(low + (high << 32)) * rows >> 64 for low, high in words.reshape(-1, 2)]
    assert ops.draw_minibatch(pool, 100, **draw)[1].tolist() == exact


def test_every_pixel_value_is_correctly_rounded():
    pool = torch.arange(256, dtype=torch.uint8).reshape(1, 256)
    exact = (np.arange(256) / 255).astype(np.float32)
    drawn, _ = ops.draw_minibatch(pool, 1, seed=0, step=0, stream=0)
    np.testing.assert_array_equal(drawn[0].numpy(), exact)


# --- what the contract promises ---------------------------------------------------------------------


@given(prior=priors, n=sizes, cut=st.integers(0, 1100), offset=offsets, draw=draws)
def test_parts_are_the_whole(prior, n, cut, offset, draw):
    cut = min(cut, n)
    whole = ops.sample_prior(prior, n, offset=offset, **draw)
    parts = [
        ops.sample_prior(prior, cut, offset=offset, **draw),
        ops.sample_prior(prior, n - cut, offset=offset + cut, **draw),
    ]
    assert torch.equal(torch.cat(parts), whole)

    pool = images(100, 3)
    whole = ops.draw_minibatch(pool, n, offset=offset, **draw)
    first = ops.draw_minibatch(pool, cut, offset=offset, **draw)
    second = ops.draw_minibatch(pool, n - cut, offset=offset + cut, **draw)
    for a, b, both in zip(first, second, whole, strict=True):
        assert torch.equal(torch.cat([a, b]), both)


def test_assembled_rows_are_those_of_sample_prior():
    prior = NormalPrior(2, 5.0)
    batch, _ = ops.assemble_discriminator_batch(torch.zeros(3, 2), prior, 8, seed=1, step=2, offset=4)
    assert torch.equal(batch[3:], ops.sample_prior(prior, 8, seed=1, step=2, stream=Stream.PRIOR, offset=4))


def test_stream_numbers_are_frozen():
    assert {stream.name: stream.value for stream in Stream} == {
        "PRIOR": 0,
        "RECONSTRUCTION": 1,
        "DISCRIMINATOR": 2,
        "GENERATOR": 3,
        "NOISE": 4,
        "EVALUATION": 5,
        "CLASS": 6,
    }


def test_defaults_of_dtype_and_device_do_not_matter():
    prior, pool, codes = NormalPrior(2), images(10, 4), torch.randn(3, 2)

    def everything():
        return [
            ops.sample_prior(prior, 5, seed=1, step=2),
            *ops.assemble_discriminator_batch(codes, prior, 5, seed=1, step=2),
            *ops.draw_minibatch(pool, 5, seed=1, step=2, stream=3),
        ]

    expected = everything()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            got = everything()
    finally:
        torch.set_default_dtype(torch.float32)
    for tensor, before in zip(got, expected, strict=True):
        assert tensor.dtype == before.dtype
        assert torch.equal(tensor, before)


# --- statistics: every tolerance is five standard errors, p-values above 1e-6 -----------------------

N = 1_000_000


@pytest.fixture(scope="module")
def z():
    """Columns are a block's four lanes."""
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


# --- compilation ------------------------------------------------------------------------------------

RAW = {
    "philox4x32": lambda: (torch.tensor([[1, 2, 3, 4]]), torch.tensor([5, 6])),
    "sample_prior": lambda: (torch.empty(7, 3), None, None, "normal", 0, [1.5], 1, 2, 3, 4),
    "sample_prior, labels and step": lambda: (
        torch.empty(3, 2), torch.tensor([0, 9, 2]), torch.tensor(2**40), "mixture", 10, [1.4, 0.5, 0.1], 1, 0, 3, 4
    ),
    "assemble_discriminator_batch": lambda: (
        torch.empty(12, 3), torch.empty(12, 1), torch.randn(5, 3), None, None, "normal", 0, [1.5], 1, 2, 4
    ),
    "assemble_discriminator_batch, labels and step": lambda: (
        torch.empty(5, 12), torch.empty(5, 1), torch.randn(2, 2), torch.tensor([0, 9]), torch.tensor([2**40]),
        "swiss_roll", 10, [3.0, 2.0], 1, 0, 4
    ),
    "draw_minibatch": lambda: (
        torch.empty(7, 6), torch.empty(7, dtype=torch.int64), images(10, 6), None, 1, 2, 3, 4
    ),
    "draw_minibatch, step": lambda: (
        torch.empty(7, 6), torch.empty(7, dtype=torch.int64), images(10, 6), torch.tensor(2**40), 1, 0, 3, 4
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RAW)
def test_opcheck(name):
    opcheck(getattr(torch.ops.aae, name.split(",")[0]).default, RAW[name]())


CALLS = {
    "philox4x32": lambda step: ops.philox4x32(torch.tensor([[1, 2, 3, 4]]) + step, torch.tensor([5, 6])),
    "sample_prior": lambda step: ops.sample_prior(NormalPrior(3, 5.0), 7, seed=2**63 - 1, step=step),
    "assemble_discriminator_batch": lambda step: ops.assemble_discriminator_batch(
        torch.ones(5, 3), NormalPrior(3), 7, seed=2**63 - 1, step=step
    ),
    "draw_minibatch": lambda step: ops.draw_minibatch(
        images(10, 6), 7, seed=2**63 - 1, step=step, stream=Stream.GENERATOR
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_compiles_whole_and_once_for_all_steps(name):
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(CALLS[name], fullgraph=True, backend=counter)
    for step in [2**40, *range(5)]:
        expected, got = CALLS[name](step), compiled(step)
        for a, b in zip(torch.utils._pytree.tree_leaves(expected), torch.utils._pytree.tree_leaves(got), strict=True):
            assert torch.equal(a, b)
    assert counter.frame_count <= 2  # the first step is compiled as a constant, all others at once


# --- errors -----------------------------------------------------------------------------------------

POOL, CODES, PRIOR = images(10, 6), torch.zeros(3, 2), NormalPrior(2)
DRAW = {"seed": 0, "step": 0}

ERRORS = [
    (
        lambda: ops.philox4x32([[1, 2, 3, 4]], CODES),
        TypeError,
        "philox4x32: counter must be a tensor, got list",
    ),
    (
        lambda: ops.philox4x32(torch.zeros(2, 3, dtype=torch.int64), torch.tensor([1, 2])),
        ValueError,
        r"philox4x32: counter must be \[n, 4\], got \[2, 3\]",
    ),
    (
        lambda: ops.philox4x32(torch.zeros(2, 4, dtype=torch.int64), torch.tensor([1, 2, 3])),
        ValueError,
        r"philox4x32: key must be \[2\], got \[3\]",
    ),
    (
        lambda: ops.sample_prior("normal", 3, **DRAW),
        TypeError,
        "sample_prior: prior must be a prior of aae.priors, got str",
    ),
    (lambda: ops.sample_prior(PRIOR, 3.0, **DRAW), TypeError, "sample_prior: n must be an int, got float"),
    (
        lambda: ops.sample_prior(PRIOR, -1, **DRAW),
        ValueError,
        r"sample_prior: n must be within \[0, 2\^63\), got -1",
    ),
    (
        lambda: ops.sample_prior(PRIOR, 1, seed=-1, step=0),
        ValueError,
        r"seed must be within \[0, 2\^63\), got -1",
    ),
    (lambda: ops.sample_prior(PRIOR, 1, seed=2**63, step=0), ValueError, r"seed must be within \[0, 2\^63\)"),
    (lambda: ops.sample_prior(PRIOR, 1, seed="1", step=0), TypeError, "seed must be an int, got str"),
    (lambda: ops.sample_prior(PRIOR, 1, seed=0, step=2**48), ValueError, r"step must be within \[0, 2\^48\)"),
    (
        lambda: ops.sample_prior(PRIOR, 1, stream=2**16, **DRAW),
        ValueError,
        r"stream must be within \[0, 2\^16\)",
    ),
    (
        lambda: ops.sample_prior(PRIOR, 1, offset=-1, **DRAW),
        ValueError,
        r"offset must be within \[0, 2\^63\), got -1",
    ),
    (
        lambda: ops.sample_prior(PRIOR, 1, offset=2**62 - 1, **DRAW),
        ValueError,
        r"sample_prior: \(offset \+ n\) \* dim must be below 2\^63",
    ),
    (
        lambda: ops.assemble_discriminator_batch(CODES.double(), PRIOR, 1, **DRAW),
        TypeError,
        "assemble_discriminator_batch: codes must be torch.float32, got torch.float64",
    ),
    (
        lambda: ops.assemble_discriminator_batch(torch.zeros(3, 4)[:, ::2], PRIOR, 1, **DRAW),
        ValueError,
        "assemble_discriminator_batch: codes must be contiguous",
    ),
    (
        lambda: ops.assemble_discriminator_batch(torch.zeros(3, 3), PRIOR, 1, **DRAW),
        ValueError,
        r"assemble_discriminator_batch: codes must be \[n, 2\], got \[3, 3\]",
    ),
    (
        lambda: ops.assemble_discriminator_batch(CODES.clone().requires_grad_(), PRIOR, 1, **DRAW),
        ValueError,
        r"codes requires a gradient.*codes.detach\(\)",
    ),
    (
        lambda: ops.assemble_discriminator_batch(CODES.to("meta"), PRIOR, 1, **DRAW),
        ValueError,
        "codes must be on a CPU or CUDA device, got meta",
    ),
    (
        lambda: ops.assemble_discriminator_batch(CODES, PRIOR, -1, **DRAW),
        ValueError,
        "n_prior must be within",
    ),
    (
        lambda: ops.draw_minibatch(POOL.float(), 1, stream=1, **DRAW),
        TypeError,
        "draw_minibatch: images must be torch.uint8, got torch.float32",
    ),
    (
        lambda: ops.draw_minibatch(POOL.reshape(10, 2, 3), 1, stream=1, **DRAW),
        ValueError,
        r"draw_minibatch: images must be \[N, pixels\], got \[10, 2, 3\]",
    ),
    (lambda: ops.draw_minibatch(POOL[:, 1:], 1, stream=1, **DRAW), ValueError, "images must be contiguous"),
    (
        lambda: ops.draw_minibatch(POOL[:0], 1, stream=1, **DRAW),
        ValueError,
        r"images must be 1 to 2\^32 - 1 rows, got 0",
    ),
    (
        lambda: ops.draw_minibatch(torch.empty(2**32, 0, dtype=torch.uint8), 1, stream=1, **DRAW),
        ValueError,
        r"images must be 1 to 2\^32 - 1 rows, got 4294967296",
    ),
    (lambda: NormalPrior(0), ValueError, r"NormalPrior: dim must be within \[1, 2147483647\], got 0"),
    (lambda: NormalPrior(2.0), TypeError, "NormalPrior: dim must be an int, got float"),
    (lambda: NormalPrior(2, 0.0), ValueError, "NormalPrior: std must be within"),
    (lambda: NormalPrior(2, float("nan")), ValueError, "NormalPrior: std must be within"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.cuda
@needs_cuda
def test_key_and_counter_on_different_devices():
    with pytest.raises(ValueError, match="philox4x32: key must be on cuda:0, got cpu"):
        ops.philox4x32(torch.zeros(1, 4, dtype=torch.int64, device="cuda:0"), torch.tensor([1, 2]))
