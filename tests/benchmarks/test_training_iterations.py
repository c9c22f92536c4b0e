"""A training iteration at the post's sizes: the project's trainers and a plain PyTorch version, in turn.

The two are timed in alternating blocks, because machines drift. The result is the ratio, block by block.
"""

import math
import statistics
import time

import pytest
import torch

from tests.benchmarks.trainings import EPOCH, mnist, our_training, plain_training

BLOCKS, ITERATIONS = 10, 30


@pytest.mark.parametrize("model", ["aae", "aae_joint", "vae"])
def test_iteration(benchmark, model):
    images, threads = mnist(), torch.get_num_threads()
    ours, plain = our_training(model, images), plain_training(model, images)
    assert all(map(math.isfinite, ours.iteration(0)))
    seconds = {"ours": [], "plain": []}

    def block():
        torch.set_num_threads(1)  # like stage `train`
        start = time.perf_counter()
        for step in range(ITERATIONS):
            ours.iteration(step)
        torch.set_num_threads(threads)
        middle = time.perf_counter()
        for _ in range(ITERATIONS):
            plain.iteration()
        seconds["ours"].append(middle - start)
        seconds["plain"].append(time.perf_counter() - middle)

    block()  # warm-up
    for blocks in seconds.values():
        blocks.clear()
    benchmark.group = f"training: {ITERATIONS} iterations of ours, then of the plainest PyTorch, in turn"
    benchmark.pedantic(block, rounds=BLOCKS)
    ratios = sorted(b / a for a, b in zip(seconds["ours"], seconds["plain"], strict=True))
    epochs = {name: statistics.median(blocks) / ITERATIONS * EPOCH for name, blocks in seconds.items()}
    benchmark.extra_info |= {f"{name}, s an epoch": seconds for name, seconds in epochs.items()}
    benchmark.extra_info["plain / ours"] = statistics.median(ratios)
    print(
        f"\n{model}: {epochs['ours']:.2f} s an epoch, plain PyTorch {epochs['plain']:.2f} s; ratio block by block "
        f"{ratios[0]:.2f} to {ratios[-1]:.2f}, median {statistics.median(ratios):.2f}"
    )
