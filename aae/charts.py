"""Line charts over the epochs, in the coordinates of an SVG: this module has the geometry, and a template draws it.

A few lines are drawn one by one. Many lines of a series are drawn as their median and a band of quantiles.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from aae.errors import InputError

Line = list[tuple[float, float]]  # points (epoch, value)

WIDTH, HEIGHT = 360, 210
LEFT, RIGHT, TOP, BOTTOM = 42, 350, 10, 186  # of the plot
LINE_HEIGHT = 13  # of text
MOST_LINES = 10  # of a series; with more, it is drawn as a band
BAND = (0.1, 0.9)  # the quantiles at the edges of a band
MOST_POINTS = 1000  # of a line; a chart is a few hundred pixels wide
FRAME = {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM}


@dataclass(frozen=True)
class Series:
    """One line for each seed; `style` is the CSS class that gives their colour."""

    name: str
    style: str
    dashed: bool
    lines: list[Line]

    @property
    def banded(self) -> bool:
        """Whether it is drawn as a band, because it has many lines."""
        return len(self.lines) > MOST_LINES

    def drawn(self) -> list[Line]:
        """The lines to draw: all of them or, for a band, the median, the lower and the upper edge, and the first line.

        The lines of a band must have the same epochs.
        """
        lines = self.lines
        if self.banded:
            epochs = [epoch for epoch, _ in lines[0]]
            if any([epoch for epoch, _ in line] != epochs for line in lines):
                raise InputError(f"the runs of {self.name} have different epochs; `dvc repro` makes them again")
            values = np.array([[value for _, value in line] for line in lines])
            quantiles = np.quantile(values, (0.5, *BAND), axis=0).tolist()
            lines = [*(list(zip(epochs, each, strict=True)) for each in quantiles), lines[0]]
        return [thinned(line) for line in lines]


@dataclass(frozen=True)
class Level:
    """A horizontal line to compare with, and the band around it if `low` and `high` differ."""

    name: str
    mean: float
    low: float
    high: float


def chart(
    title: str, unit: str, series: Sequence[Series], *, levels: Sequence[Level] = (), log: bool = False
) -> dict[str, Any]:
    """Polylines and ticks for `series` and `levels`; `log` makes the axis logarithmic if all values are positive.

    Of a banded series, `polylines` has the median, `band` the polygon between the edges, `first` the line of the first
    seed, and `values` the median and the edges.
    """
    drawn = [entry.drawn() for entry in series]
    points = [point for lines in drawn for line in lines for point in line]
    last = max(x for x, _ in points)
    enclosed = [y for _, y in points] + [y for level in levels for y in (level.low, level.high)]
    log = log and min(enclosed) > 0
    y_ticks = (log_ticks if log else linear_ticks)(min(enclosed), max(enclosed))
    scale = math.log if log else float
    low, high = scale(y_ticks[0]), scale(y_ticks[-1])

    def across(x: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * x / last, 1)

    def down(y: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * (scale(y) - low) / (high - low), 1)

    def polyline(line: Line) -> str:
        # A single point is listed twice, which draws a dot.
        return " ".join(f"{across(x)},{down(y)}" for x, y in (line if len(line) > 1 else 2 * line))

    return {
        "title": title,
        "unit": f"{unit}, logarithmic" if log else unit,
        "last": last,
        "series": [
            {
                "name": entry.name,
                "style": f"line {entry.style}{' dashed' if entry.dashed else ''}",
                "polylines": [polyline(line) for line in (lines[:1] if entry.banded else lines)],
                "values": [
                    [[x, float(f"{y:.4g}")] for x, y in line] for line in (lines[:3] if entry.banded else lines)
                ],
                "ends": [(f"{x:g}", f"{y:.3g}") for x, y in (lines[0][0], lines[0][-1])],
                "band": polyline(lines[1] + lines[2][::-1]) if entry.banded else "",
                "first": polyline(lines[3]) if entry.banded else "",
            }
            for entry, lines in zip(series, drawn, strict=True)
        ],
        "levels": [
            {"name": level.name, "y": down(level.mean), "top": down(level.high), "end": down(level.low), "text": text}
            for level, text in zip(levels, apart([down(level.high) - 5 for level in levels]), strict=True)
        ],
        "x_ticks": [(across(x), f"{x:g}") for x in linear_ticks(0, last) if x <= last],
        "y_ticks": [(down(y), f"{y:g}") for y in y_ticks],
    }


def evenly(epochs: Sequence[int], most: int) -> list[int]:
    """Every epoch, or every second, third and so on, and the last one, so that there are at most `most`."""
    step = max(1, math.ceil((len(epochs) - 1) / (most - 1)))
    return [*epochs[:-1:step], epochs[-1]]


def thinned(line: Line) -> Line:
    """The line with at most `MOST_POINTS` points: both ends and, of each stretch of epochs, the lowest and the highest.

    So peaks of a single epoch remain.
    """
    if len(line) <= MOST_POINTS:
        return line
    width = math.ceil((len(line) - 2) / (MOST_POINTS // 2 - 1))
    found = [line[0]]
    for start in range(1, len(line) - 1, width):
        stretch = line[start : min(start + width, len(line) - 1)]
        ends = {min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}
        found += sorted(ends)
    return [*found, line[-1]]


def apart(places: Sequence[float]) -> list[float]:
    """Positions for lines of text that should be at `places` (downwards): moved up to make room for those below."""
    found = list(places)
    for lower, upper in pairwise(sorted(range(len(found)), key=lambda i: -places[i])):
        found[upper] = round(min(found[upper], found[lower] - LINE_HEIGHT), 1)
    return found


def linear_ticks(low: float, high: float) -> list[float]:
    """Two to seven round numbers, the first at most `low` and the last at least `high`."""
    # Far enough apart that their labels, of six digits, differ.
    span = max(high - low, 1e-4 * max(abs(low), abs(high)))
    span = span if span > 1e-9 else 1.0
    power = 10.0 ** math.floor(math.log10(span))
    step = next(power * k for k in (0.2, 0.5, 1, 2) if span / (power * k) <= 5)
    first, last = math.floor(low / step), max(math.ceil(high / step), math.floor(low / step) + 1)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten (only the powers if the range is wide) that enclose both ends."""
    first, last = math.floor(math.log10(low)) - 1, math.floor(math.log10(high)) + 2
    digits = (1, 2, 5) if high / low < 50 else (1,)
    numbers = [float(f"{d}e{power}") for power in range(first, last + 1) for d in digits]
    start = max(i for i, number in enumerate(numbers) if number <= low)
    end = min(i for i, number in enumerate(numbers) if number >= high and i > start)
    return numbers[start : end + 1]
