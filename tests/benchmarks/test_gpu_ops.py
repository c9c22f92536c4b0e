"""The random part of a training step on a GPU: the native ops and plain PyTorch, each many times in a CUDA graph.

The graph excludes Python's time, so only the GPU's work is timed. Each result is checked before it is timed.
`make bench` runs these on a machine with a GPU. `extra_info` holds, per call, the number of kernels, the time, and the
bytes per second that the call must at least move, next to the rate of a plain copy on the same GPU.
"""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from aae.ops import Stream, assemble_discriminator_batch, draw_minibatch, sample_prior
from aae.priors import NormalPrior

pytestmark = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

PRIOR, PIXELS = NormalPrior(2), 784


def assert_normal(z):
    """The standard errors of n normals' mean and variance are 1/sqrt(n) and sqrt(2/n). One in 1e9 deviates by six."""
    variance, mean = torch.var_mean(z.double())
    assert abs(mean) < 6 / z.numel() ** 0.5
    assert abs(variance - 1) < 6 * (2 / z.numel()) ** 0.5


# A case for a given size, on the GPU: a call of the op, the same in PyTorch, a check of the outputs of either, and the
# number of bytes that a call reads and writes.


def discriminator_batch(half):
    codes, step = torch.randn(half, 2, device="cuda"), torch.ones((), dtype=torch.int64, device="cuda")
    batch, targets = out = torch.empty(2 * half, 2, device="cuda"), torch.empty(2 * half, 1, device="cuda")

    def native():
        assemble_discriminator_batch(codes, PRIOR, half, seed=0, step=step, out=out)

    def plain():
        torch.cat([codes, torch.randn_like(codes)], out=batch)
        targets[:half] = 0
        targets[half:] = 1

    def check():
        assert torch.equal(batch[:half], codes)
        assert_normal(batch[half:])
        assert (targets[:half] == 0).all()
        assert (targets[half:] == 1).all()

    return native, plain, check, 4 * half * (2 + 4 + 2)


def minibatch(rows):
    images = torch.randint(0, 256, (60_000, PIXELS), dtype=torch.uint8, device="cuda")
    step = torch.ones((), dtype=torch.int64, device="cuda")
    drawn, indices = out = torch.empty(rows, PIXELS, device="cuda"), torch.empty(rows, dtype=torch.int64, device="cuda")

    def native():
        draw_minibatch(images, rows, seed=0, step=step, stream=Stream.RECONSTRUCTION, out=out)

    def plain():
        torch.randint(0, len(images), (rows,), out=indices)
        torch.div(images[indices], 255, out=drawn)

    def check():
        # PyTorch may multiply by 1 / 255 instead, which adds one rounding.
        torch.testing.assert_close(drawn, images[indices] / 255, rtol=2**-23, atol=0)

    return native, plain, check, rows * (5 * PIXELS + 8)


def prior_samples(rows):
    out, step = torch.empty(rows, 2, device="cuda"), torch.ones((), dtype=torch.int64, device="cuda")

    def native():
        sample_prior(PRIOR, rows, seed=0, step=step, out=out)

    return native, out.normal_, lambda: assert_normal(out), 4 * 2 * rows


def captured(call, calls):
    """A CUDA graph of `calls` calls, warmed up on a separate stream as PyTorch requires."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(calls):
            call()
    return graph


def kernels(call):
    """The number of kernels, copies and fills per call, from twenty calls, because a profile may miss the first."""
    call()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as trace:
        for _ in range(20):
            call()
        torch.cuda.synchronize()
    return round(sum(event.device_type == torch.autograd.DeviceType.CUDA for event in trace.events()) / 20)


@pytest.fixture(scope="module")
def copied_bytes_a_second():
    """The bytes read and written per second in the fastest of ten copies of 1 GiB."""
    source = torch.zeros(2**28, device="cuda")
    target = torch.empty_like(source)
    seconds = []
    for _ in range(10):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        target.copy_(source)
        end.record()
        end.synchronize()
        seconds.append(start.elapsed_time(end) / 1000)
    return 2 * source.nbytes / min(seconds)


@pytest.mark.parametrize("way", ["native", "plain"])
@pytest.mark.parametrize(
    ("case", "size", "calls"),
    [
        (discriminator_batch, 64, 200),
        (minibatch, 128, 200),
        (discriminator_batch, 2**26, 5),  # far beyond any cache
        (minibatch, 2**18, 5),
        (prior_samples, 2**27, 5),
    ],
)
def test_gpu(benchmark, case, size, calls, way, copied_bytes_a_second):
    native, plain, check, moved = case(size)
    call = native if way == "native" else plain
    launched = kernels(call)
    graph = captured(call, calls)

    def replay():
        graph.replay()
        torch.cuda.synchronize()

    replay()
    check()
    assert launched == 1 or way == "plain"

    benchmark.group = f"GPU, {case.__name__.replace('_', ' ')}, {size:,} rows, {calls} calls in a graph"
    benchmark(replay)
    seconds = benchmark.stats.stats.min / calls
    benchmark.extra_info |= {
        "device": torch.cuda.get_device_name(),
        "kernels": launched,
        "microseconds": 1e6 * seconds,
        "GB/s": moved / seconds / 1e9,
        "of a copy's": moved / seconds / copied_bytes_a_second,
    }
