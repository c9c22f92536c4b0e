"""Reading image files with Pillow."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from aae.errors import InputError
from aae.readers.checks import described
from aae.readers.grey import to_grey

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".pgm", ".ppm")
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "PPM")  # Pillow's decoders for these


def read_images(paths: Sequence[Path], grey: bool) -> np.ndarray:
    """The images in the files `paths`, uint8 [n, height, width, channels], with one channel or three.

    With `grey`, colour becomes grey (`to_grey`). Raises InputError, which names the file, if one cannot be read or
    differs from the first in size or channels.
    """
    first = read_image(paths[0], grey)
    try:
        images = np.empty((len(paths), *first.shape), np.uint8)
    except MemoryError:
        raise InputError(
            f"{paths[0]}: {len(paths):,} images of {described(first.shape)} do not fit in memory"
        ) from None
    images[0] = first
    for i, path in enumerate(paths[1:], start=1):
        image = read_image(path, grey, first.shape[:2], paths[0])
        if image.shape != first.shape:
            found, needed = ("grey" if each.shape[-1] == 1 else "colour" for each in (image, first))
            raise InputError(f"{path}: {found}, but {paths[0]} is {needed}; data.grey: true makes all images grey")
        images[i] = image
    return images


def read_image(
    path: Path,
    grey: bool,
    size: tuple[int, int] | None = None,
    sized: Path | str = "",
    formats: tuple[str, ...] = FORMATS,
) -> np.ndarray:
    """The image in the file `path`, uint8 [height, width, channels].

    If `size` is given, height and width must equal it; it is the size of the file `sized`. Sizes are compared before
    the pixels are decoded, and Pillow's limit against decompression bombs applies. `formats` names Pillow's decoders
    that may read it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=formats) as image:
                found = image.size[::-1]
                if size not in (None, found):
                    raise InputError(
                        f"{path}: {found[0]} x {found[1]}, but {sized} is {size[0]} x {size[1]}; "
                        "all images need the same size"
                    )
                frames = getattr(image, "n_frames", 1)  # which not every decoder tells
                if frames > 1:
                    raise InputError(f"{path}: {frames} frames, needed one")
                pixels = pixels_of(image, path)
    except InputError:
        raise
    except Exception as error:  # decoders raise many kinds of errors for damaged files
        reason = " ".join(str(error).replace(f"'{path}'", "it").split())
        raise InputError(f"{path}: not a readable image ({reason})") from None
    return to_grey(pixels[None])[0] if grey else pixels


def pixels_of(image: Image.Image, path: Path) -> np.ndarray:
    """The pixels without loss, uint8 [height, width, 1 or 3]; raises InputError if that is not possible."""
    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
        raise InputError(f"{path}: pixels of Pillow's mode {image.mode}, needed 8 bits per channel, grey or RGB")
    if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
        raise InputError(f"{path}: has transparent pixels; all must be opaque")
    pixels = np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))
    return pixels[..., None] if pixels.ndim == 2 else pixels
