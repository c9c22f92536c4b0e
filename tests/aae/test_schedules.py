"""Values by step: known answers, end points, and the same values in every form."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aae.errors import InputError
from aae.schedules import Schedule, tensor_by_step, value_by_step

CPU = torch.device("cpu")
VALUES = st.floats(1e-6, 1e3)


def values(schedule, steps):
    by_step = value_by_step(schedule, steps, CPU)
    return [by_step(step) for step in range(steps)]


def test_linear():
    assert values(Schedule(1.0, 0.0), 4) == [1.0, 0.75, 0.5, 0.25]
    assert values(Schedule(0.0, 1.0, until=0.5), 8) == [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]


def test_exponential():
    assert values(Schedule(1.0, 16.0, "exponential"), 4) == pytest.approx([1, 2, 4, 8], rel=1e-15)
    assert values(Schedule(0.02, 1.0, "exponential", until=0.8), 10)[8:] == pytest.approx([1.0, 1.0], rel=1e-15)


def test_a_constant_is_its_number():
    assert value_by_step(0.001, 5, CPU)(3) == 0.001


@given(VALUES, VALUES, st.sampled_from(["linear", "exponential"]), st.floats(0.01, 1), st.integers(1, 200))
def test_between_its_ends_and_one_way(start, end, shape, until, steps):
    found = values(Schedule(start, end, shape, until), steps)
    assert found[0] == pytest.approx(start, rel=1e-15)
    assert max(1.0, until * steps) > steps - 1 or found[-1] == pytest.approx(end, rel=1e-15)
    low, high = min(start, end), max(start, end)
    assert all(low * (1 - 1e-12) <= value <= high * (1 + 1e-12) for value in found)
    rising = [b - a for a, b in pairwise(found)]
    assert all(change * (end - start) >= 0 or abs(change) <= 1e-12 * high for change in rising)


def test_after_the_training_it_stays():
    by_step = value_by_step(Schedule(1.0, 0.0), 4, CPU)
    assert by_step(4) == by_step(100) == by_step(3)


def test_tensors_follow_a_step_that_is_a_tensor():
    schedule = Schedule(0.02, 1.0, "exponential", until=0.8)
    by_step, expected = tensor_by_step(schedule, 50, CPU), values(schedule, 50)
    for step in (0, 1, 39, 40, 49, 60):
        found = by_step(torch.tensor(step))
        assert (found.dtype, found.shape) == (torch.float32, ())
        assert found == by_step(step) == torch.tensor(expected[min(step, 49)], dtype=torch.float32)


@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (1.0, 0.0)])
def test_an_exponential_schedule_has_no_end_at_zero(start, end):
    with pytest.raises(InputError, match="an exponential schedule needs start and end above 0; found"):
        Schedule(start, end, "exponential")
