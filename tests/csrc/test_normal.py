"""Normals from words (csrc/normal.h): accuracy, extremes, and the same bits on every instruction set."""

import aae_native
import numpy as np
import pytest

from aae import reference

# The errors that csrc/normal.h states. They were measured over every input; these tests use a dense subset.
LOG_ULP, RADIUS_ULP, COS_ULP, SIN_ULP = 0.97, 0.98, 1.15, 1.35
COS_ERROR, SIN_ERROR = 6.9e-8, 6.0e-8


def uniform(words):
    out = np.empty(len(words), np.float32)
    aae_native.uniform(words.ctypes.data, out.ctypes.data, len(words))
    return out


def log32(u):
    out = np.empty(len(u), np.float32)
    aae_native.log32(u.ctypes.data, out.ctypes.data, len(u))
    return out


def cos_sin_turn(words):
    cos, sin = np.empty(len(words), np.float32), np.empty(len(words), np.float32)
    aae_native.cos_sin_turn(words.ctypes.data, cos.ctypes.data, sin.ctypes.data, len(words))
    return cos, sin


def normal_from_words(words, std):
    out = np.empty(words.shape, np.float32)
    aae_native.normal_from_words(words.ctypes.data, out.ctypes.data, len(words), std)
    return out


def ulps(value, exact):
    """The error in float32 units in the last place of the exact value."""
    return np.abs(value - exact) / 2.0 ** (np.frexp(exact)[1] - 24)


def uniforms():
    """Every 97th float in [2^-33, 1), and the floats near the ends of the polynomial's range."""
    low, high = np.array([2.0**-33, 1.0], np.float32).view(np.int32)
    wraps = np.float32(2 / 3).view(np.int32) - (np.arange(33) << 23)
    near = (wraps[:, None] + np.arange(-2000, 2000)).reshape(-1)
    bits = np.concatenate([np.arange(low, high, 97), near[near >= low], np.arange(high - 2000, high)])
    return bits.astype(np.int32).view(np.float32)


def phases():
    """Every 997th word, and the words near multiples of an eighth of a turn."""
    near = (np.arange(8)[:, None] << 29) + np.arange(-2000, 2000)
    return np.concatenate([np.arange(0, 2**32, 997), near.reshape(-1) % 2**32]).astype(np.uint32)


def test_log_accuracy():
    u = uniforms()
    log, exact = log32(u), np.log(u.astype(np.float64))
    assert ulps(log, exact).max() <= LOG_ULP
    assert ulps(np.sqrt(np.float32(-2) * log), np.sqrt(-2 * exact)).max() <= RADIUS_ULP
    assert log32(np.ones(1, np.float32)) == 0


def test_cos_sin_accuracy():
    words = phases()
    cos, sin = cos_sin_turn(words)
    # A word's distance from the middle of its quadrant is exact, so its sine and cosine in float64 are practically
    # exact too. Near their zeros, the sine and cosine of 2 pi x would not be.
    quadrant = (words + np.uint32(2**29)) >> 30
    angle = (words - (quadrant << 30)).view(np.int32) * (np.pi / 2 * 2.0**-30)
    c, s = np.cos(angle), np.sin(angle)
    exact_cos, exact_sin = np.choose(quadrant, [c, -s, -c, s]), np.choose(quadrant, [s, c, -s, -c])
    even = quadrant % 2 == 0
    assert np.abs(np.where(even, cos - exact_cos, sin - exact_sin)).max() <= COS_ERROR
    assert np.abs(np.where(even, sin - exact_sin, cos - exact_cos)).max() <= SIN_ERROR
    assert ulps(np.where(even, cos, sin), np.where(even, exact_cos, exact_sin)).max() <= COS_ULP
    nonzero = angle != 0
    assert ulps(np.where(even, sin, cos), np.where(even, exact_sin, exact_cos))[nonzero].max() <= SIN_ULP
    assert np.abs(cos.astype(np.float64) ** 2 + sin.astype(np.float64) ** 2 - 1).max() <= 2 * np.sqrt(2) * COS_ERROR


def test_extremes():
    words = np.array([0, 2**32 - 129, 2**32 - 128, 2**32 - 1], np.uint32)
    np.testing.assert_array_equal(uniform(words), [2.0**-33, 1 - 2.0**-24, 1, 1])
    quarter_turns = np.array([0, 2**30, 2**31, 3 * 2**30], np.uint32)
    np.testing.assert_array_equal(cos_sin_turn(quarter_turns), [[1, 0, -1, 0], [0, 1, 0, -1]])
    farthest = normal_from_words(np.array([[0, 0], [0, 2**31]], np.uint32), 1.0)[:, 0]
    np.testing.assert_allclose(farthest, [6.7637, -6.7637], atol=5e-5)
    np.testing.assert_array_equal(normal_from_words(np.array([[2**32 - 1, 0]], np.uint32), 1.0), [[0, 0]])


def test_bits_are_the_reference_on_every_isa(isa):
    def assert_same_bits(native, expected):
        np.testing.assert_array_equal(native.view(np.int32), np.ascontiguousarray(expected).view(np.int32))

    stride = 50 if isa == "portable" else 4
    words, u = phases()[::stride].copy(), uniforms()[::stride].copy()
    assert_same_bits(uniform(words), reference.uniform(words))
    assert_same_bits(log32(u), reference.log32(u))
    assert_same_bits(np.stack(cos_sin_turn(words)), np.stack(reference.cos_sin_turn(words)))
    pairs = words[: len(words) // 2 * 2].reshape(2, -1).T.copy()
    assert_same_bits(normal_from_words(pairs, 2.7), np.stack(reference.box_muller(*pairs.T, std=2.7), axis=1))


def test_set_isa_refuses_what_is_not_there():
    with pytest.raises(ValueError, match="no instruction set 'abacus'"):
        aae_native.set_isa("abacus")
