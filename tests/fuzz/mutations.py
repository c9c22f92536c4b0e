"""Mutates valid input with a seeded random generator. FUZZ=n tries n inputs per reader."""

import os
import random
from collections.abc import Callable, Iterable
from typing import Any

from aae.errors import InputError

INPUTS = int(os.environ.get("FUZZ", "200"))
LONGEST_LINE = 2000
NUMBERS = [None, True, -1, 0, 2**63, 10**40, 1e308, float("inf"), float("nan")]
HOSTILE = [*NUMBERS, "", "0", "\x1b[31m", "a\nb", [], {}, [[]]]


def mutated(content: bytes, dice: random.Random) -> bytes:
    """A copy of `content` in which one to four times bytes are changed, overwritten, removed or added."""
    data = bytearray(content)
    for _ in range(dice.randint(1, 4)):
        place = dice.randrange(len(data) + 1)
        choice = dice.randrange(4)
        if choice == 0:
            data[place : place + 1] = bytes([dice.randrange(256)])
        elif choice == 1:
            data[place : place + 4] = dice.choice([b"\xff\xff\xff\xff", bytes(4), b"\x7f\xff\xff\xff"])
        elif choice == 2:
            del data[place : place + dice.randint(1, 9)]
        else:
            data[place:place] = dice.randbytes(dice.randint(1, 9))
    return bytes(data)


def replaced(value: Any, dice: random.Random) -> Any:
    """A copy of JSON data in which one entry, at any depth, is a hostile value or missing."""
    if isinstance(value, (dict, list)) and value and dice.random() < 0.8:
        copy = value.copy()
        key = dice.choice(list(copy)) if isinstance(copy, dict) else dice.randrange(len(copy))
        if dice.random() < 0.1:
            del copy[key]
        else:
            copy[key] = replaced(copy[key], dice)
        return copy
    return dice.choice(HOSTILE)


def count_refused(read: Callable[[bytes], object], inputs: Iterable[bytes]) -> int:
    """How many inputs `read` refuses; each with an InputError of one short printable line. Any other error is one of
    the test, and shows the input.
    """
    refused = 0
    for data in inputs:
        try:
            read(data)
        except InputError as error:
            refused += 1
            line = str(error)
            assert line.isprintable() and len(line) < LONGEST_LINE, (line, data)  # noqa: PT018
        except Exception as error:
            error.add_note(f"input: {data!r}")
            raise
    return refused
