"""Pictures that several experiments have."""

from collections.abc import Sequence

import numpy as np
from matplotlib.style import context
from PIL import Image

from aae.figures import PLOT, STYLE, new_plot, to_image


@context(["default", STYLE])
def image_table(images: np.ndarray, names: Sequence[str], *, title: str, subtitle: str, epoch: int) -> Image.Image:
    """Images in rows and columns; the first column stands apart from the others.

    `images` [rows, columns, height, width] or [rows, columns, height, width, channels] are in [0, 1], and `names` are
    those of the columns.
    """
    rows, columns, height, width, *channels = images.shape
    sheet = images.swapaxes(1, 2).reshape(rows * height, columns * width, *channels)
    figure, axes = new_plot(title, subtitle, epoch, round(PLOT * sheet.shape[0] / sheet.shape[1]))
    axes.imshow(sheet, cmap="gray_r", vmin=0, vmax=1, extent=(-0.5, columns - 0.5, 0, rows), aspect="auto")
    axes.axvline(0.5, color="black")
    axes.set_xticks(range(columns), names)
    axes.set_yticks([])
    return to_image(figure, None if channels else np.empty((0, 3)))
