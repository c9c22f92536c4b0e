"""What the page shows of codes of any size: the planes of its scatters, and the codes that its pictures decode.

One-dimensional codes are in one strip per label, and two-dimensional codes in a plane. For longer codes the page shows
projections: onto the plane of the first two principal components, and onto pairs of axes.
"""

from itertools import combinations
from typing import Any

import numpy as np
from scipy.spatial import ConvexHull

from aae.evaluation_samples import PICTURE, evaluation_sample
from aae.figures import grid_shape
from aae.priors import NormalPrior, Prior

AXES = 16  # the page shows at most so many axes of a long code
ALL_PAIRS = 6  # up to so many axes, every pair is a plane; with more, only neighbours are paired
SAMPLES, STEPS = 10, 11  # for long codes: samples of the prior per side of their picture, images per traversal
STRIP_LINE = 0.94  # where the lines of a one-dimensional prior end, as a fraction of the plot's half height


def planes(code_size: int) -> list[dict[str, Any]]:
    """The planes of the scatters, {name, axes}. The page shows the first one first.

    `axes` are the columns of `coordinates` on the horizontal and the vertical axis; one-dimensional codes have only the
    horizontal one.
    """
    if code_size <= 2:
        return [{"name": " and ".join(axis_names(code_size)), "axes": list(range(code_size))}]
    names = axis_names(code_size)
    n = len(names)
    if n <= ALL_PAIRS:
        pairs = list(combinations(range(n), 2))
    else:
        pairs = [(min(i, n - 2), min(i, n - 2) + 1) for i in range(0, n, 2)]
    components = {"name": "the first two principal components", "axes": [n, n + 1]}
    return [components, *[{"name": f"{names[i]} and {names[j]}", "axes": [i, j]} for i, j in pairs]]


def axis_names(code_size: int) -> list[str]:
    """The names of the axes that the page shows."""
    digits = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
    return [f"z{axis}".translate(digits) for axis in range(min(code_size, AXES))]


def coordinates(codes: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """The coordinates [..., k] of `codes` [..., code_size] that scatters may show.

    These are the codes themselves or, for long codes, the first axes and the principal components. The latter are the
    columns of `basis` [code_size, 2]; see `aae.figures.principal_axes`.
    """
    if codes.shape[-1] <= 2:
        return codes
    return np.concatenate([codes[..., :AXES], codes @ basis.astype(codes.dtype)], axis=-1)


def outlined(prior: Prior, limit: float) -> list[dict[str, Any]]:
    """Lines {label, points} that outline the prior on a plot that spans [-limit, limit]."""
    lines = prior.outline()
    if prior.dim == 1:
        ends = [(label, sign * np.abs(points[:, 0]).max()) for label, points in lines for sign in (-1, 1)]
        up = STRIP_LINE * limit
        # The lines have no names on the left, because the labels' names are there.
        lines = [(label if x > 0 else "", np.array([[x, up], [x, -limit]])) for label, x in ends]
    return packed_lines(lines)


def component_outline(prior: Prior, basis: np.ndarray) -> list[dict[str, Any]] | None:
    """The outline of a long code's prior in the plane of principal components: the convex hull of projected samples.

    None for a normal prior, which looks the same in every plane, and for codes of one or two dimensions.
    """
    if prior.dim <= 2 or isinstance(prior, NormalPrior):
        return None
    points = evaluation_sample(prior, 4000, 0, PICTURE) @ basis
    corners = ConvexHull(points).vertices
    return packed_lines([("", points[[*corners, corners[0]]])])


def packed_lines(lines: list[tuple[str, np.ndarray]]) -> list[dict[str, Any]]:
    """The lines for JSON, with about four digits."""
    largest = max(np.abs(points).max() for _, points in lines)
    decimals = int(3 - np.floor(np.log10(largest)))
    return [{"label": label, "points": np.round(points, decimals).tolist()} for label, points in lines]


def picture_codes(
    prior: Prior, size: int, reach: float, shape: tuple[int, int], most: int
) -> dict[str, tuple[np.ndarray, int]]:
    """kind of picture -> the codes float32 [n, dim] that it decodes, and the number of columns.

    - `manifold`: a grid over [-reach, reach]² from its upper left, or steps from -reach to reach.
    - `samples` and `traversals`, for long codes: samples of the prior; and one row per axis with steps from -reach to
      reach, the other axes at 0.

    Args:
        size: the maximum number of images per side.
        shape: height and width of an image.
        most: the maximum number of images in all pictures of a snapshot, if that leaves two per side.
    """
    if prior.dim == 2:
        rows, columns = grid_shape(side(size, most), *shape)
        across, up = (np.linspace(-reach, reach, n, dtype=np.float32) for n in (columns, rows))
        grid = np.meshgrid(up[::-1], across, indexing="ij")
        return {"manifold": (np.stack([grid[1].ravel(), grid[0].ravel()], axis=1), columns)}
    if prior.dim == 1:
        rows, columns = grid_shape(side(min(size, SAMPLES), most), *shape)
        return {"manifold": (np.linspace(-reach, reach, rows * columns, dtype=np.float32)[:, None], columns)}
    rows, columns = grid_shape(side(min(size, SAMPLES), most // 2), *shape)
    samples = evaluation_sample(prior, rows * columns, 0, PICTURE).astype(np.float32)
    axes = min(prior.dim, AXES)
    steps = max(2, min(size, STEPS, most // 2 // axes))
    traversals = np.zeros((axes, steps, prior.dim), np.float32)
    for axis in range(axes):
        traversals[axis, :, axis] = np.linspace(-reach, reach, steps)
    return {"samples": (samples, columns), "traversals": (traversals.reshape(-1, prior.dim), steps)}


def side(size: int, most: int) -> int:
    """`size`, or less if its square is more than `most`; at least two."""
    return max(2, min(size, int(most**0.5)))
