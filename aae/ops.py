"""The random ops of a training step, each one fused native pass: wrapper, kernel, fake kernel, registration.

Every random number is a pure function of `(seed, stream, step, index)` through Philox4x32-10 (Salmon, Moraes,
Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11). So results do not depend on the device,
the instruction set, or how a batch is split, and a run continues from its step alone. csrc/philox.h writes
down the counter's layout, csrc/kernels.h what each op makes of it. Normals come from the transform of Box &
Muller (1958).

The ops work under `torch.compile`. None has a gradient. `aae.reference` holds a NumPy twin of each.

Arguments of the same name mean the same everywhere:

    seed    the run's seed, 0 <= seed < 2^63
    step    the training step, 0 <= step < 2^48
    stream  what the numbers are for: a `Stream`, or another integer, 0 <= stream < 2^16
    offset  the index of the first random row, to make a part of a batch alone: rows a to b of a whole are the
            rows of a call with offset=a and n=b-a

A wrong type raises TypeError and a wrong value ValueError, naming op and argument.
"""

from enum import IntEnum

import aae_native
import torch
from torch import Tensor

from aae.errors import InputError
from aae.priors import NormalPrior


class Stream(IntEnum):
    """The purposes of random numbers. The values are part of every result: add new ones, never renumber."""

    PRIOR = 0
    RECONSTRUCTION = 1
    DISCRIMINATOR = 2
    GENERATOR = 3
    NOISE = 4
    EVALUATION = 5


# --- philox4x32 -----------------------------------------------------------------------------------


def philox4x32(counter: Tensor, key: Tensor) -> Tensor:
    """The raw generator: counters `[n, 4]` and a key `[2]` to words `[n, 4]`.

    All are int64 tensors that hold 32-bit words, first word first; other bits of the input are ignored.
    """
    _check_tensor("philox4x32", "counter", counter, torch.int64, ("n", 4))
    _check_tensor("philox4x32", "key", key, torch.int64, (2,))
    if key.device != counter.device:
        raise ValueError(f"philox4x32: key must be on {counter.device}, got {key.device}")
    return torch.ops.aae.philox4x32(counter, key)


def _philox4x32_cpu(counter, key):
    words = torch.empty_like(counter)
    aae_native.philox4x32(counter.data_ptr(), key.data_ptr(), words.data_ptr(), counter.shape[0])
    return words


def _philox4x32_cuda(counter, key):
    words = torch.empty_like(counter)
    _launch("philox4x32", counter.device, counter.data_ptr(), key.data_ptr(), words.data_ptr(), counter.shape[0])
    return words


def _philox4x32_fake(counter, key):
    return torch.empty_like(counter)


torch.library.define("aae::philox4x32", "(Tensor counter, Tensor key) -> Tensor")
torch.library.impl("aae::philox4x32", "CPU", _philox4x32_cpu)
torch.library.impl("aae::philox4x32", "CUDA", _philox4x32_cuda)
torch.library.register_fake("aae::philox4x32", _philox4x32_fake)


# --- sample_prior ---------------------------------------------------------------------------------


def sample_prior(
    prior: NormalPrior,
    n: int,
    *,
    seed: int,
    step: int,
    stream: int = Stream.PRIOR,
    offset: int = 0,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Rows `offset` to `offset + n` of the prior's samples at this step: float32 `[n, prior.dim]`."""
    _check_prior("sample_prior", prior)
    _check_draw("sample_prior", seed, step, stream)
    _check_rows("sample_prior", n, offset, prior.dim)
    return torch.ops.aae.sample_prior(
        prior.kind, prior.parameters, n, prior.dim, seed, step, int(stream), offset, torch.device(device)
    )


# No argument is a tensor to choose a kernel by, so one serves every device.
def _sample_prior_any(kind, parameters, n, dim, seed, step, stream, offset, device):
    out = torch.empty(n, dim, dtype=torch.float32, device=device)
    if device.type == "cpu":
        aae_native.sample_prior(kind, parameters, out.data_ptr(), n, dim, seed, step, stream, offset)
    else:
        _sample_prior_cuda(kind, parameters, out, seed, step, stream, offset)
    return out


def _sample_prior_cuda(kind, parameters, out, seed, step, stream, offset):
    prior = aae_native.Prior(0, 0, out.shape[1], *parameters, 0, 0, 0, 0, 0)
    _launch("sample_prior", out.device, prior, 0, out.data_ptr(), out.shape[0], seed, step, 0, stream, offset)


def _sample_prior_fake(kind, parameters, n, dim, seed, step, stream, offset, device):
    return torch.empty(n, dim, dtype=torch.float32, device=device)


torch.library.define(
    "aae::sample_prior",
    "(str kind, float[] parameters, SymInt n, SymInt dim, SymInt seed, SymInt step, SymInt stream, "
    "SymInt offset, Device device) -> Tensor",
)
torch.library.impl("aae::sample_prior", "CompositeExplicitAutograd", _sample_prior_any)
torch.library.register_fake("aae::sample_prior", _sample_prior_fake)


# --- assemble_discriminator_batch -----------------------------------------------------------------


def assemble_discriminator_batch(
    codes: Tensor, prior: NormalPrior, n_prior: int, *, seed: int, step: int, offset: int = 0
) -> tuple[Tensor, Tensor]:
    """The discriminator's batch: encoded rows with target 0, then rows of the prior with target 1.

    `codes` is float32 `[n, prior.dim]`, detached: codes that require a gradient raise a ValueError. The
    prior's rows are those of `sample_prior` with `Stream.PRIOR`. Returns the batch, float32
    `[n + n_prior, prior.dim]`, and its targets, float32 `[n + n_prior, 1]`.
    """
    _check_prior("assemble_discriminator_batch", prior)
    _check_tensor("assemble_discriminator_batch", "codes", codes, torch.float32, ("n", prior.dim))
    if codes.requires_grad:
        raise ValueError(
            "assemble_discriminator_batch: codes require a gradient, which would be lost; pass codes.detach()"
        )
    _check_draw("assemble_discriminator_batch", seed, step, Stream.PRIOR)
    _check_rows("assemble_discriminator_batch", n_prior, offset, prior.dim, n_name="n_prior")
    return torch.ops.aae.assemble_discriminator_batch(
        codes, prior.kind, prior.parameters, n_prior, seed, step, int(Stream.PRIOR), offset
    )


def _assemble_discriminator_batch_cpu(codes, kind, parameters, n_prior, seed, step, stream, offset):
    n, dim = codes.shape
    batch, targets = codes.new_empty(n + n_prior, dim), codes.new_empty(n + n_prior, 1)
    aae_native.assemble_discriminator_batch(
        kind, parameters, codes.data_ptr(), batch.data_ptr(), targets.data_ptr(),
        n, n_prior, dim, seed, step, stream, offset,
    )  # fmt: skip
    return batch, targets


def _assemble_discriminator_batch_cuda(codes, kind, parameters, n_prior, seed, step, stream, offset):
    n, dim = codes.shape
    batch, targets = codes.new_empty(n + n_prior, dim), codes.new_empty(n + n_prior, 1)
    prior = aae_native.Prior(0, 0, dim, *parameters, 0, 0, 0, 0, 0)
    _launch(
        "assemble_discriminator_batch", codes.device, prior, codes.data_ptr(), 0, n, n_prior,
        batch.data_ptr(), targets.data_ptr(), seed, step, 0, stream, offset,
    )  # fmt: skip
    return batch, targets


def _assemble_discriminator_batch_fake(codes, kind, parameters, n_prior, seed, step, stream, offset):
    rows = codes.shape[0] + n_prior
    return codes.new_empty(rows, codes.shape[1]), codes.new_empty(rows, 1)


torch.library.define(
    "aae::assemble_discriminator_batch",
    "(Tensor codes, str kind, float[] parameters, SymInt n_prior, SymInt seed, SymInt step, SymInt stream, "
    "SymInt offset) -> (Tensor, Tensor)",
)
torch.library.impl("aae::assemble_discriminator_batch", "CPU", _assemble_discriminator_batch_cpu)
torch.library.impl("aae::assemble_discriminator_batch", "CUDA", _assemble_discriminator_batch_cuda)
torch.library.register_fake("aae::assemble_discriminator_batch", _assemble_discriminator_batch_fake)


# --- draw_minibatch -------------------------------------------------------------------------------


def draw_minibatch(
    images: Tensor, n: int, *, seed: int, step: int, stream: int, offset: int = 0
) -> tuple[Tensor, Tensor]:
    """Draws `n` images uniformly, with replacement.

    `images` is uint8 `[N, pixels]` with 0 < N < 2^32. Returns the drawn images, float32 `[n, pixels]` in
    [0, 1] with every pixel v the nearest float32 to v / 255, and their indices, int64 `[n]`.
    """
    _check_tensor("draw_minibatch", "images", images, torch.uint8, ("N", "pixels"))
    if not 0 < images.shape[0] < 2**32:
        raise ValueError(f"draw_minibatch: images must be 1 to 2^32 - 1 rows, got {images.shape[0]}")
    _check_draw("draw_minibatch", seed, step, stream)
    _check_rows("draw_minibatch", n, offset)
    return torch.ops.aae.draw_minibatch(images, n, seed, step, int(stream), offset)


def _draw_minibatch_cpu(images, n, seed, step, stream, offset):
    out = images.new_empty(n, images.shape[1], dtype=torch.float32)
    indices = images.new_empty(n, dtype=torch.int64)
    aae_native.draw_minibatch(
        images.data_ptr(), *images.shape, out.data_ptr(), indices.data_ptr(), n, seed, step, stream, offset
    )
    return out, indices


def _draw_minibatch_cuda(images, n, seed, step, stream, offset):
    out = images.new_empty(n, images.shape[1], dtype=torch.float32)
    indices = images.new_empty(n, dtype=torch.int64)
    _launch(
        "draw_minibatch", images.device, images.data_ptr(), *images.shape, out.data_ptr(), indices.data_ptr(),
        n, seed, step, 0, stream, offset,
    )  # fmt: skip
    return out, indices


def _draw_minibatch_fake(images, n, seed, step, stream, offset):
    return images.new_empty(n, images.shape[1], dtype=torch.float32), images.new_empty(n, dtype=torch.int64)


torch.library.define(
    "aae::draw_minibatch",
    "(Tensor images, SymInt n, SymInt seed, SymInt step, SymInt stream, SymInt offset) -> (Tensor, Tensor)",
)
torch.library.impl("aae::draw_minibatch", "CPU", _draw_minibatch_cpu)
torch.library.impl("aae::draw_minibatch", "CUDA", _draw_minibatch_cuda)
torch.library.register_fake("aae::draw_minibatch", _draw_minibatch_fake)


# --- CUDA -----------------------------------------------------------------------------------------


def _launch(op, device, *arguments):
    """Queues a native kernel on the stream that is current on `device`, as PyTorch does with its own."""
    kernel = getattr(aae_native, f"{op}_cuda", None)
    if kernel is None:
        reason = aae_native.build_info()["cuda_reason"]
        raise InputError(
            f"{op}: got tensors on a CUDA device, but the native extension was built without CUDA ({reason}); "
            "build it with AAE_CUDA=1 where nvcc is"
        )
    kernel(*arguments, device.index, torch.cuda.current_stream(device).cuda_stream)


# --- checks ---------------------------------------------------------------------------------------


def _check_tensor(op, name, tensor, dtype, shape):
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{op}: {name} must be a tensor, got {type(tensor).__name__}")
    if tensor.dtype != dtype:
        raise TypeError(f"{op}: {name} must be {dtype}, got {tensor.dtype}")
    if tensor.device.type not in ("cpu", "cuda"):
        raise ValueError(f"{op}: {name} must be on a CPU or CUDA device, got {tensor.device}")
    if tensor.dim() != len(shape) or any(
        isinstance(size, int) and size != given for size, given in zip(shape, tensor.shape, strict=True)
    ):
        raise ValueError(f"{op}: {name} must be [{', '.join(map(str, shape))}], got {list(tensor.shape)}")
    if not tensor.is_contiguous():
        raise ValueError(f"{op}: {name} must be contiguous, got strides {tensor.stride()}")


def _check_prior(op, prior):
    if not isinstance(prior, NormalPrior):
        raise TypeError(f"{op}: prior must be a NormalPrior, got {type(prior).__name__}")


def _check_range(op, name, value, bits):
    if not isinstance(value, int):
        raise TypeError(f"{op}: {name} must be an int, got {type(value).__name__}")
    if not 0 <= value < 2**bits:
        raise ValueError(f"{op}: {name} must be within [0, 2^{bits}), got {value}")


def _check_draw(op, seed, step, stream):
    _check_range(op, "seed", seed, 63)
    _check_range(op, "step", step, 48)
    _check_range(op, "stream", stream, 16)


def _check_rows(op, n, offset, dim=1, n_name="n"):
    _check_range(op, n_name, n, 63)
    _check_range(op, "offset", offset, 63)
    if (offset + n) * dim >= 2**63:
        raise ValueError(f"{op}: (offset + {n_name}) * dim must be below 2^63, got ({offset} + {n}) * {dim}")
