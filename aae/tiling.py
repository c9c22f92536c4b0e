"""Many images as one picture."""

import numpy as np


def tiled(images: np.ndarray, columns: int) -> np.ndarray:
    """One picture [rows * height, columns * width, ...] of `images` [n, height, width, ...], row by row.

    Zeros fill the last row.
    """
    n, height, width, *channels = images.shape
    rows = -(-n // columns)
    full = np.zeros((rows * columns, *images.shape[1:]), images.dtype)
    full[:n] = images
    full = full.reshape(rows, columns, height, width, *channels).swapaxes(1, 2)
    return full.reshape(rows * height, columns * width, *channels)
