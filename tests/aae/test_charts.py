"""The curves' geometry: lines, bands and ticks are drawn at their values."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aae.charts import (
    BOTTOM,
    LEFT,
    MOST_POINTS,
    RIGHT,
    TOP,
    Level,
    Series,
    chart,
    evenly,
    linear_ticks,
    log_ticks,
    thinned,
)
from aae.errors import InputError

FALLING = [(epoch, 10.0 / epoch) for epoch in range(1, 11)]


def points(polyline: str) -> list[tuple[float, float]]:
    return [tuple(map(float, point.split(","))) for point in polyline.split()]


def of(*lines, **settings) -> dict:
    return chart("title", "unit", [Series("AAE", "model-0", False, list(lines))], **settings)


@pytest.mark.parametrize("log", [False, True])
def test_a_line_stays_inside_and_falls_where_its_values_fall(log):
    line = points(of(FALLING, log=log)["series"][0]["polylines"][0])
    assert len(line) == 10
    assert all(LEFT <= x <= RIGHT and TOP <= y <= BOTTOM for x, y in line)
    assert [x for x, _ in line] == sorted({x for x, _ in line})
    assert [y for _, y in line] == sorted(y for _, y in line), "downwards"


def test_values_stand_between_the_ticks_of_their_numbers():
    made = of([(0, 2.0), (4, 6.0)])
    places = {float(text): y for y, text in made["y_ticks"]}
    (left, low), (right, high) = points(made["series"][0]["polylines"][0])
    assert (low, high) == (places[2], places[6])
    assert (left, right) == (LEFT, RIGHT)
    assert made["series"][0]["values"] == [[[0, 2.0], [4, 6.0]]]


def test_every_level_is_inside_with_its_band():
    """Even if it is far from all values."""
    made = of(FALLING, levels=[Level("floor", 0.02, 0.01, 0.04), Level("other", 500, 500, 500)], log=True)
    floor, other = made["levels"]
    assert TOP <= other["top"] == other["y"] == other["end"] < floor["top"] < floor["y"] < floor["end"] <= BOTTOM
    assert floor["y"] - floor["top"] == pytest.approx(floor["end"] - floor["y"], abs=0.2), "factors of 2, logarithmic"


def test_names_of_levels_do_not_overlap():
    """Names are above their levels, and names of higher levels are above names of lower ones."""
    made = of(FALLING, levels=[Level(str(value), value, value, value) for value in (5.01, 5.0, 0.3, 4.99)])
    places = [level["text"] for level in made["levels"]]
    upwards = sorted(range(4), key=lambda i: -places[i])
    assert upwards == [2, 3, 1, 0]
    assert all(places[a] - places[b] >= 12 for a, b in pairwise(upwards))
    assert all(level["text"] < level["y"] for level in made["levels"])
    assert places[3] == made["levels"][3]["y"] - 5, "the lowest name of a cluster is not moved"


@pytest.mark.parametrize("low", [0.0, -0.001])
def test_without_a_logarithm_the_axis_is_linear(low):
    assert of(FALLING, log=True)["unit"] == "unit, logarithmic"
    assert of([(0, low), (1, 3.0)], log=True)["unit"] == "unit"
    assert of(FALLING, levels=[Level("floor", 0.1, low, 0.2)], log=True)["unit"] == "unit"


def test_a_single_point_is_drawn():
    assert len(points(of([(3, 1.0)])["series"][0]["polylines"][0])) == 2, "a line of one point draws nothing"


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_linear_ticks(low, span):
    ticks = linear_ticks(low, low + span)
    assert 2 <= len({f"{tick:g}" for tick in ticks}) == len(ticks) <= 8
    slack = 1e-9 * max(abs(low), span)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= low + span - slack
    steps = [b - a for a, b in pairwise(ticks)]
    assert min(steps) > 0
    assert max(steps) == pytest.approx(min(steps), rel=1e-3, abs=slack)


@given(st.floats(1e-9, 1e6), st.floats(1, 1e6))
def test_log_ticks(low, ratio):
    ticks = log_ticks(low, low * ratio)
    assert ticks == sorted(set(ticks))
    assert 2 <= len(ticks) <= 9
    assert ticks[0] <= low
    assert ticks[-1] >= low * ratio
    assert all(f"{tick:e}"[0] in "125" and math.isclose(tick, float(f"{tick:.0e}")) for tick in ticks)


def test_many_lines_become_a_median_and_a_band():
    """Of the values 0 to 10, the deciles are 1 and 9. The line of the first seed is drawn as well."""
    made = of(*([(0, float(10 - seed)), (4, 10.0 - seed)] for seed in range(11)))
    (series,) = made["series"]
    assert series["values"] == [[[0, y], [4, y]] for y in (5.0, 1.0, 9.0)]
    places = {float(text): y for y, text in made["y_ticks"]}
    assert points(series["first"]) == [(LEFT, places[10]), (RIGHT, places[10])]
    assert [x for x, _ in points(series["band"])] == [LEFT, RIGHT, RIGHT, LEFT], "along one edge and back"
    assert len(series["polylines"]) == 1
    assert of(*([(1, 1.0)] for _ in range(10)))["series"][0]["band"] == "", "ten lines are drawn one by one"


def test_runs_of_different_length_have_no_band():
    with pytest.raises(InputError, match="the runs of AAE have different epochs"):
        of(*([(0, 1.0)] for _ in range(20)), [(1, 1.0)])


@given(st.integers(1, 20_000), st.integers(0, 19_999))
def test_thinned_lines_keep_their_peaks_and_ends(length, peak):
    line = [(epoch, 5.0 if epoch == peak else epoch % 3) for epoch in range(length)]
    shown = thinned(line)
    assert len(shown) <= MOST_POINTS
    assert shown == sorted(set(shown) & set(line))
    assert (shown[0], shown[-1]) == (line[0], line[-1])
    assert max(y for _, y in shown) == max(y for _, y in line)


@given(st.integers(1, 20_000), st.integers(2, 600))
def test_evenly_spaced_epochs(length, most):
    shown = evenly(range(length), most)
    assert len(shown) <= most
    assert (shown[0], shown[-1]) == (0, length - 1)
    assert len(set(map(int.__sub__, shown[1:-1], shown[:-2]))) <= 1
