"""Image files: pictures to encode, and decoded images as pictures, animations or arrays."""

import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from aae.errors import InputError
from aae.files import write_whole
from aae.readers.grey import to_grey
from aae.readers.images import read_image as read_pixels
from aae.tiling import tiled

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # Pillow's decoders for these
PART = 1000  # images read at a time
FRAME = 100  # ms per image of an animation


def list_images(paths: Sequence[Path]) -> list[Path]:
    """The files in `paths`, in order. A folder stands for all pictures in it and its subfolders, sorted by path."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.suffix.lower() in SUFFIXES)
            if not inside:
                raise InputError(f"{path}: no images in this folder; allowed: {', '.join(SUFFIXES)}")
            found += inside
        else:
            found.append(path)
    return found


def count_images(path: Path) -> int:
    """The number of images in a file: the rows of a `.npy` array, or one in any other file."""
    return len(open_array(path)) if is_array(path) else 1


def read_images(
    paths: Sequence[Path], shape: tuple[int, int, int], *, grey: bool = False
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Yields the images in the files, in order, at most 1000 at a time: their names and an array [n, ...] of them.

    A picture is uint8 [height, width, channels] (see `read_image`), named by its file. The rows of a `.npy` array are
    unchanged; their names are `file.npy[0]`, `file.npy[1]`, ...
    """
    pictures: list[Path] = []
    for i, path in enumerate(paths):
        if is_array(path):
            array = open_array(path)
            for start in range(0, len(array), PART):
                rows = range(start, min(start + PART, len(array)))
                yield [f"{path}[{row}]" for row in rows], array[start : start + PART]
            continue
        pictures.append(path)
        if len(pictures) == PART or i + 1 == len(paths) or is_array(paths[i + 1]):
            yield list(map(str, pictures)), np.stack([read_image(each, shape, grey=grey) for each in pictures])
            pictures = []


def is_array(path: Path) -> bool:
    return path.suffix.lower() == ".npy"


def open_array(path: Path) -> np.ndarray:
    """The array in a `.npy` file, memory-mapped; raises InputError if there is none or it is a single number."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{path}: not a readable array ({str(error).splitlines()[0]})") from None
    if array.ndim == 0:
        raise InputError(f"{path}: a single number; needed an array of images")
    return array


def read_image(path: Path, shape: tuple[int, int, int], *, grey: bool = False) -> np.ndarray:
    """The image in the file `path`, uint8 [height, width, channels] of this `shape`; it is not resized.

    A colour image with three equal channels counts as grey. If the model has one channel and `grey` is set, any other
    colour image becomes its luma (ITU-R BT.601): (299 R + 587 G + 114 B + 500) // 1000. Raises InputError, one line
    with the file's name, for a file that is not an image, another size, colour without `grey`, more than 8 bits per
    channel, transparent pixels or several frames.
    """
    height, width, channels = shape
    if channels not in (1, 3):
        raise InputError(f"{path}: the model's images have {channels} channels; image files have 1 or 3")
    if not path.exists():
        raise InputError(f"{path}: no such file")
    pixels = read_pixels(path, False, (height, width), "an image of the model", FORMATS)
    if channels == 3:
        return np.broadcast_to(pixels, shape)
    if (pixels == pixels[..., :1]).all():
        return pixels[..., :1]
    if not grey:
        raise InputError(f"{path}: a colour image; the model's are grey (--grey makes it grey)")
    return to_grey(pixels[None])[0]


def write_images(path: Path, images: np.ndarray, columns: int | None = None, scale: int = 1) -> None:
    """Writes float `images` in [0, 1], [n, height, width] or [n, height, width, 3], n > 0, in the format of the suffix.

    A `.png` has all images in one picture with `columns` columns (by default a square). A `.gif` plays them forwards
    and backwards. Both are enlarged by the factor `scale`. A `.npy` holds the array itself.
    """
    write_whole(path, content_of(check_output(path, ".png", ".gif", ".npy"), images, columns, scale))


def check_output(path: Path, *suffixes: str) -> str:
    """The suffix of `path`, in lower case; raises InputError unless it is one of `suffixes`."""
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        raise InputError(f"{path}: the name must end in {' or '.join(suffixes)}")
    return suffix


def content_of(suffix: str, images: np.ndarray, columns: int | None, scale: int) -> bytes:
    """The content of a file with this suffix."""
    file = io.BytesIO()
    if suffix == ".npy":
        np.save(file, images)
        return file.getvalue()
    if images.ndim == 4 and images.shape[3] != 3:
        raise InputError(f"images of {images.shape[3]} channels cannot be a picture; allowed: a name that ends in .npy")
    pixels = (images * 255).round().astype(np.uint8).repeat(scale, axis=1).repeat(scale, axis=2)
    if suffix == ".png":
        Image.fromarray(tiled(pixels, columns or math.ceil(math.sqrt(len(pixels))))).save(file, "PNG")
    else:
        frames = [Image.fromarray(frame) for frame in [*pixels, *pixels[-2:0:-1]]]
        frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=FRAME, loop=0)
    return file.getvalue()
