"""The NumPy twins themselves: their emulated fma is exact, and their normals match the formula."""

from fractions import Fraction

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from aae import reference

# Powers that keep product and sum in float32's normal range, where the emulation is used.
floats = st.builds(
    lambda mantissa, exponent, sign: sign * mantissa * 2.0**exponent,
    st.integers(2**23, 2**24 - 1),
    st.integers(-60, 10),
    st.sampled_from([-1, 1]),
)


def nearest_float32(exact: Fraction) -> np.float32:
    """Rounds to nearest, ties to even: chooses the best neighbour of a first guess."""
    guess = np.float32(float(exact))
    candidates = [np.nextafter(guess, -np.inf), guess, np.nextafter(guess, np.inf)]
    return min(candidates, key=lambda c: (abs(Fraction(float(c)) - exact), c.view(np.int32) & 1))


@given(floats, floats, floats)
@example(1 + 2.0**-12, 1 + 2.0**-12, 2.0**-60)  # just above a tie; rounding only through float64 goes down
@example(1 + 2.0**-12, -1 - 2.0**-12, -(2.0**-60))
@example(1 + 2.0**-12, 1 + 2.0**-12, -(2.0**-60))
def test_fma_rounds_once(a, b, c):
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    assert reference.fma32(a, b, c) == nearest_float32(exact)


def test_normals_are_those_of_the_formula():
    """Compared with Box-Muller in float64, for the same uniform number and phase."""
    words = reference.random_words(1, 2, 3, 0, 100_000)
    x, y = words[:, 0], words[:, 1]
    radius = np.sqrt(-2 * np.log(reference.uniform(x).astype(np.float64)))
    exact = radius * np.array([np.cos(y * (2 * np.pi / 2**32)), np.sin(y * (2 * np.pi / 2**32))])
    # One unit in the last place of the radius, the error of the direction, and the rounding of their product.
    bound = radius * (2.0**-23 + 6.9e-8 + 2.0**-24)
    assert (np.abs(np.array(reference.box_muller(x, y, 1.0)) - exact) <= bound).all()


def test_uniform_is_the_middle_of_its_word():
    x = np.array([0, 1, 2, 12345, 2**24 - 1], np.uint32)
    np.testing.assert_array_equal(reference.uniform(x), ((2 * x.astype(np.float64) + 1) / 2**33).astype(np.float32))
