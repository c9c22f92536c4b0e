"""The generator's known answers and the layout of the counter."""

from pathlib import Path

import numpy as np
import pytest
import torch

from aae import ops, reference

TABLE = Path(__file__).with_name("philox_known_answers.txt")
KNOWN_ANSWERS = [[int(word, 16) for word in line.split()] for line in TABLE.read_text().splitlines() if line[0] != "#"]


@pytest.mark.parametrize("row", KNOWN_ANSWERS, ids=["zeros", "ones", "pi"])
def test_known_answers(row):
    counter, key, words = row[:4], row[4:6], row[6:]
    assert ops.philox4x32(torch.tensor([counter]), torch.tensor(key)).tolist() == [words]
    assert reference.philox4x32([counter], key).tolist() == [words]


def test_counter_layout():
    """A draw uses the counter and key that csrc/philox.h defines."""
    seed, step, stream, first_block = 0x0123456789ABCDEF, 0xFEDCBA987654, 0x7EEF, 0x1_0000_0002
    key = torch.tensor([0x89ABCDEF, 0x01234567])
    counter = torch.tensor([[0x2, 0x1, 0xBA987654, 0x7EEFFEDC]])
    x = ops.philox4x32(counter, key).numpy().astype(np.uint64)[0]

    images = torch.empty(2**32 - 1, 0, dtype=torch.uint8)
    _, indices = ops.draw_minibatch(images, 2, seed=seed, step=step, stream=stream, offset=2 * first_block)
    expected = [(int(x[1] << 32 | x[0]) * len(images)) >> 64, (int(x[3] << 32 | x[2]) * len(images)) >> 64]
    assert indices.tolist() == expected
