"""The work of the CUDA kernels' threads, run on the CPU, gives the bits of the CPU kernels in any order of threads.

`aae_native.<op>_items` runs the functions of csrc/items.h, which the CUDA kernels also run, as a grid of threads in
random order. `aae_native.<op>` is the CPU kernel.
"""

from types import SimpleNamespace

import aae_native
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aae import ops
from aae.errors import InputError
from aae.priors import MixturePrior, NormalPrior, SwissRollPrior, UniformPrior

dims = st.integers(1, 9)
classes = st.integers(1, 12)
row_wise = st.builds(MixturePrior, classes) | st.builds(SwissRollPrior, classes)
priors = st.builds(NormalPrior, dims, st.floats(0.1, 10)) | st.builds(UniformPrior, dims) | row_wise

sizes = st.integers(0, 9) | st.integers(1000, 1030)
shifts = st.sampled_from([0, 4, 8, 12])
draws = st.tuples(
    st.integers(0, 2**63 - 1),  # seed
    st.integers(0, 2**48 - 1),  # step
    st.integers(0, 2**15 - 1),  # stream
    st.integers(0, 9) | st.integers(2**32 - 5, 2**32 + 5) | st.integers(0, 2**59),  # offset
)
# The maximum number of blocks, so that a thread has many items or one, and the seed of the threads' order.
grids = st.tuples(st.sampled_from([1, 2, 1000]), st.integers(0, 2**64 - 1))


class Framed:
    """An array that begins `shift` bytes after a multiple of 16. A frame detects writes outside the array."""

    def __init__(self, shape, dtype, shift=0):
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self.memory = np.full(size + 64, 0xA5, np.uint8)
        begin = -self.memory.ctypes.data % 16 + 16 + shift
        self.frame = self.memory[:begin], self.memory[begin + size :]
        self.array = self.memory[begin : begin + size].view(dtype).reshape(shape)
        self.address = self.memory.ctypes.data + begin

    def assert_holds(self, expected):
        assert self.array.tobytes() == expected.tobytes()
        assert all((part == 0xA5).all() for part in self.frame)


def address(array):
    return 0 if array is None else array.ctypes.data


def early(draw):
    """The draw in the form that items accept, with a step that is known at the launch."""
    seed, step, stream, offset = draw
    return seed, step, 0, stream, offset


def late(draw, memory):
    """The draw with its step in memory. Only 48 bits of the step count."""
    seed, step, stream, offset = draw
    memory[0] = step - 2**48
    return seed, 0, address(memory), stream, offset


def images(rows, pixels):
    return (np.arange(rows * pixels) * 37 % 256).astype(np.uint8).reshape(rows, pixels)


@given(
    words=st.lists(st.tuples(*[st.integers(-(2**63), 2**63 - 1)] * 4), max_size=9) | st.just([(1, 2, 3, 4)] * 1000),
    key=st.tuples(*[st.integers(0, 2**32 - 1)] * 2),
    grid=grids,
)
def test_philox4x32(words, key, grid):
    counter, key = np.array(words, np.int64).reshape(-1, 4), np.array(key, np.int64)
    counter[:, 0] += np.arange(len(counter))
    expected, got = np.empty_like(counter), Framed(counter.shape, np.int64)
    aae_native.philox4x32(address(counter), address(key), address(expected), len(counter))
    aae_native.philox4x32_items(address(counter), address(key), got.address, len(counter), *grid)
    got.assert_holds(expected)


@given(prior=priors, n=sizes, labelled=st.booleans(), shift=shifts, draw=draws, grid=grids)
def test_sample_prior(prior, n, labelled, shift, draw, grid):
    labels = np.arange(n) % prior.classes if labelled and prior.classes else None
    expected, got = np.empty((n, prior.dim), np.float32), Framed((n, prior.dim), np.float32, shift)
    aae_native.sample_prior(prior.native, address(labels), address(expected), n, *draw)
    aae_native.sample_prior_items(prior.native, address(labels), got.address, n, *early(draw), *grid)
    got.assert_holds(expected)


@given(prior=priors, n=sizes, n_prior=sizes, labelled=st.booleans(), shift=shifts, draw=draws, grid=grids)
def test_assemble_discriminator_batch(prior, n, n_prior, labelled, shift, draw, grid):
    labels = np.arange(n) % prior.classes if labelled and prior.classes else None
    columns = prior.dim + (0 if labels is None else prior.classes)
    codes = Framed((n, prior.dim), np.float32, (shift + 4) % 16)
    codes.array[:] = np.arange(n * prior.dim).reshape(n, prior.dim) * 0.7
    shapes, sizes_ = ((n + n_prior, columns), (n + n_prior, 1)), (n, n_prior)
    expected = [np.empty(shape, np.float32) for shape in shapes]
    got = [Framed(shape, np.float32, shift) for shape in shapes]
    inputs = prior.native, codes.address, address(labels)
    aae_native.assemble_discriminator_batch(*inputs, *map(address, expected), *sizes_, *draw)
    aae_native.assemble_discriminator_batch_items(*inputs, *(x.address for x in got), *sizes_, *early(draw), *grid)
    for mine, other in zip(got, expected, strict=True):
        mine.assert_holds(other)


@given(
    rows=st.integers(1, 300), pixels=st.integers(0, 40) | st.sampled_from([516, 784]), n=st.integers(0, 40),
    image_shift=st.integers(0, 4), shift=shifts, draw=draws, grid=grids,
)  # fmt: skip
def test_draw_minibatch(rows, pixels, n, image_shift, shift, draw, grid):
    pool = Framed((rows, pixels), np.uint8, image_shift)
    pool.array[:] = images(rows, pixels)
    expected = np.empty((n, pixels), np.float32), np.empty(n, np.int64)
    got = Framed((n, pixels), np.float32, shift), Framed(n, np.int64)
    aae_native.draw_minibatch(pool.address, rows, pixels, *map(address, expected), n, *draw)
    aae_native.draw_minibatch_items(pool.address, rows, pixels, *(x.address for x in got), n, *early(draw), *grid)
    for mine, other in zip(got, expected, strict=True):
        mine.assert_holds(other)


@given(draw=draws, grid=grids)
def test_step_in_memory_counts_modulo_2_48(draw, grid):
    memory, prior, pool = np.empty(1, np.int64), MixturePrior(), images(10, 8)
    results = []
    for drawn in (early(draw), late(draw, memory)):
        z, batch, targets, drawn_images = (np.empty((20, size), np.float32) for size in (2, 12, 1, 8))
        codes, labels, indices = np.ones((13, 2), np.float32), np.arange(13) % 10, np.empty(20, np.int64)
        aae_native.sample_prior_items(prior.native, 0, address(z), 20, *drawn, *grid)
        aae_native.assemble_discriminator_batch_items(
            prior.native, *map(address, (codes, labels, batch, targets)), 13, 7, *drawn, *grid
        )
        aae_native.draw_minibatch_items(
            address(pool), 10, 8, address(drawn_images), address(indices), 20, *drawn, *grid
        )
        results.append([array.tobytes() for array in (z, batch, targets, drawn_images, indices)])
    assert results[0] == results[1]


def test_every_pixel_value_is_correctly_rounded():
    pool, indices = np.arange(256, dtype=np.uint8).reshape(1, 256), np.empty(1, np.int64)
    drawn = np.empty((1, 256), np.float32)
    aae_native.draw_minibatch_items(address(pool), 1, 256, address(drawn), address(indices), 1, *early([0] * 4), 1, 0)
    np.testing.assert_array_equal(drawn[0], (np.arange(256) / 255).astype(np.float32))


def test_overlapping_arrays_are_refused():
    memory, prior, draw = np.zeros(64, np.int64), MixturePrior().native, early([0] * 4)
    here, behind = address(memory), address(memory[8:])
    with pytest.raises(ValueError, match="sample_prior: out must not overlap labels"):
        aae_native.sample_prior_items(prior, address(memory[7:]), here, 8, *draw, 1, 0)
    with pytest.raises(ValueError, match=r"assemble_discriminator_batch: out\[0\] must not overlap codes"):
        aae_native.assemble_discriminator_batch_items(prior, address(memory[3:]), 0, here, behind, 4, 0, *draw, 1, 0)
    with pytest.raises(ValueError, match=r"draw_minibatch: out\[1\] must not overlap images"):
        aae_native.draw_minibatch_items(here, 9, 8, behind + 64, behind, 1, *draw, 1, 0)


# --- from aae.ops to the kernels --------------------------------------------------------------------


def arguments(op, late_step=None):
    """The arguments that the dispatcher passes to an op's implementation. The outputs come first."""
    step = torch.tensor(late_step) if late_step is not None else None
    prior, labels = MixturePrior(), torch.arange(7) % 10
    parameters, rest = (prior.kind, prior.classes, prior.parameters), (2**63 - 1, 2**40)
    return {
        "sample_prior": lambda: (torch.zeros(7, 2), labels, step, *parameters, *rest, 3, 2**33 + 1),
        "assemble_discriminator_batch": lambda: (
            *(torch.zeros(12, 12), torch.zeros(12, 1), torch.rand(7, 2, generator=torch.manual_seed(0))),
            *(labels, step, *parameters, *rest, 2**33 + 1),
        ),
        "draw_minibatch": lambda: (
            *(torch.zeros(7, 9), torch.zeros(7, dtype=torch.int64), torch.from_numpy(images(100, 9))),
            *(step, *rest, 3, 2**33 + 1),
        ),
    }[op]()


@pytest.mark.parametrize("late_step", [None, 2**41])
@pytest.mark.parametrize("op", ["sample_prior", "assemble_discriminator_batch", "draw_minibatch"])
def test_ops_pass_their_arguments_on(op, late_step, monkeypatch):
    """CPU tensors replace CUDA tensors, and items on the CPU replace a kernel."""
    launched = []

    def kernel(*passed):
        *passed, device, stream = passed
        launched.append((device, stream))
        getattr(aae_native, f"{op}_items")(*passed, 2, 0)

    monkeypatch.setattr(aae_native, f"{op}_cuda", kernel, raising=False)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=(device.type, 77)))
    expected, got = arguments(op, late_step), arguments(op, late_step)
    getattr(ops, f"_{op}_cpu")(*expected)
    getattr(ops, f"_{op}_cuda")(*got)
    assert launched == [(None, ("cpu", 77))]
    assert expected[0].any()
    for mine, other in zip(got[:2], expected[:2], strict=True):
        assert torch.equal(mine, other)


def test_philox4x32_passes_its_arguments_on(monkeypatch):
    kernel = lambda *passed: aae_native.philox4x32_items(*passed[:-2], 2, 0)  # noqa: E731
    monkeypatch.setattr(aae_native, "philox4x32_cuda", kernel, raising=False)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=77))
    counter, key = torch.arange(400).reshape(100, 4), torch.tensor([5, 6])
    assert torch.equal(ops._philox4x32_cuda(counter, key), ops.philox4x32(counter, key))


@pytest.mark.parametrize("op", ["sample_prior", "assemble_discriminator_batch", "draw_minibatch"])
def test_built_without_cuda(op, monkeypatch):
    monkeypatch.delattr(aae_native, f"{op}_cuda", raising=False)
    with pytest.raises(InputError, match=rf"^{op}: got tensors on a CUDA device, but .* built without CUDA \(AAE_CUDA"):
        getattr(ops, f"_{op}_cuda")(*arguments(op))


@pytest.mark.skipif(not aae_native.build_info()["cuda"], reason="built without CUDA")
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_errors_of_cuda_become_exceptions():
    with pytest.raises(RuntimeError, match=r"^sample_prior: cudaError"):
        aae_native.sample_prior_cuda(NormalPrior(2).native, 0, 256, 1, 0, 0, 0, 0, 0, 0, 0)
    aae_native.sample_prior_cuda(NormalPrior(2).native, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)  # nothing to do
