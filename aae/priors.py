"""The priors p(z) that the code is matched to.

A prior is a small value: its dimension, its parameters, and the `kind` by which the native kernels know it.
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class NormalPrior:
    """An isotropic normal of mean 0: `dim` independent columns of standard deviation `std`.

    `std` counts as the nearest float32. Samples reach 6.76 standard deviations.

    Raises:
        TypeError: `dim` is not an int.
        ValueError: `dim` is not positive, or `std` not within [2^-60, 2^60], beyond which samples could leave
            float32's normal range, where processors may be set to round differently.
    """

    kind: ClassVar[str] = "normal"

    dim: int
    std: float = 1.0

    def __post_init__(self):
        if not isinstance(self.dim, int):
            raise TypeError(f"NormalPrior: dim must be an int, got {type(self.dim).__name__}")
        if self.dim < 1:
            raise ValueError(f"NormalPrior: dim must be at least 1, got {self.dim}")
        if not 2.0**-60 <= self.std <= 2.0**60:
            raise ValueError(f"NormalPrior: std must be within [2^-60, 2^60], got {self.std}")

    @property
    def parameters(self) -> list[float]:
        return [float(self.std)]
