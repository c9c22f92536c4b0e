"""Python threads, forks in the middle of calls and DataLoader's workers use the extension at once: the same bits."""

import copy
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import aae_native
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from aae import ops
from aae.backprop_cpu import Adam, Pass, Perceptron, cross_entropy
from aae.models import mlp
from aae.ops import Stream
from aae.priors import MixturePrior, NormalPrior

STEPS = 24
POOL = (torch.arange(100 * 400) * 37 % 256).to(torch.uint8).view(100, 400)
CODES, LABELS = torch.linspace(-1, 1, 20_000).view(-1, 2), torch.arange(10_000) % 10
NETWORK = mlp(400, 60, 1)


def bits(step: int) -> bytes:
    """What every op and a training iteration give; each call is long enough for several threads."""
    images, indices = ops.draw_minibatch(POOL, 128, seed=1, step=step, stream=Stream.RECONSTRUCTION)
    batch, _ = ops.assemble_discriminator_batch(CODES, MixturePrior(), 10_000, seed=1, step=step, labels=LABELS)
    samples = ops.sample_prior(NormalPrior(3), 20_000, seed=1, step=step)
    perceptron = Perceptron(copy.deepcopy(NETWORK), sparse_inputs=True)
    through, adam = Pass(perceptron, 128), Adam(perceptron, (0.9, 0.999))
    _, gradient = cross_entropy(through.forward(images), 1.0, 128)
    through.backward(gradient)
    adam.update(through, learning_rate=0.001)
    return b"".join(tensor.numpy().tobytes() for tensor in (images, indices, batch, samples, *perceptron.parameters))


@pytest.fixture
def alone():
    """The bits of each step, computed by one thread. Afterwards the pool has three."""
    before = aae_native.get_threads()
    aae_native.set_threads(1)
    expected = [bits(step) for step in range(STEPS)]
    aae_native.set_threads(3)
    yield expected
    aae_native.set_threads(before)


class Steps(Dataset):
    def __len__(self) -> int:
        return STEPS

    def __getitem__(self, step: int) -> bytes:
        return bits(step)


def child_exits_with(status_of) -> int:
    """Forks; returns the exit status of the child, which calls `status_of`. A child that hangs is killed."""
    child = os.fork()
    if child == 0:
        os._exit(status_of())
    deadline = time.monotonic() + 120
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.01)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")  # Python 3.12; it is the test
def test_threads_forks_and_workers_at_once(alone):
    with ThreadPoolExecutor(8) as executor:
        found = [executor.submit(bits, step) for step in list(range(STEPS)) * 2]
        statuses = [child_exits_with(lambda step=step: int(bits(step) != alone[step])) for step in range(6)]
        loader = DataLoader(Steps(), batch_size=None, num_workers=2, multiprocessing_context="fork", timeout=120)
        loaded = list(loader)
        assert [future.result() for future in found] == alone * 2
    assert statuses == [0] * 6
    assert loaded == alone


def test_the_number_of_threads_may_change_while_others_call(alone):
    with ThreadPoolExecutor(8) as executor:
        found = [executor.submit(bits, step) for step in range(STEPS)]
        while not all(future.done() for future in found):
            for count in (1, 2, 5, 3):
                aae_native.set_threads(count)
        assert [future.result() for future in found] == alone
