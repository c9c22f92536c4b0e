"""The ops against their NumPy twins, bit for bit; splits, `out=`, steps as tensors, compilation."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._dynamo.testing import CompileCounterWithBackend
from torch.library import opcheck
from torch.utils._pytree import tree_leaves

from aae import ops, reference
from aae.ops import Stream
from aae.priors import MixturePrior, NormalPrior, SwissRollPrior, UniformPrior

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
devices = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.cuda, needs_cuda])])

draws = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**63 - 1),
        "step": st.integers(0, 2**48 - 1),
        "stream": st.integers(0, 2**15 - 1),
    }
)
offsets = st.integers(0, 100) | st.integers(2**32 - 50, 2**32 + 50) | st.integers(0, 2**59)
sizes = st.integers(0, 40) | st.integers(1000, 1100)
scales = st.floats(2.0**-60, 2.0**60)
# The twins emulate fma in float64, which is exact if no product is far below float32's normal range.
moderate = st.floats(2.0**-20, 2.0**20)
classes = st.integers(1, 256)
priors_with_classes = st.builds(
    MixturePrior, classes=classes, radius=st.just(0.0) | moderate, radial_std=moderate, tangential_std=moderate
) | st.builds(SwissRollPrior, classes=classes, radius=scales, turns=st.floats(2.0**-10, 2.0**10))
priors = (
    st.builds(NormalPrior, dim=st.integers(1, 9), std=scales)
    | st.builds(UniformPrior, dim=st.integers(1, 9), bound=moderate)
    | priors_with_classes
)


def images(rows, pixels):
    return (torch.arange(rows * pixels) * 37 % 256).to(torch.uint8).reshape(rows, pixels)


def some_labels(prior, n):
    return torch.arange(n) * 7 % prior.classes


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
@given(prior=priors_with_classes, n=sizes, offset=offsets, draw=draws)
def test_sample_prior_with_labels(device, prior, n, offset, draw):
    labels = some_labels(prior, n)
    z = ops.sample_prior(prior, n, offset=offset, labels=labels.to(device), device=device, **draw)
    assert_same_bits(z, reference.sample_prior(prior, n, offset=offset, labels=labels.numpy(), **draw))


@devices
@given(prior=priors, labelled=st.booleans(), n=sizes, n_prior=sizes, offset=offsets, draw=draws)
def test_assemble_discriminator_batch(device, prior, labelled, n, n_prior, offset, draw):
    draw = {"seed": draw["seed"], "step": draw["step"], "offset": offset}
    codes = torch.randn(n, prior.dim, device=device)
    labels = some_labels(prior, n) if labelled and prior.classes else None
    expected = reference.assemble_discriminator_batch(
        codes.cpu().numpy(), prior, n_prior, labels=None if labels is None else labels.numpy(), **draw
    )
    labels = None if labels is None else labels.to(device)
    result = ops.assemble_discriminator_batch(codes, prior, n_prior, labels=labels, **draw)
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


# --- the contract -----------------------------------------------------------------------------------


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


@given(prior=priors_with_classes, n=sizes, cut=st.integers(0, 1100), offset=offsets, draw=draws)
def test_labelled_parts_are_the_labelled_whole(prior, n, cut, offset, draw):
    cut = min(cut, n)
    labels = some_labels(prior, n)
    whole = ops.sample_prior(prior, n, offset=offset, labels=labels, **draw)
    first = ops.sample_prior(prior, cut, offset=offset, labels=labels[:cut], **draw)
    second = ops.sample_prior(prior, n - cut, offset=offset + cut, labels=labels[cut:], **draw)
    assert torch.equal(torch.cat([first, second]), whole)


@pytest.mark.parametrize("prior", [NormalPrior(2, 5.0), UniformPrior(3), MixturePrior(), SwissRollPrior()], ids=str)
def test_assembled_rows_are_those_of_sample_prior(prior):
    batch, _ = ops.assemble_discriminator_batch(torch.zeros(3, prior.dim), prior, 8, seed=1, step=2, offset=4)
    assert torch.equal(batch[3:], ops.sample_prior(prior, 8, seed=1, step=2, stream=Stream.PRIOR, offset=4))


@pytest.mark.parametrize("prior", [MixturePrior(7), SwissRollPrior(7)], ids=str)
def test_labels_replace_the_drawn_classes_and_nothing_else(prior):
    codes, labels = torch.zeros(1, 2), torch.tensor([3])
    batch, _ = ops.assemble_discriminator_batch(codes, prior, 500, seed=1, step=2, labels=labels)
    assert batch[0].tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0]
    drawn = batch[1:, 2:].argmax(dim=1)
    assert torch.equal(batch[1:, :2], ops.sample_prior(prior, 500, seed=1, step=2, labels=drawn))
    assert torch.equal(batch[1:, :2], ops.sample_prior(prior, 500, seed=1, step=2))


def calls(prior, pool, codes, labels, **keywords):
    """Each op as (call without out, call with out, out), where `out` has new tensors at an odd address."""

    def unaligned(*shape, dtype=torch.float32):
        return torch.empty(int(np.prod(shape)) + 1, dtype=dtype)[1:].view(*shape)

    z, indices = unaligned(9, prior.dim), unaligned(9, dtype=torch.int64)
    width = prior.dim + (0 if labels is None else prior.classes)
    batch, targets, drawn = unaligned(14, width), unaligned(14, 1), unaligned(9, 6)
    labelled = {} if labels is None else {"labels": labels}
    row_labels = {} if labels is None else {"labels": labels.repeat(2)[:9]}
    return [
        (ops.sample_prior, (prior, 9), keywords | row_labels, z),
        (ops.assemble_discriminator_batch, (codes, prior, 9), keywords | labelled, (batch, targets)),
        (ops.draw_minibatch, (pool, 9), keywords | {"stream": 3}, (drawn, indices)),
    ]


@pytest.mark.parametrize("labelled", [False, True])
def test_out_is_filled_and_returned(labelled):
    labels = torch.arange(5) if labelled else None
    for op, arguments, keywords, out in calls(MixturePrior(), images(10, 6), torch.randn(5, 2), labels, seed=1, step=2):
        expected = op(*arguments, **keywords)
        got = op(*arguments, **keywords, out=out)
        for tensor, before, fresh in zip(tree_leaves(got), tree_leaves(out), tree_leaves(expected), strict=True):
            assert tensor is before
            assert torch.equal(tensor, fresh)


def test_a_step_in_a_tensor_is_the_step():
    for step in (torch.tensor(2**40 + 3), torch.tensor([2**40 + 3])):
        for op, arguments, keywords, _ in calls(NormalPrior(3), images(10, 6), torch.randn(5, 3), None, seed=1):
            expected = op(*arguments, **keywords, step=2**40 + 3)
            got = op(*arguments, **keywords, step=step)
            for a, b in zip(tree_leaves(got), tree_leaves(expected), strict=True):
                assert torch.equal(a, b)


def test_autograd_sees_that_out_was_written():
    z = torch.ones(3, 2)
    loss = (torch.ones(3, 2, requires_grad=True) * z).sum()
    ops.sample_prior(NormalPrior(2), 3, seed=1, step=2, out=z)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_dispatch_modes_see_the_ops():
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        z = ops.sample_prior(NormalPrior(2), 3, seed=1, step=2)
    assert type(z).__name__ == "FakeTensor"
    assert z.shape == (3, 2)


def test_stream_numbers_are_frozen():
    assert {stream.name: stream.value for stream in Stream} == {
        "PRIOR": 0,
        "RECONSTRUCTION": 1,
        "DISCRIMINATOR": 2,
        "GENERATOR": 3,
        "NOISE": 4,
        "EVALUATION": 5,
        "PENALTY": 7,
        "MASK": 8,
        "SPLIT": 9,
        "SAMPLE": 10,
        "LABELLED": 11,
        "RECONSTRUCTION_CODES": 12,
        "DISCRIMINATOR_CODES": 13,
        "GENERATOR_CODES": 14,
        "CLASSIFICATION": 15,
        "CATEGORY": 16,
        "INPUT_NOISE": 17,
        "DISCRIMINATOR_NOISE": 18,
        "CATEGORY_NOISE": 19,
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


LABELS = torch.tensor([3, 0, 9, 9, 1])


def sample_into_out(step):
    out = torch.empty(5, 2)
    return ops.sample_prior(MixturePrior(), 5, seed=1, step=torch.tensor(step), labels=LABELS, out=out), out


CALLS = {
    "philox4x32": lambda step: ops.philox4x32(torch.tensor([[1, 2, 3, 4]]) + step, torch.tensor([5, 6])),
    "sample_prior": lambda step: ops.sample_prior(NormalPrior(3, 5.0), 7, seed=2**63 - 1, step=step),
    "sample_prior, labels": lambda step: ops.sample_prior(SwissRollPrior(), 5, seed=1, step=step, labels=LABELS),
    "sample_prior, out and step tensor": sample_into_out,
    "assemble_discriminator_batch": lambda step: ops.assemble_discriminator_batch(
        torch.ones(5, 3), NormalPrior(3), 7, seed=2**63 - 1, step=step
    ),
    "assemble_discriminator_batch, labels": lambda step: ops.assemble_discriminator_batch(
        torch.ones(5, 2), MixturePrior(), 7, seed=1, step=step, labels=LABELS
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
        for a, b in zip(tree_leaves(expected), tree_leaves(got), strict=True):
            assert torch.equal(a, b)
    assert counter.frame_count <= 2  # one compilation with the first step as a constant, one for all other steps
