"""Bad arguments: each message names the op and the argument, what was given and what is allowed."""

import pytest
import torch

from aae import ops
from aae.priors import MixturePrior, NormalPrior

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

POOL, CODES, PRIOR, MIXTURE = torch.zeros(10, 6, dtype=torch.uint8), torch.zeros(3, 2), NormalPrior(2), MixturePrior()
LABELS, SHARED, BATCH = torch.arange(3), torch.arange(6), torch.zeros(4, 2)
SOME_PIXELS = POOL.view(-1)[:16].view(torch.int64)
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
        lambda: ops.sample_prior(PRIOR, 1, stream=2**15, **DRAW),
        ValueError,
        r"stream must be within \[0, 2\^15\)",
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
    (
        lambda: ops.sample_prior(PRIOR, 1, seed=0, step=torch.tensor(2**48)),
        ValueError,
        r"sample_prior: step must be within \[0, 2\^48\), got 281474976710656",
    ),
    (
        lambda: ops.sample_prior(PRIOR, 1, seed=0, step=torch.tensor(-1)),
        ValueError,
        r"sample_prior: step must be within \[0, 2\^48\), got -1",
    ),
    (
        lambda: ops.sample_prior(PRIOR, 1, seed=0, step=torch.tensor(1.0)),
        TypeError,
        "sample_prior: step must be torch.int64, got torch.float32",
    ),
    (
        lambda: ops.sample_prior(PRIOR, 1, seed=0, step=torch.tensor([1, 2])),
        ValueError,
        r"sample_prior: step must be \[1\], got \[2\]",
    ),
    (
        lambda: ops.sample_prior(PRIOR, 1, seed=0, step=torch.tensor(1, device="meta")),
        ValueError,
        "sample_prior: step must be on cpu, got meta",
    ),
    (
        lambda: ops.sample_prior(PRIOR, 1, labels=LABELS[:1], **DRAW),
        ValueError,
        r"sample_prior: labels need a prior with classes, got NormalPrior\(dim=2, std=1.0\)",
    ),
    (lambda: ops.sample_prior(MIXTURE, 3, labels=[1, 2, 3], **DRAW), TypeError, "labels must be a tensor, got list"),
    (
        lambda: ops.sample_prior(MIXTURE, 3, labels=LABELS.int(), **DRAW),
        TypeError,
        "labels must be torch.int64, got torch.int32",
    ),
    (
        lambda: ops.sample_prior(MIXTURE, 4, labels=LABELS, **DRAW),
        ValueError,
        r"labels must be \[4\], got \[3\]",
    ),
    (
        lambda: ops.sample_prior(MIXTURE, 3, labels=LABELS + 8, **DRAW),
        ValueError,
        r"sample_prior: labels must be within \[0, 10\), got 10 at 2",
    ),
    (
        lambda: ops.assemble_discriminator_batch(CODES, MIXTURE, 1, labels=LABELS - 1, **DRAW),
        ValueError,
        r"assemble_discriminator_batch: labels must be within \[0, 10\), got -1 at 0",
    ),
    (
        lambda: ops.sample_prior(PRIOR, 3, out=[CODES], **DRAW),
        TypeError,
        "sample_prior: out must be a tensor, got list",
    ),
    (
        lambda: ops.sample_prior(PRIOR, 3, out=CODES.double(), **DRAW),
        TypeError,
        "sample_prior: out must be torch.float32, got torch.float64",
    ),
    (
        lambda: ops.sample_prior(PRIOR, 3, out=CODES, device="cpu", **DRAW),
        ValueError,
        "sample_prior: device must be left out if out is given, got cpu",
    ),
    (lambda: ops.sample_prior(PRIOR, 2, out=CODES, **DRAW), ValueError, r"out must be \[2, 2\], got \[3, 2\]"),
    (
        lambda: ops.sample_prior(PRIOR, 3, out=torch.zeros(2, 3).T, **DRAW),
        ValueError,
        r"sample_prior: out must be contiguous, got strides \(1, 3\)",
    ),
    (
        lambda: ops.sample_prior(PRIOR, 3, out=CODES.to("meta"), **DRAW),
        ValueError,
        "sample_prior: out must be on a CPU or CUDA device, got meta",
    ),
    (
        lambda: ops.sample_prior(PRIOR, 3, out=torch.zeros(3, 2, requires_grad=True), **DRAW),
        ValueError,
        r"sample_prior: out requires a gradient, which would be lost; pass out.detach\(\)",
    ),
    (
        lambda: ops.sample_prior(MIXTURE, 3, labels=SHARED[:3], out=SHARED.view(torch.float32)[:6].view(3, 2), **DRAW),
        ValueError,
        "sample_prior: out must not overlap labels, but they share memory",
    ),
    (
        lambda: ops.assemble_discriminator_batch(CODES, PRIOR, 1, out=CODES, **DRAW),
        TypeError,
        "assemble_discriminator_batch: out must be a tuple of two tensors, got Tensor",
    ),
    (
        lambda: ops.assemble_discriminator_batch(CODES, PRIOR, 1, out=(torch.zeros(4, 2), torch.zeros(4)), **DRAW),
        ValueError,
        r"assemble_discriminator_batch: out\[1\] must be \[4, 1\], got \[4\]",
    ),
    (
        lambda: ops.assemble_discriminator_batch(
            CODES, MIXTURE, 1, labels=LABELS, out=(torch.zeros(4, 2), torch.zeros(4, 1)), **DRAW
        ),
        ValueError,
        r"assemble_discriminator_batch: out\[0\] must be \[4, 12\], got \[4, 2\]",
    ),
    (
        lambda: ops.assemble_discriminator_batch(BATCH[:3], PRIOR, 1, out=(BATCH, torch.zeros(4, 1)), **DRAW),
        ValueError,
        r"assemble_discriminator_batch: out\[0\] must not overlap codes, but they share memory",
    ),
    (
        lambda: ops.assemble_discriminator_batch(CODES, PRIOR, 1, out=(BATCH, BATCH.view(8, 1)[4:]), **DRAW),
        ValueError,
        r"assemble_discriminator_batch: out\[0\] must not overlap out\[1\], but they share memory",
    ),
    (
        lambda: ops.draw_minibatch(POOL, 1, stream=1, out=(torch.zeros(1, 6), torch.zeros(1)), **DRAW),
        TypeError,
        r"draw_minibatch: out\[1\] must be torch.int64, got torch.float32",
    ),
    (
        lambda: ops.draw_minibatch(POOL, 2, stream=1, out=(torch.zeros(2, 6), SOME_PIXELS), **DRAW),
        ValueError,
        r"draw_minibatch: out\[1\] must not overlap images, but they share memory",
    ),
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
