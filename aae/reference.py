"""NumPy twins of the native ops, equal bit for bit: the plainest definition, with which the tests compare.

They do not need the native extension. They take the arguments of `aae.ops`, as NumPy arrays, and do not check them.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

F32 = np.float32


def philox4x32(counter: np.ndarray, key: Iterable[int]) -> np.ndarray:
    """Philox4x32-10 (Salmon et al., SC'11): counters `[n, 4]` and a key `[2]` to words, uint32 `[n, 4]`."""
    c0, c1, c2, c3 = np.asarray(counter, np.uint64).T
    k0, k1 = (int(word) for word in key)
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ np.uint64(k0), p1 & low, (p0 >> 32) ^ c3 ^ np.uint64(k1), p0 & low
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)


def random_words(seed: int, step: int, stream: int, first_block: int, blocks: int) -> np.ndarray:
    """The words of `blocks` consecutive blocks: uint32 `[blocks, 4]`."""
    index = np.uint64(first_block) + np.arange(blocks, dtype=np.uint64)
    counter = np.empty((blocks, 4), np.uint64)
    counter[:, 0] = index % 2**32
    counter[:, 1] = index >> 32
    counter[:, 2] = step % 2**32
    counter[:, 3] = (step >> 32) | (stream << 16)
    return philox4x32(counter, (seed % 2**32, seed >> 32))


def fma32(a: ArrayLike, b: ArrayLike, c: ArrayLike) -> np.ndarray:
    """a * b + c in float32, rounded once.

    The product of two float32 is exact in float64. Its sum with c is rounded to odd (an inexact result becomes
    the neighbour whose last bit is 1). Rounding that to float32 then gives the same as a single rounding
    (Boldo & Melquiond, "Emulation of a FMA and correctly rounded sums", IEEE Trans. Comp., 2008).
    """
    a, b, c = np.broadcast_arrays(*(np.asarray(x, F32).astype(np.float64) for x in (a, b, c)))
    product = a * b
    total = product + c
    part = total - product
    error = (product - (total - part)) + (c - part)
    bits = total.view(np.int64)
    toward_error = np.where((error > 0) == (total > 0), 1, -1)
    odd = np.where((error != 0) & (bits % 2 == 0), bits + toward_error, bits)
    return odd.view(np.float64).astype(F32)


def polynomial(x: np.ndarray, *coefficients: str) -> np.ndarray:
    """Horner's scheme with fma, highest degree first; coefficients are hexadecimal floats."""
    value = np.asarray(F32(float.fromhex(coefficients[0])))
    for coefficient in coefficients[1:]:
        value = fma32(value, x, F32(float.fromhex(coefficient)))
    return value


def uniform(x: np.ndarray) -> np.ndarray:
    """uint32 words to float32 in (0, 1]: at least 2^-33, and 1 for the 128 largest words."""
    return fma32(x.astype(F32), F32(2.0**-32), F32(2.0**-33))


def log32(u: np.ndarray) -> np.ndarray:
    """The natural logarithm of positive normal float32 values."""
    bits = u.view(np.int32)
    shifted = (bits - F32(2 / 3).view(np.int32)) & ~0x7FFFFF
    f = (bits - shifted).view(F32) - F32(1)
    e = shifted.astype(F32) * F32(2.0**-23)
    p = polynomial(
        f, "-0x1.178644p-3", "0x1.1cb600p-3", "-0x1.eb3feap-4", "0x1.1f494cp-3", "-0x1.55eecep-3",
        "0x1.99c676p-3", "-0x1.fffcdcp-3", "0x1.555528p-2", "-0x1p-1",
    )  # fmt: skip
    return fma32(e, F32(np.log(2)), fma32(f * f, p, f))


def cos_sin_turn(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine of 2 pi x / 2^32 for uint32 words x, as float32."""
    quadrant = (x + np.uint32(2**29)) >> 30
    t = (x - (quadrant << 30)).view(np.int32).astype(F32) * F32(2.0**-30)
    z = t * t
    s = polynomial(z, "-0x1.2da156p-8", "0x1.465eeap-4", "-0x1.4abbbap-1", "-0x1.a32c1cp-25")
    s = fma32(t, F32(np.pi / 2), t * s)
    c = polynomial(z, "0x1.d4f7eep-11", "-0x1.55b2b6p-6", "0x1.03c1b0p-2", "-0x1.3bd3ccp+0", "0x1p+0")
    return np.choose(quadrant, [c, -s, -c, s]), np.choose(quadrant, [s, c, -s, -c])


def box_muller(x: np.ndarray, y: np.ndarray, std: float) -> tuple[np.ndarray, np.ndarray]:
    """Two uint32 words to two normals, as float32 (Box & Muller, 1958)."""
    radius = np.sqrt(F32(-2) * log32(uniform(x)))
    cos, sin = cos_sin_turn(y)
    return radius * cos * F32(std), radius * sin * F32(std)


def symmetric_uniform(x: np.ndarray, bound: float) -> np.ndarray:
    """uint32 words to float32 on [-bound, bound]."""
    centred = (x ^ np.uint32(2**31)).view(np.int32).astype(F32)
    return fma32(centred, F32(bound) * F32(2.0**-31), F32(bound) * F32(2.0**-32))


def mixture_rows(prior: Any, words: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Words uint32 `[n, 4]` and classes `[n]` to samples float32 `[n, 2]` of a `MixturePrior`."""
    turn = 0xFFFFFFFF // prior.classes + 1
    cos, sin = cos_sin_turn((classes * turn % 2**32).astype(np.uint32))
    z0, z1 = box_muller(words[:, 0], words[:, 1], 1.0)
    along = fma32(F32(prior.radial_std), z0, F32(prior.radius))
    across = F32(prior.tangential_std) * z1
    return np.stack([fma32(along, cos, -(across * sin)), fma32(along, sin, across * cos)], axis=1)


def swiss_roll_rows(prior: Any, words: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Words uint32 `[n, 4]` and classes `[n]` to samples float32 `[n, 2]` of a `SwissRollPrior`."""
    s = np.sqrt((classes.astype(F32) + uniform(words[:, 0])) / F32(prior.classes))
    phase = (F32(prior.turns) * s * F32(2.0**32)).astype(np.int64) % 2**32
    cos, sin = cos_sin_turn(phase.astype(np.uint32))
    r = F32(prior.radius) * s
    return np.stack([r * cos, r * sin], axis=1)


def draw_classes(prior: Any, n: int, *, seed: int, step: int, stream: int = 0, offset: int = 0) -> np.ndarray:
    """The classes of the rows of `stream` without labels, int64 `[n]`, drawn from a separate stream."""
    words = random_words(seed, step, 2**15 + stream, offset, n)[:, 0].astype(np.int64)
    return words * prior.classes >> 32


def sample_prior(
    prior: Any, n: int, *, seed: int, step: int, stream: int = 0, offset: int = 0, labels: np.ndarray | None = None
) -> np.ndarray:
    """Twin of `aae.ops.sample_prior`: float32 `[n, prior.dim]`."""
    if prior.classes:
        words = random_words(seed, step, stream, offset, n)
        drawn = draw_classes(prior, n, seed=seed, step=step, stream=stream, offset=offset)
        classes = drawn if labels is None else labels
        return {"mixture": mixture_rows, "swiss_roll": swiss_roll_rows}[prior.kind](prior, words, classes)
    first, count = offset * prior.dim, n * prior.dim
    blocks = -(-(first % 4 + count) // 4)
    words = random_words(seed, step, stream, first // 4, blocks)
    if prior.kind == "normal":
        x0, x1, x2, x3 = words.T
        elements = np.stack([*box_muller(x0, x1, prior.std), *box_muller(x2, x3, prior.std)], axis=1)
    else:
        elements = symmetric_uniform(words, prior.bound)
    return elements.reshape(-1)[first % 4 :][:count].reshape(n, prior.dim)


def assemble_discriminator_batch(
    codes: np.ndarray,
    prior: Any,
    n_prior: int,
    *,
    seed: int,
    step: int,
    offset: int = 0,
    labels: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Twin of `aae.ops.assemble_discriminator_batch`."""
    batch = np.concatenate([codes, sample_prior(prior, n_prior, seed=seed, step=step, offset=offset)])
    targets = np.concatenate([np.zeros((len(codes), 1), F32), np.ones((n_prior, 1), F32)])
    if labels is not None:
        drawn = draw_classes(prior, n_prior, seed=seed, step=step, offset=offset)
        one_hot = np.eye(prior.classes, dtype=F32)[np.concatenate([labels, drawn])]
        batch = np.concatenate([batch, one_hot], axis=1)
    return batch, targets


def draw_minibatch(
    images: np.ndarray, n: int, *, seed: int, step: int, stream: int, offset: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Twin of `aae.ops.draw_minibatch`."""
    words = random_words(seed, step, stream, offset // 2, n // 2 + 1).reshape(-1, 2)[offset % 2 :][:n]
    indices = np.array([(int(high) << 32 | int(low)) * len(images) >> 64 for low, high in words], np.int64)
    return images[indices].astype(F32) / F32(255), indices
