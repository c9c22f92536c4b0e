"""The priors p(z) that the code is matched to.

A prior is a small value object: its dimension, its parameters, and the `kind` that identifies it to the native kernels.
Parameters are rounded to float32. csrc/priors.h defines how a sample is computed.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import Field, asdict, astuple, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import aae_native
import numpy as np

TURN = np.linspace(0, 2 * math.pi, 121)
CIRCLE = np.stack([np.cos(TURN), np.sin(TURN)], axis=1)


class Prior(ABC):
    """The base class of priors. `classes` is 0 for a prior without classes, which takes no labels."""

    kind: ClassVar[str]
    if TYPE_CHECKING:  # every prior is a dataclass; these are its fields, class constants or properties
        __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

        @property
        def dim(self) -> int: ...
        @property
        def classes(self) -> int: ...
        @property
        def parameters(self) -> list[float]: ...

    @cached_property
    def native(self) -> aae_native.Prior:
        """The argument that represents the prior in native kernels."""
        return aae_native.Prior(self.kind, self.dim, self.classes, self.parameters)

    @property
    def description(self) -> dict[str, Any]:
        """The kind and parameters for `make_prior`: strings and numbers, for JSON."""
        return {"kind": self.kind} | asdict(self)

    @property
    @abstractmethod
    def title(self) -> str:
        """The prior in a few words."""

    @abstractmethod
    def outline(self) -> list[tuple[str, np.ndarray]]:
        """Lines that outline the prior in two dimensions: a name, possibly empty, and points float64 [n, 2]."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), astuple(self)


@dataclass(frozen=True)
class NormalPrior(Prior):
    """An isotropic normal of mean 0: `dim` independent columns of standard deviation `std`.

    Samples reach 6.76 standard deviations.

    Raises:
        TypeError: `dim` is not an int or `std` not a number.
        ValueError: `dim` is not within [1, 2^31), or `std` not within [2^-60, 2^60]. Beyond these limits, samples could
            leave float32's normal range, where rounding depends on the processor's settings.
    """

    kind: ClassVar[str] = "normal"
    classes: ClassVar[int] = 0

    dim: int
    std: float = 1.0

    def __post_init__(self) -> None:
        _check_int(self, "dim")
        _check_scale(self, "std")

    @property
    def parameters(self) -> list[float]:
        return [float(self.std)]

    @property
    def title(self) -> str:
        return "N(0, I)" if self.std == 1 else f"N(0, {self.std:g}² I)"

    def outline(self) -> list[tuple[str, np.ndarray]]:
        """One, two and three standard deviations."""
        return [(f"{k}\u03c3", k * self.std * CIRCLE) for k in (1, 2, 3)]


@dataclass(frozen=True)
class UniformPrior(Prior):
    """`dim` independent columns, uniform on [-bound, bound].

    Raises:
        TypeError: `dim` is not an int or `bound` not a number.
        ValueError: `dim` is not within [1, 2^31), or `bound` not within [2^-60, 2^60].
    """

    kind: ClassVar[str] = "uniform"
    classes: ClassVar[int] = 0

    dim: int
    bound: float = 1.0

    def __post_init__(self) -> None:
        _check_int(self, "dim")
        _check_scale(self, "bound")

    @property
    def parameters(self) -> list[float]:
        return [float(self.bound)]

    @property
    def title(self) -> str:
        return f"uniform on [-{self.bound:g}, {self.bound:g}] on every axis"

    def outline(self) -> list[tuple[str, np.ndarray]]:
        """The square's edge."""
        return [("", self.bound * np.array([[-1, 1], [1, 1], [1, -1], [-1, -1], [-1, 1]], dtype=float))]


@dataclass(frozen=True)
class MixturePrior(Prior):
    """Two-dimensional Gaussians on a circle, one per class, all equally likely (the AAE paper's figure 4).

    The centre of class c is at the angle 2 pi c / classes and the distance `radius`. Its standard deviation is
    `radial_std` along the line from the origin through the centre, and `tangential_std` across it.

    Raises:
        TypeError: `classes` is not an int, or another parameter not a number.
        ValueError: `classes` is not within [1, 256], `radius` not within [0, 2^60], or a standard deviation not
            within [2^-60, 2^60].
    """

    kind: ClassVar[str] = "mixture"
    dim: ClassVar[int] = 2

    classes: int = 10
    radius: float = 1.4
    radial_std: float = 0.5
    tangential_std: float = 0.1

    def __post_init__(self) -> None:
        _check_int(self, "classes", 256)
        if self.radius != 0:
            _check_scale(self, "radius")
        _check_scale(self, "radial_std")
        _check_scale(self, "tangential_std")

    @property
    def parameters(self) -> list[float]:
        return [float(self.radius), float(self.radial_std), float(self.tangential_std)]

    @property
    def title(self) -> str:
        return "a mixture of Gaussians on a circle"

    def outline(self) -> list[tuple[str, np.ndarray]]:
        """Two standard deviations of each class."""
        angles = 2 * math.pi * np.arange(self.classes) / self.classes
        along = self.radius + 2 * self.radial_std * CIRCLE[:, 0]
        across = 2 * self.tangential_std * CIRCLE[:, 1]
        directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        return [("", along[:, None] * [x, y] + across[:, None] * [-y, x]) for x, y in directions]


@dataclass(frozen=True)
class SwissRollPrior(Prior):
    """A spiral in two dimensions: distance `radius` sqrt(u), angle 2 pi `turns` sqrt(u), u uniform on (0, 1].

    Class c has the segment c / classes < u <= (c + 1) / classes. The defaults are those of the AAE paper's figure 4:
    r = 3 sqrt(u) and an angle of 4 pi sqrt(u).

    Raises:
        TypeError: `classes` is not an int, or another parameter not a number.
        ValueError: `classes` is not within [1, 256], `radius` not within [2^-60, 2^60], or `turns` not within
            [2^-10, 2^10]; beyond these limits, float32 resolves too few phases.
    """

    kind: ClassVar[str] = "swiss_roll"
    dim: ClassVar[int] = 2

    classes: int = 10
    radius: float = 3.0
    turns: float = 2.0

    def __post_init__(self) -> None:
        _check_int(self, "classes", 256)
        _check_scale(self, "radius")
        _check_scale(self, "turns", 10)

    @property
    def parameters(self) -> list[float]:
        return [float(self.radius), float(self.turns)]

    @property
    def title(self) -> str:
        return "a swiss roll"

    def outline(self) -> list[tuple[str, np.ndarray]]:
        """The spiral."""
        position = np.linspace(0, 1, 361)
        angle = 2 * math.pi * self.turns * position
        return [("", self.radius * position[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1))]


def make_prior(kind: str, **parameters: Any) -> Prior:
    """The prior of this kind, such as `normal`. Raises TypeError or ValueError for another kind or other parameters."""
    kinds = {each.kind: each for each in Prior.__subclasses__()}
    if kind not in kinds:
        raise ValueError(f"make_prior: kind must be one of {', '.join(kinds)}, got {kind}")
    return kinds[kind](**parameters)


def _check_int(prior: Prior, name: str, high: int = 2**31 - 1) -> None:
    value = getattr(prior, name)
    if not isinstance(value, int):
        raise TypeError(f"{type(prior).__name__}: {name} must be an int, got {type(value).__name__}")
    if not 1 <= value <= high:
        raise ValueError(f"{type(prior).__name__}: {name} must be within [1, {high}], got {value}")


def _check_scale(prior: Prior, name: str, exponent: int = 60) -> None:
    value = getattr(prior, name)
    if not isinstance(value, (int, float)):
        raise TypeError(f"{type(prior).__name__}: {name} must be a number, got {type(value).__name__}")
    if not 2.0**-exponent <= value <= 2.0**exponent:
        raise ValueError(f"{type(prior).__name__}: {name} must be within [2^-{exponent}, 2^{exponent}], got {value}")
