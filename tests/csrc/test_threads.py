"""Threads share long calls and do not change any bit."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import aae_native
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aae import ops
from aae.priors import MixturePrior, NormalPrior, SwissRollPrior, UniformPrior

PRIORS = [NormalPrior(2), NormalPrior(5), UniformPrior(3), MixturePrior(), SwissRollPrior()]
LONG = 100_000  # values: long enough for several threads
CORES = aae_native.available_cores()


@pytest.fixture(autouse=True)
def threads():
    before = aae_native.get_threads()
    yield
    aae_native.set_threads(before)


def sample(prior, step, rows=LONG, offset=0):
    labels = torch.arange(rows) % prior.classes if prior.classes else None
    return ops.sample_prior(prior, rows, seed=1, step=step, offset=offset, labels=labels)


@given(
    prior=st.sampled_from(PRIORS),
    rows=st.integers(LONG // 3, LONG),
    offset=st.integers(0, 9) | st.integers(2**32 - LONG, 2**32 + LONG),
    count=st.integers(2, 9),
)
def test_any_number_of_threads_gives_the_same_bits(prior, rows, offset, count):
    aae_native.set_threads(1)
    alone = sample(prior, 0, rows, offset)
    aae_native.set_threads(count)
    assert torch.equal(sample(prior, 0, rows, offset), alone)


def in_a_process(code: str, omp_num_threads: str | None) -> str:
    """What a separate process prints: parallel tests use one thread each, and OMP_NUM_THREADS is read once."""
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    environment |= {} if omp_num_threads is None else {"OMP_NUM_THREADS": omp_num_threads}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


WANTED = {None: CORES, "": CORES, "3": 3, " 3 ": 3, "4,2": 4, "4, 2 ,1": 4, "1024": 1024}


@pytest.mark.parametrize("wanted", WANTED)
def test_at_first_as_many_threads_as_cores_or_as_the_environment_says(wanted):
    """OpenMP's list has the numbers for nested loops after the first one."""
    assert in_a_process("import aae_native; print(aae_native.get_threads())", wanted) == f"{WANTED[wanted]}\n"


@pytest.mark.parametrize("wanted", ["many", "0", "-3", "1025", "9999999999", "2.5", "4,", "4,x", "4,0", "4 2", " "])
def test_another_environment_is_refused(wanted):
    code = """
import aae_native
for call in (aae_native.get_threads, lambda: aae_native.move_average(1, 1, 0, 0.0)):
    try:
        call()
    except ValueError as error:
        print(error)
aae_native.set_threads(2)
print(aae_native.get_threads())
"""
    line = f"OMP_NUM_THREADS must be a number of threads from 1 to 1024, got {wanted}\n"
    assert in_a_process(code, wanted) == f"{line}{line}2\n"


# Sets a limit on memory that leaves room for the stacks of some threads, but not of 1024.
FEW = """
import os, resource
import torch, aae_native
from aae import ops
from aae.priors import NormalPrior

def sample():
    return ops.sample_prior(NormalPrior(2), 100_000, seed=1, step=2)

def told(call):
    try:
        call()
    except RuntimeError as error:
        print(error)

pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + 2**28,) * 2)
"""
few = pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")


@few
def test_the_system_refuses_what_set_threads_asks_for():
    """The number stays as it was, and the next call works."""
    code = (
        FEW
        + """
told(lambda: aae_native.set_threads(1024))
print(aae_native.get_threads(), len(os.listdir("/proc/self/task")) < 20, sample().shape)
"""
    )
    refused = r"set_threads: the system refuses to start 1024 threads; it started \d+, so ask for fewer, .*"
    assert re.fullmatch(refused + r"\n2 True torch.Size\(\[100000, 2\]\)\n", in_a_process(code, "2"))


@few
def test_the_system_refuses_what_the_environment_asks_for():
    told = in_a_process(FEW + "told(sample); told(sample)", "1024").splitlines()
    assert len(told) == 2
    assert all(line.startswith("OMP_NUM_THREADS: the system refuses to start 1024 threads; ") for line in told)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity masks")
def test_no_more_cores_than_the_affinity_mask_has():
    code = "import os, aae_native; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])"
    code += "; print(aae_native.available_cores())"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "1\n"


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/a/b", {"a/b/cpu.max": "150000 100000"}, 2),
        ("0::/a/b", {"a/b/cpu.max": "200000 100000"}, 2),
        ("0::/a/b", {"a/b/cpu.max": "1000 100000"}, 1),
        ("0::/a/b", {"a/b/cpu.max": "max 100000"}, 0),
        ("0::/a/b", {"a/b/cpu.max": "800000 100000", "a/cpu.max": "300000 100000", "cpu.max": "max 100000"}, 3),
        ("0::/", {"cpu.max": "400000 100000"}, 4),
        ("0::/of/the/host", {"cpu.max": "400000 100000"}, 4),
        ("0::/a", {"cpu/a/cpu.cfs_quota_us": "100000", "cpu/a/cpu.cfs_period_us": "100000"}, 0),
        ("5:cpu,cpuacct:/a", {"cpu/a/cpu.cfs_quota_us": "250000", "cpu/a/cpu.cfs_period_us": "100000"}, 3),
        ("5:cpuacct,cpu:/a/b\n0::/", {"cpu/a/cpu.cfs_quota_us": "50000", "cpu/a/cpu.cfs_period_us": "50000"}, 1),
        ("5:cpu:/a", {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, 0),
        ("3:cpuset:/a", {"cpu/a/cpu.cfs_quota_us": "100000", "cpu/a/cpu.cfs_period_us": "100000"}, 0),
        ("", {}, 0),
        ("not a control group", {"cpu.max": "100000 100000"}, 0),
    ],
)
def test_quotas_of_control_groups_and_those_they_are_in(tmp_path, groups, files, cores):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content + "\n")
    assert aae_native.quota_in_cores(str(tmp_path), groups) == cores


@pytest.mark.parametrize("count", [0, -1, 1025, 2**40])
def test_set_threads_refuses_none_and_too_many(count):
    with pytest.raises(ValueError, match=f"set_threads: n must be from 1 to 1024, got {count}"):
        aae_native.set_threads(count)


def test_python_threads_may_call_at_once():
    aae_native.set_threads(1)
    expected = [sample(NormalPrior(2), step) for step in range(20)]
    aae_native.set_threads(3)
    with ThreadPoolExecutor(4) as executor:
        for got, alone in zip(
            executor.map(lambda step: sample(NormalPrior(2), step), range(20)), expected, strict=True
        ):
            assert torch.equal(got, alone)


def test_the_child_of_a_fork_works_alone():
    aae_native.set_threads(2)
    expected = sample(NormalPrior(2), 0).numpy().tobytes()  # starts the threads, which the child does not have
    child = os.fork()
    if child == 0:
        # NumPy compares, because PyTorch's own threads do not survive a fork.
        os._exit(0 if sample(NormalPrior(2), 0).numpy().tobytes() == expected else 1)
    assert os.waitpid(child, 0)[1] == 0
