"""On a GPU, every op gives the CPU's bits, also on other streams and devices and in CUDA graphs with a moving step."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aae import ops
from aae.ops import Stream
from aae.priors import MixturePrior, NormalPrior, SwissRollPrior, UniformPrior

pytestmark = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

ROW_WISE = [MixturePrior(classes=7), SwissRollPrior(classes=10)]
PRIORS = [NormalPrior(1), NormalPrior(3, 2.5), UniformPrior(5, 0.75), *ROW_WISE]

priors = st.sampled_from(PRIORS)
draws = st.fixed_dictionaries({"seed": st.integers(0, 2**63 - 1), "step": st.integers(0, 2**48 - 1)})
offsets = st.integers(0, 9) | st.integers(2**32 - 5, 2**32 + 5) | st.integers(0, 2**59)
# The last size exceeds the number of threads of any GPU, so threads take several items.
sizes = st.integers(0, 9) | st.integers(1000, 1030) | st.just(5_000_001)


def cuda(tensor):
    return None if tensor is None else tensor.cuda()


def assert_same_bits(on_gpu, on_cpu):
    for gpu, cpu in zip(on_gpu, on_cpu, strict=True):
        assert gpu.device.type == "cuda"
        assert gpu.dtype == cpu.dtype
        assert gpu.shape == cpu.shape
        assert gpu.cpu().numpy().tobytes() == cpu.numpy().tobytes()


def images(rows, pixels):
    return (torch.arange(rows * pixels) * 37 % 256).to(torch.uint8).reshape(rows, pixels)


def unaligned(*shape, dtype=torch.float32):
    """A contiguous CUDA tensor that is not aligned to 16 bytes, and the memory around it."""
    size = torch.Size(shape).numel()
    memory = torch.full((size + 6,), -7, dtype=dtype, device="cuda")
    return memory[1 : 1 + size].view(shape), memory


def assert_untouched(memory, size):
    assert (memory[:1] == -7).all()
    assert (memory[1 + size :] == -7).all()


# --- the bits of the CPU ----------------------------------------------------------------------------


@given(st.lists(st.lists(st.integers(0, 2**32 - 1), min_size=6, max_size=6), max_size=9))
def test_philox4x32(rows):
    words = torch.tensor(rows, dtype=torch.int64).reshape(-1, 6)
    counter, key = words[:, :4].contiguous(), torch.tensor([1, 2**32 - 1])
    assert_same_bits([ops.philox4x32(counter.cuda(), key.cuda())], [ops.philox4x32(counter, key)])


@given(prior=priors, n=sizes, offset=offsets, draw=draws)
def test_sample_prior(prior, n, offset, draw):
    z = ops.sample_prior(prior, n, offset=offset, device="cuda", **draw)
    assert_same_bits([z], [ops.sample_prior(prior, n, offset=offset, **draw)])


@given(prior=st.sampled_from(ROW_WISE), n=sizes, offset=offsets, draw=draws)
def test_sample_prior_of_labels(prior, n, offset, draw):
    labels = torch.arange(n) % prior.classes
    z = ops.sample_prior(prior, n, labels=labels.cuda(), offset=offset, device="cuda", **draw)
    assert_same_bits([z], [ops.sample_prior(prior, n, labels=labels, offset=offset, **draw)])


@settings(max_examples=30)  # half of them are of millions of rows
@given(prior=priors, n=sizes, n_prior=sizes, labelled=st.booleans(), offset=offsets, draw=draws)
def test_assemble_discriminator_batch(prior, n, n_prior, labelled, offset, draw):
    codes = torch.randn(n, prior.dim)
    labels = torch.arange(n) % prior.classes if labelled and prior in ROW_WISE else None
    draw = {"offset": offset} | draw
    got = ops.assemble_discriminator_batch(codes.cuda(), prior, n_prior, labels=cuda(labels), **draw)
    assert_same_bits(got, ops.assemble_discriminator_batch(codes, prior, n_prior, labels=labels, **draw))


@given(rows=st.integers(1, 300), pixels=st.integers(0, 40) | st.just(784), n=sizes, offset=offsets, draw=draws)
def test_draw_minibatch(rows, pixels, n, offset, draw):
    n = min(n, 2000)
    pool = images(rows, pixels)
    draw = {"offset": offset, "stream": Stream.GENERATOR} | draw
    assert_same_bits(ops.draw_minibatch(pool.cuda(), n, **draw), ops.draw_minibatch(pool, n, **draw))


@pytest.mark.parametrize("prior", PRIORS, ids=repr)
def test_unaligned_out(prior):
    n, draw = 1003, {"seed": 1, "step": 2}
    out, memory = unaligned(n, prior.dim)
    ops.sample_prior(prior, n, out=out, **draw)
    assert_same_bits([out], [ops.sample_prior(prior, n, **draw)])
    assert_untouched(memory, out.numel())

    codes = unaligned(n, prior.dim)[0].normal_()
    batch, memory = unaligned(2 * n, prior.dim)
    targets, memory_of_targets = unaligned(2 * n, 1)
    ops.assemble_discriminator_batch(codes, prior, n, out=(batch, targets), **draw)
    assert_same_bits([batch, targets], ops.assemble_discriminator_batch(codes.cpu(), prior, n, **draw))
    assert_untouched(memory, batch.numel())
    assert_untouched(memory_of_targets, targets.numel())


@pytest.mark.parametrize("pixels", [4, 5, 784])
def test_unaligned_images(pixels):
    draw = {"seed": 1, "step": 2, "stream": 3}
    pool = unaligned(50, pixels, dtype=torch.int8)[0].view(torch.uint8)
    pool.copy_(images(50, pixels))
    drawn, memory = unaligned(77, pixels)
    indices = torch.empty(77, dtype=torch.int64, device="cuda")
    ops.draw_minibatch(pool, 77, out=(drawn, indices), **draw)
    assert_same_bits([drawn, indices], ops.draw_minibatch(pool.cpu(), 77, **draw))
    assert_untouched(memory, drawn.numel())


@pytest.mark.skipif(
    torch.cuda.is_available() and torch.cuda.mem_get_info()[0] < 20 * 2**30, reason="needs 20 GiB of GPU memory"
)
def test_beyond_2_32_elements():
    prior, n, tail, draw = NormalPrior(2), 2**31 + 1001, 3000, {"seed": 1, "step": 2}
    z = ops.sample_prior(prior, n, device="cuda", **draw)
    assert_same_bits([z[-tail:]], [ops.sample_prior(prior, tail, offset=n - tail, **draw)])


# --- streams, devices, graphs -----------------------------------------------------------------------


def inputs(device):
    """The inputs of `calls`. They are made first, because a copy to the GPU synchronises and cannot be captured."""
    return images(100, 12).to(device), torch.ones(33, 2, device=device)


def calls(step, pool, codes):
    """Calls every op that draws, at `step`: an integer, or a tensor on the device of the other tensors."""
    device, draw = pool.device, {"seed": 5, "step": step}
    return [
        ops.sample_prior(NormalPrior(2), 1001, device=device, **draw),
        *ops.assemble_discriminator_batch(codes, ROW_WISE[0], 77, **draw),
        *ops.draw_minibatch(pool, 55, stream=Stream.DISCRIMINATOR, **draw),
    ]


@pytest.mark.parametrize("step", [0, 2**48 - 1, 2**48 + 3, -1])
def test_step_on_the_device_counts_modulo_2_48(step):
    assert_same_bits(calls(torch.tensor(step, device="cuda"), *inputs("cuda")), calls(step % 2**48, *inputs("cpu")))


def test_graph_draws_anew_at_every_replay():
    step = torch.zeros((), dtype=torch.int64, device="cuda")
    made = inputs("cuda")
    calls(step, *made)  # loads the kernels, which is not allowed during a capture
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = calls(step, *made)
        step += 1
    step.fill_(7)
    for replayed in (7, 8, 9):
        graph.replay()
        assert_same_bits(results, calls(replayed, *inputs("cpu")))


def test_runs_on_the_current_stream():
    """A busy stream sets the step, so a kernel on any other stream would read the old step."""
    step = torch.zeros((), dtype=torch.int64, device="cuda")
    made = inputs("cuda")
    calls(step, *made)
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        step.fill_(9)
        results = calls(step, *made)
    stream.synchronize()
    assert_same_bits(results, calls(9, *inputs("cpu")))


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one CUDA device")
def test_follows_its_tensors_to_another_device():
    step = torch.tensor(3, device="cuda:1")
    z = ops.sample_prior(NormalPrior(2), 1001, seed=5, step=step, device="cuda:1")
    assert z.device == step.device
    assert torch.cuda.current_device() == 0
    assert_same_bits([z], [ops.sample_prior(NormalPrior(2), 1001, seed=5, step=3)])


# --- torch.library ----------------------------------------------------------------------------------


def test_compiles_whole():
    compiled = torch.compile(calls, fullgraph=True, backend="aot_eager")
    assert_same_bits(compiled(torch.tensor(4, device="cuda"), *inputs("cuda")), calls(4, *inputs("cpu")))
