"""Converting colour images to grey."""

import numpy as np

ROWS = 1000  # images at a time: the sums need four times the memory of the images


def to_grey(images: np.ndarray) -> np.ndarray:
    """Converts images uint8 [n, height, width, channels] to grey, uint8 [n, height, width, 1].

    Grey is the luma of ITU-R BT.601, Y = 0.299 R + 0.587 G + 0.114 B, rounded to the nearest integer, halves up. It is
    computed in integers: (299 R + 587 G + 114 B + 500) // 1000. Grey images do not change.
    """
    if images.shape[-1] == 1:
        return images
    grey = np.empty((*images.shape[:-1], 1), np.uint8)
    for start in range(0, len(images), ROWS):
        red, green, blue = np.moveaxis(images[start : start + ROWS].astype(np.uint32), -1, 0)
        grey[start : start + ROWS, ..., 0] = (299 * red + 587 * green + 114 * blue + 500) // 1000
    return grey
