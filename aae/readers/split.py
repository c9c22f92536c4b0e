"""Splits off a test set if the data has none."""

import numpy as np
import torch

from aae.ops import Stream, philox4x32


def indices_of_test_set(images: int, fraction: float) -> np.ndarray:
    """The indices of the test set among `images` images, int64 in ascending order: `fraction` of them, drawn by Philox.

    Image i gets a 64-bit number: the first two words of block i of the stream SPLIT, with seed 0 and step 0; the first
    word is the upper half. The round(images * fraction) images with the smallest numbers are the test set. The choice
    depends only on `images` and `fraction`, not on a run's seed.
    """
    index = torch.arange(images)
    counter = torch.zeros(images, 4, dtype=torch.int64)  # its layout: csrc/philox.h
    counter[:, 0], counter[:, 1], counter[:, 3] = index % 2**32, index >> 32, Stream.SPLIT << 16
    words = philox4x32(counter, torch.zeros(2, dtype=torch.int64)).numpy().astype(np.uint64)
    order = np.argsort(words[:, 0] << np.uint64(32) | words[:, 1], kind="stable")
    return np.sort(order[: round(images * fraction)])
