"""The random ops of a training step, each one fused native pass: wrapper, kernels, registration.

Every random number is a pure function of `(seed, stream, step, index)` through Philox4x32-10 (Salmon, Moraes,
Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11). So results do not depend on the device,
the instruction set, the number of threads, or how a batch is split, and a run continues from its step alone.
csrc/philox.h defines the counter's layout, csrc/priors.h and csrc/minibatch.h how samples and indices follow from
the words. Normals come from the transform of Box & Muller (1958).

The ops work under `torch.compile`. None has a gradient. `aae.reference` holds a NumPy twin of each.

Arguments of the same name mean the same everywhere:

    seed    the run's seed, 0 <= seed < 2^63
    step    the training step, 0 <= step < 2^48; or an int64 tensor of one element on the op's device, which is read
            when the op runs, so that a captured CUDA graph can advance it (on CUDA it is taken modulo 2^48)
    stream  what the numbers are for: a `Stream`, or another integer, 0 <= stream < 2^15
    offset  the index of the first random row, for computing a part of a batch: a call with offset=a and n=b-a gives
            rows a to b of the whole batch
    labels  int64 `[rows]`, classes of a prior that has classes, 0 <= label < prior.classes (on CUDA, the caller must
            ensure the range: a check would wait for the device)
    out     contiguous tensors to fill instead of allocating new ones, disjoint from the other arguments; they are
            returned

A wrong type raises TypeError and a wrong value ValueError, naming op and argument. Tensors on a GPU raise
InputError if the extension was built without CUDA. The ops refuse sparse and other layouts, subclasses of Tensor
(except Parameter, and the classes of an active dispatch mode), tensors that `torch.func` transforms, tensors with a
negative bit, and tensors whose storage was freed or is too small. A number of threads (`OMP_NUM_THREADS`) that is not
valid raises ValueError, and one that the system refuses RuntimeError.
"""

from enum import IntEnum

import aae_native
import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from aae.errors import InputError
from aae.op_checks import (
    allocation_error,
    check_draw,
    check_labels,
    check_pair,
    check_prior,
    check_range,
    check_rows,
    check_tensor,
)
from aae.priors import Prior


class Stream(IntEnum):
    """The purposes of random numbers. The values are part of every result: add new ones, never renumber.

    6 is retired: it drew the classes of all prior rows, whatever their purpose.
    """

    PRIOR = 0
    RECONSTRUCTION = 1
    DISCRIMINATOR = 2
    GENERATOR = 3
    NOISE = 4
    EVALUATION = 5
    PENALTY = 7
    MASK = 8
    SPLIT = 9
    SAMPLE = 10
    LABELLED = 11
    RECONSTRUCTION_CODES = 12
    DISCRIMINATOR_CODES = 13
    GENERATOR_CODES = 14
    CLASSIFICATION = 15
    CATEGORY = 16
    INPUT_NOISE = 17
    DISCRIMINATOR_NOISE = 18
    CATEGORY_NOISE = 19


# --- philox4x32 -----------------------------------------------------------------------------------


def philox4x32(counter: Tensor, key: Tensor) -> Tensor:
    """The raw generator: maps counters `[n, 4]` and a key `[2]` to words `[n, 4]`.

    All are int64 tensors that hold 32-bit words, first word first. The upper bits of the input are ignored.
    """
    check_tensor("philox4x32", "counter", counter, torch.int64, ("n", 4))
    check_tensor("philox4x32", "key", key, torch.int64, (2,), counter.device)
    return torch.ops.aae.philox4x32(counter, key)


def _philox4x32_cpu(counter: Tensor, key: Tensor) -> Tensor:
    words = torch.empty_like(counter)
    aae_native.philox4x32(counter.data_ptr(), key.data_ptr(), words.data_ptr(), counter.shape[0])
    return words


def _philox4x32_cuda(counter: Tensor, key: Tensor) -> Tensor:
    words = torch.empty_like(counter)
    _launch("philox4x32", counter.device, counter.data_ptr(), key.data_ptr(), words.data_ptr(), len(counter))
    return words


def _philox4x32_fake(counter: Tensor, key: Tensor) -> Tensor:
    return torch.empty_like(counter)


torch.library.define("aae::philox4x32", "(Tensor counter, Tensor key) -> Tensor")
torch.library.impl("aae::philox4x32", "CPU", _philox4x32_cpu)
torch.library.impl("aae::philox4x32", "CUDA", _philox4x32_cuda)
torch.library.register_fake("aae::philox4x32", _philox4x32_fake)


# --- sample_prior ---------------------------------------------------------------------------------


def sample_prior(
    prior: Prior,
    n: int,
    *,
    seed: int,
    step: int | Tensor,
    stream: int = Stream.PRIOR,
    offset: int = 0,
    labels: Tensor | None = None,
    device: torch.device | str | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Rows `offset` to `offset + n` of the prior's samples at this step: float32 `[n, prior.dim]`.

    If the prior has classes, `labels` `[n]` gives the class of each row. Without `labels`, classes are drawn from a
    separate stream for each `stream`. Without `out`, the samples are on `device`, by default the CPU.
    """
    op = "sample_prior"
    check_prior(op, prior)
    check_rows(op, n, offset, prior.dim)
    if out is None:
        try:
            samples = torch.empty(n, prior.dim, dtype=torch.float32, device="cpu" if device is None else device)
        except (RuntimeError, AssertionError, TypeError) as error:
            raise allocation_error(op, "n", n, error, device) from error
    else:
        samples = out
        if device is not None:
            raise ValueError(f"{op}: device must be left out if out is given, got {device}")
        check_tensor(op, "out", out, torch.float32, (n, prior.dim))
    step, late_step = check_draw(op, seed, step, stream, samples.device)
    if labels is not None:
        check_labels(op, prior, labels, n, samples.device)
    if _bypasses_dispatcher(samples):
        _sample_prior_native(prior.native, samples, labels, late_step, seed, step, stream, offset)
    else:
        torch.ops.aae.sample_prior(
            samples, labels, late_step, prior.kind, prior.classes, prior.parameters, seed, step, int(stream), offset
        )
    if out is not None:
        _note_written(out)
    return samples


def _sample_prior_native(
    prior: aae_native.Prior, out: Tensor, labels: Tensor | None, late_step: Tensor | None,
    seed: int, step: int, stream: int, offset: int,
) -> None:  # fmt: skip
    step = _read_step("sample_prior", step, late_step)
    aae_native.sample_prior(prior, _address(labels), out.data_ptr(), out.shape[0], seed, step, stream, offset)


def _sample_prior_cpu(
    out: Tensor, labels: Tensor | None, late_step: Tensor | None, kind: str, classes: int, parameters: list[float],
    seed: int, step: int, stream: int, offset: int,
) -> None:  # fmt: skip
    prior = aae_native.Prior(kind, out.shape[1], classes, parameters)
    _sample_prior_native(prior, out, labels, late_step, seed, step, stream, offset)


def _sample_prior_cuda(
    out: Tensor, labels: Tensor | None, late_step: Tensor | None, kind: str, classes: int, parameters: list[float],
    seed: int, step: int, stream: int, offset: int,
) -> None:  # fmt: skip
    _launch(
        "sample_prior", out.device, aae_native.Prior(kind, out.shape[1], classes, parameters),
        _address(labels), out.data_ptr(), len(out), seed, step, _address(late_step), stream, offset,
    )  # fmt: skip


torch.library.define(
    "aae::sample_prior",
    "(Tensor(a!) out, Tensor? labels, Tensor? late_step, str kind, SymInt classes, float[] parameters, "
    "SymInt seed, SymInt step, SymInt stream, SymInt offset) -> ()",
)
torch.library.impl("aae::sample_prior", "CPU", _sample_prior_cpu)
torch.library.impl("aae::sample_prior", "CUDA", _sample_prior_cuda)
torch.library.register_fake("aae::sample_prior", lambda *arguments: None)


# --- assemble_discriminator_batch -----------------------------------------------------------------


def assemble_discriminator_batch(
    codes: Tensor,
    prior: Prior,
    n_prior: int,
    *,
    seed: int,
    step: int | Tensor,
    offset: int = 0,
    labels: Tensor | None = None,
    out: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """The discriminator's batch: encoded rows with target 0, then rows of the prior with target 1.

    `codes` is float32 `[n, prior.dim]`, detached: codes that require a gradient raise a ValueError. The prior's rows
    are those of `sample_prior` with `Stream.PRIOR` and no labels. Returns `out`: the batch, float32
    `[n + n_prior, prior.dim]`, and its targets, float32 `[n + n_prior, 1]`.

    With the codes' `labels` `[n]`, the batch is `[n + n_prior, prior.dim + prior.classes]`: each row ends with its
    class, one-hot. A prior row's class is the one it was drawn from.
    """
    op = "assemble_discriminator_batch"
    check_prior(op, prior)
    check_tensor(op, "codes", codes, torch.float32, ("n", prior.dim))
    check_rows(op, n_prior, offset, prior.dim, n_name="n_prior")
    step, late_step = check_draw(op, seed, step, 0, codes.device)
    n = codes.shape[0]
    if labels is not None:
        check_labels(op, prior, labels, n, codes.device)
    rows, width = n + n_prior, prior.dim if labels is None else prior.dim + prior.classes
    if out is None:
        try:
            batch, targets = codes.new_empty(rows, width), codes.new_empty(rows, 1)
        except (RuntimeError, TypeError) as error:
            raise allocation_error(op, "n_prior", n_prior, error) from error
    else:
        batch, targets = check_pair(op, out)
        check_tensor(op, "out[0]", batch, torch.float32, (rows, width), codes.device)
        check_tensor(op, "out[1]", targets, torch.float32, (rows, 1), codes.device)
    if _bypasses_dispatcher(codes) if out is None else _bypasses_dispatcher(codes, batch, targets):
        _assemble_discriminator_batch_native(prior.native, codes, labels, batch, targets, late_step, seed, step, offset)
    else:
        torch.ops.aae.assemble_discriminator_batch(
            batch, targets, codes, labels, late_step, prior.kind, prior.classes, prior.parameters, seed, step, offset
        )
    if out is not None:
        _note_written(out)
    return batch, targets


def _assemble_discriminator_batch_native(
    prior: aae_native.Prior, codes: Tensor, labels: Tensor | None, batch: Tensor, targets: Tensor,
    late_step: Tensor | None, seed: int, step: int, offset: int,
) -> None:  # fmt: skip
    n = codes.shape[0]
    step = _read_step("assemble_discriminator_batch", step, late_step)
    aae_native.assemble_discriminator_batch(
        prior, codes.data_ptr(), _address(labels), batch.data_ptr(), targets.data_ptr(), n, targets.shape[0] - n,
        seed, step, 0, offset,
    )  # fmt: skip


def _assemble_discriminator_batch_cpu(
    batch: Tensor, targets: Tensor, codes: Tensor, labels: Tensor | None, late_step: Tensor | None,
    kind: str, classes: int, parameters: list[float], seed: int, step: int, offset: int,
) -> None:  # fmt: skip
    prior = aae_native.Prior(kind, codes.shape[1], classes, parameters)
    _assemble_discriminator_batch_native(prior, codes, labels, batch, targets, late_step, seed, step, offset)


def _assemble_discriminator_batch_cuda(
    batch: Tensor, targets: Tensor, codes: Tensor, labels: Tensor | None, late_step: Tensor | None,
    kind: str, classes: int, parameters: list[float], seed: int, step: int, offset: int,
) -> None:  # fmt: skip
    n, dim = codes.shape
    _launch(
        "assemble_discriminator_batch", codes.device, aae_native.Prior(kind, dim, classes, parameters),
        codes.data_ptr(), _address(labels), batch.data_ptr(), targets.data_ptr(), n, len(targets) - n,
        seed, step, _address(late_step), Stream.PRIOR, offset,
    )  # fmt: skip


torch.library.define(
    "aae::assemble_discriminator_batch",
    "(Tensor(a!) batch, Tensor(b!) targets, Tensor codes, Tensor? labels, Tensor? late_step, str kind, "
    "SymInt classes, float[] parameters, SymInt seed, SymInt step, SymInt offset) -> ()",
)
torch.library.impl("aae::assemble_discriminator_batch", "CPU", _assemble_discriminator_batch_cpu)
torch.library.impl("aae::assemble_discriminator_batch", "CUDA", _assemble_discriminator_batch_cuda)
torch.library.register_fake("aae::assemble_discriminator_batch", lambda *arguments: None)


# --- draw_minibatch -------------------------------------------------------------------------------


def draw_minibatch(
    images: Tensor,
    n: int,
    *,
    seed: int,
    step: int | Tensor,
    stream: int,
    offset: int = 0,
    out: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Draws `n` images uniformly, with replacement.

    `images` is uint8 `[N, pixels]` with 0 < N < 2^32. Returns `out`: the drawn images, float32 `[n, pixels]` in
    [0, 1] with every pixel v the nearest float32 to v / 255, and their indices, int64 `[n]`.
    """
    op = "draw_minibatch"
    check_tensor(op, "images", images, torch.uint8, ("N", "pixels"))
    if not 0 < images.shape[0] < 2**32:
        raise ValueError(f"{op}: images must be 1 to 2^32 - 1 rows, got {images.shape[0]}")
    step, late_step = check_draw(op, seed, step, stream, images.device)
    check_rows(op, n, offset)
    pixels = images.shape[1]
    if out is None:
        try:
            drawn = images.new_empty(n, pixels, dtype=torch.float32)
            indices = images.new_empty(n, dtype=torch.int64)
        except (RuntimeError, TypeError) as error:
            raise allocation_error(op, "n", n, error) from error
    else:
        drawn, indices = check_pair(op, out)
        check_tensor(op, "out[0]", drawn, torch.float32, (n, pixels), images.device)
        check_tensor(op, "out[1]", indices, torch.int64, (n,), images.device)
    if _bypasses_dispatcher(images, drawn, indices):
        _draw_minibatch_cpu(drawn, indices, images, late_step, seed, step, stream, offset)
    else:
        torch.ops.aae.draw_minibatch(drawn, indices, images, late_step, seed, step, int(stream), offset)
    if out is not None:
        _note_written(out)
    return drawn, indices


def _draw_minibatch_cpu(
    drawn: Tensor, indices: Tensor, images: Tensor, late_step: Tensor | None,
    seed: int, step: int, stream: int, offset: int,
) -> None:  # fmt: skip
    step = _read_step("draw_minibatch", step, late_step)
    n_images, pixels = images.shape
    aae_native.draw_minibatch(
        images.data_ptr(),
        n_images,
        pixels,
        drawn.data_ptr(),
        indices.data_ptr(),
        indices.shape[0],
        seed,
        step,
        stream,
        offset,
    )


def _draw_minibatch_cuda(
    drawn: Tensor, indices: Tensor, images: Tensor, late_step: Tensor | None,
    seed: int, step: int, stream: int, offset: int,
) -> None:  # fmt: skip
    _launch(
        "draw_minibatch", images.device, images.data_ptr(), *images.shape, drawn.data_ptr(), indices.data_ptr(),
        len(indices), seed, step, _address(late_step), stream, offset,
    )  # fmt: skip


torch.library.define(
    "aae::draw_minibatch",
    "(Tensor(a!) drawn, Tensor(b!) indices, Tensor images, Tensor? late_step, SymInt seed, SymInt step, "
    "SymInt stream, SymInt offset) -> ()",
)
torch.library.impl("aae::draw_minibatch", "CPU", _draw_minibatch_cpu)
torch.library.impl("aae::draw_minibatch", "CUDA", _draw_minibatch_cuda)
torch.library.register_fake("aae::draw_minibatch", lambda *arguments: None)


# --- around the kernels ---------------------------------------------------------------------------


def _bypasses_dispatcher(*tensors: Tensor) -> bool:
    """Whether a CPU kernel may be called directly: PyTorch's dispatcher takes longer than making a step's whole batch.

    The dispatcher must see the call while torch.compile traces, while a dispatch mode is active, and if a tensor is on
    a GPU or of a subclass.
    """
    if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack():
        return False
    for tensor in tensors:  # noqa: SIM110  (all() takes three times as long)
        if type(tensor) is not Tensor or not tensor.is_cpu:
            return False
    return True


def _note_written(out: Tensor | tuple[Tensor, Tensor]) -> None:
    """Tells autograd that the caller's tensors changed, in case it saved one for a backward pass."""
    if not torch.compiler.is_compiling():
        increment_version(out)


def _address(tensor: Tensor | None) -> int:
    """0 only for None: an empty tensor has no memory and gets an address that is never read."""
    return 0 if tensor is None else tensor.data_ptr() or tensor.element_size()


def _read_step(op: str, step: int, late_step: Tensor | None) -> int:
    """The present value of `late_step`, or `step` if there is no such tensor."""
    if late_step is not None:
        step = int(late_step.item())
        check_range(op, "step", step, 2**48)
    return step


def _launch(op: str, device: torch.device, *arguments: int | str | aae_native.Prior) -> None:
    """Queues a native CUDA kernel on the device's current stream, as PyTorch queues its own kernels."""
    kernel = getattr(aae_native, f"{op}_cuda", None)
    if kernel is None:
        reason = aae_native.build_info()["cuda_reason"]
        raise InputError(
            f"{op}: got tensors on a CUDA device, but the native extension was built without CUDA ({reason}); "
            "build it with AAE_CUDA=1 on a machine with nvcc"
        )
    kernel(*arguments, device.index, torch.cuda.current_stream(device).cuda_stream)
