"""Line charts over the epochs, in the coordinates of an SVG: this module has the geometry, and a template draws it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Line = list[tuple[float, float]]  # points (epoch, value)

WIDTH, HEIGHT = 360, 210
LEFT, RIGHT, TOP, BOTTOM = 42, 350, 10, 186  # of the plot
LINE_HEIGHT = 13  # of text
FRAME = {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM}


@dataclass(frozen=True)
class Series:
    """One line for each seed; `style` is the CSS class that gives their colour."""

    name: str
    style: str
    dashed: bool
    lines: list[Line]


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
    """Polylines and ticks for `series` and `levels`; `log` makes the axis logarithmic if all values are positive."""
    points = [point for entry in series for line in entry.lines for point in line]
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
                "polylines": [polyline(line) for line in entry.lines],
                "values": [[[x, float(f"{y:.4g}")] for x, y in line] for line in entry.lines],
                "ends": [(f"{x:g}", f"{y:.3g}") for x, y in (entry.lines[0][0], entry.lines[0][-1])],
            }
            for entry in series
        ],
        "levels": [
            {"name": level.name, "y": down(level.mean), "top": down(level.high), "end": down(level.low), "text": text}
            for level, text in zip(levels, apart([down(level.high) - 5 for level in levels]), strict=True)
        ],
        "x_ticks": [(across(x), f"{x:g}") for x in linear_ticks(0, last) if x <= last],
        "y_ticks": [(down(y), f"{y:g}") for y in y_ticks],
    }


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
