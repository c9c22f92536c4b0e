"""Whether this machine can hold what `params.yaml` asks for, told before work begins."""

import os
import resource
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

from aae.errors import InputError
from aae.models import Recipe

CONTAINER_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
BYTES_PER_WEIGHT = 16  # float32: the weight, its gradient and Adam's two moments


def check_memory(recipe: Recipe, code_size: int, pixels: int = 1) -> None:
    """Raises InputError for widths whose weights take more than all of this machine's memory.

    Activations are left out, so that what is refused could not train in any case. `pixels` is that of an image; without
    it, before the data is known, the first and the last layer count as the smallest that they may be.
    """
    needs = {}
    for name in (field.name for field in fields(recipe.settings) if field.name.endswith("_widths")):
        first = pixels if name == "encoder_widths" else code_size
        last = {"encoder_widths": code_size, "decoder_widths": pixels}.get(name, 1)
        layers = pairwise([first, *getattr(recipe.settings, name), last])
        needs[name] = BYTES_PER_WEIGHT * sum((inputs + 1) * outputs for inputs, outputs in layers)
    if sum(needs.values()) > (memory := usable_memory()):
        largest = max(needs, key=lambda name: needs[name])
        raise InputError(
            f"{recipe.name}.{largest}: needs {gibibytes(needs[largest])} to train; the memory that this process may "
            f"use is {gibibytes(memory)}; allowed: smaller widths"
        )


def check_projections(projections: int, codes: int) -> None:
    """Raises InputError if the projections of `codes` codes do not fit in memory: float64, and a sorted copy."""
    if (needed := 16 * projections * codes) > (memory := usable_memory()):
        raise InputError(
            f"evaluation.projections: {projections} need {gibibytes(needed)} for {codes:,} codes; the memory that this "
            f"process may use is {gibibytes(memory)}; allowed: fewer"
        )


def usable_memory() -> int:
    """The bytes that this process may use: the machine's memory, or a smaller limit of its container or its user."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in CONTAINER_LIMITS:
        text = path.read_text().strip() if path.is_file() else ""
        limits += [int(text)] if text.isdecimal() else []  # "max" is no limit
    limits += [limit for limit in resource.getrlimit(resource.RLIMIT_AS)[:1] if limit != resource.RLIM_INFINITY]
    return min(limits)


def gibibytes(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"
