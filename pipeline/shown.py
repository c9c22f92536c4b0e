"""Values that a user gave, in a message: short, and without anything that a terminal would obey."""

from typing import Any

LONGEST_VALUE = 80
LONGEST_LINE = 1000


def shown(value: Any) -> str:
    """`value` as Python writes it, cut short."""
    try:
        return shortened(repr(value), LONGEST_VALUE)
    except ValueError:  # Python writes no integers of more than 4300 digits
        return f"an integer of {value.bit_length()} bits" if isinstance(value, int) else "integers that are too long"
    except RecursionError:
        return "values that are nested too deeply"


def one_line(text: str) -> str:
    """`text` in one line, cut short; what cannot be printed is escaped as in Python's strings."""
    line = " ".join(text.split())
    return shortened("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line[:LONGEST_LINE]), LONGEST_LINE)


def shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
