"""Whether this machine can hold the networks that `params.yaml` asks for, told before work begins."""

import os
from dataclasses import fields
from itertools import pairwise

from aae.errors import InputError
from aae.models import Recipe

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
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if sum(needs.values()) > memory:
        largest = max(needs, key=lambda name: needs[name])
        raise InputError(
            f"{recipe.name}.{largest}: needs {gibibytes(needs[largest])} to train; all of this machine's memory is "
            f"{gibibytes(memory)}; allowed: smaller widths"
        )


def gibibytes(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"
