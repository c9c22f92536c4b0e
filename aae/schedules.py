"""Values that change over the steps of a training: learning rates, weights of losses.

A value is a number or a `Schedule`. It depends only on the step, so a training that resumes from a checkpoint has the
same values as one that was never interrupted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from aae.errors import InputError


@dataclass(frozen=True)
class Schedule:
    """Goes from `start` at step 0 to `end`, reaches it after the fraction `until` of all steps, and then stays there.

    `linear` adds a constant at every step, `exponential` multiplies by a constant factor.
    Raises InputError for an exponential schedule with `start` or `end` equal to 0.
    """

    start: Annotated[float, Ge(0), Le(1e30), "value at step 0"]
    end: Annotated[float, Ge(0), Le(1e30), "value from `until` on"]
    shape: Annotated[Literal["linear", "exponential"], "adds, or multiplies by, a constant at every step"] = "linear"
    until: Annotated[float, Gt(0), Le(1), "fraction of the steps after which the value is `end`"] = 1.0

    def __post_init__(self) -> None:
        if self.shape == "exponential" and not (self.start > 0 and self.end > 0):
            raise InputError(f"an exponential schedule needs start and end above 0; found {self.start}, {self.end}")

    def values(self, steps: int) -> np.ndarray:
        """The value at each of `steps` steps, float64 [steps], the same bits on every machine.

        Powers are computed with decimal numbers, because those of C libraries differ from machine to machine.
        """
        reached = max(1.0, self.until * steps)
        fraction = np.minimum(np.arange(steps) / reached, 1.0)
        if self.shape == "linear":
            return self.start * (1 - fraction) + self.end * fraction  # exact at both ends, however far apart they are
        with localcontext() as context:
            context.prec = 25
            logarithm = (Decimal(self.end) / Decimal(self.start)).ln()
            return np.array([float(Decimal(self.start) * (logarithm * Decimal(x)).exp()) for x in fraction])


def value_by_step(
    value: float | Schedule, steps: int, device: torch.device
) -> Callable[[int | Tensor], float | Tensor]:
    """A function from a step to its value, for a training of `steps` steps on `device`.

    A constant stays a number. A schedule's values are numbers on the CPU and tensors elsewhere, see `tensor_by_step`.
    From step `steps` on, the last value applies.
    """
    if not isinstance(value, Schedule):
        return lambda step: value
    if device.type != "cpu":
        return tensor_by_step(value, steps, device)
    values = value.values(steps).tolist()
    return lambda step: values[min(int(step), steps - 1)]


def tensor_by_step(schedule: Schedule, steps: int, device: torch.device) -> Callable[[int | Tensor], Tensor]:
    """A function from a step, an int or an int64 tensor [] on `device`, to its value, float32 [] on `device`.

    Nothing waits for the device. A CUDA graph that was captured with the step as a tensor follows the schedule.
    """
    table = torch.from_numpy(schedule.values(steps)).float().to(device)

    def look_up(step: int | Tensor) -> Tensor:
        if isinstance(step, int):
            return table[min(step, steps - 1)]
        return table.index_select(0, step.clamp(max=steps - 1).view(1)).view(())

    return look_up
