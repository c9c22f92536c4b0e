"""The settings of models: types with limits, against which `params.yaml` is validated.

Settings are frozen dataclasses. A field's type may be `Annotated` with limits from `annotated_types` and with a string
that describes the field. A field may hold other settings, or one of several kinds of settings that differ in `kind`.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Len, Lt

from aae.errors import InputError
from aae.priors import MixturePrior, NormalPrior, Prior, SwissRollPrior, UniformPrior
from aae.schedules import Schedule

LARGEST_COUNT = 2**31 - 1  # an int32, which sizes are in libraries of matrix products
Count = Annotated[int, Ge(1), Le(LARGEST_COUNT)]
Widths = Annotated[list[Count], Len(1)]
Positive = Annotated[float, Gt(0), Le(1e30)]
NonNegative = Annotated[float, Ge(0), Le(1e30)]
Beta = Annotated[float, Ge(0), Lt(1)]
Scale = Annotated[float, Ge(0.001), Le(1000)]
MaskingNoise = Annotated[float, Ge(0), Lt(1)] | Schedule  # also for `check_masking_noise`


@dataclass(frozen=True)
class AdamSettings:
    """Settings of one Adam optimiser (Kingma & Ba, arXiv 1412.6980)."""

    learning_rate: Annotated[Positive | Schedule, "step size: a number, or a schedule over the steps of the training"]
    betas: Annotated[list[Beta], Len(2, 2), "decay rates of the first and second moment"]


@dataclass(frozen=True)
class NormalSettings:
    kind: Annotated[Literal["normal"], "N(0, std² I)"] = "normal"
    std: Annotated[Scale, "standard deviation on every axis"] = 1.0

    def build(self, code_size: int, classes: int) -> Prior:
        return NormalPrior(code_size, self.std)


@dataclass(frozen=True)
class UniformSettings:
    kind: Annotated[Literal["uniform"], "uniform on a cube"] = "uniform"
    bound: Annotated[Scale, "the cube is [-bound, bound] on every axis"] = 1.0

    def build(self, code_size: int, classes: int) -> Prior:
        return UniformPrior(code_size, self.bound)


@dataclass(frozen=True)
class MixtureSettings:
    kind: Annotated[Literal["mixture"], "one Gaussian per class, on a circle"] = "mixture"
    radius: Annotated[Scale, "radius of the circle of centres"] = 1.4
    radial_std: Annotated[Scale, "standard deviation along the line through origin and centre"] = 0.5
    tangential_std: Annotated[Scale, "standard deviation across that line"] = 0.1

    def build(self, code_size: int, classes: int) -> Prior:
        return MixturePrior(classes, self.radius, self.radial_std, self.tangential_std)


@dataclass(frozen=True)
class SwissRollSettings:
    kind: Annotated[Literal["swiss_roll"], "a spiral with one segment per class"] = "swiss_roll"
    radius: Annotated[Scale, "radius of the outer end"] = 3.0
    turns: Annotated[float, Ge(0.001), Le(1000), "turns from the origin to the outer end"] = 2.0

    def build(self, code_size: int, classes: int) -> Prior:
        return SwissRollPrior(classes, self.radius, self.turns)


def check_masking_noise(masking_noise: float | Schedule) -> None:
    """Raises InputError if a schedule would hide all pixels."""
    if isinstance(masking_noise, Schedule) and max(masking_noise.start, masking_noise.end) >= 1:
        found = f"{masking_noise.start}, {masking_noise.end}"
        raise InputError(f"masking_noise: start and end should be less than 1; found {found}")


PriorSettings = NormalSettings | UniformSettings | MixtureSettings | SwissRollSettings
