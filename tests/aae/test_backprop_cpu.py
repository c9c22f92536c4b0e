"""The native passes agree with autograd in float64, and give the same bits however they are computed."""

import math
import os
import re
from fractions import Fraction
from pathlib import Path

import aae_native
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from aae.backprop_cpu import Adam, Average, Pass, Perceptron, cross_entropy, kl_to_normal, sample_posterior
from aae.models import mlp

BETAS = (0.9, 0.999)
UNIT = 2.0**-24  # the rounding error of float32
HUGE_PAGES_OF = Path("/sys/kernel/mm/transparent_hugepage/enabled")
HUGE_PAGES = HUGE_PAGES_OF.exists() and "[never]" not in HUGE_PAGES_OF.read_text()
SIZES = st.lists(st.integers(1, 70), min_size=2, max_size=4)


@pytest.fixture(autouse=True)
def restore():
    isa, threads = aae_native.build_info()["isa"], aae_native.get_threads()
    yield
    aae_native.set_isa(isa)
    aae_native.set_threads(threads)


def network(sizes, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return mlp(*sizes)


def inputs(n, size, density=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, size, generator=generator) * (torch.rand(n, size, generator=generator) < density)


def train(sizes, n, density=0.3, sparse=True, steps=3):
    """All results of a few steps towards zero logits, as one list of tensors."""
    module = network(sizes)
    perceptron = Perceptron(module, sparse_inputs=sparse)
    one, adam, average = Pass(perceptron, n), Adam(perceptron, BETAS), Average(perceptron, 0.9)
    out = []
    for step in range(steps):
        logits = one.forward(inputs(n, sizes[0], density, seed=step))
        out.append(logits.clone())
        loss, gradient = cross_entropy(logits, 0.25, logits.numel())
        out += [torch.tensor(loss), gradient.clone(), one.backward(gradient, grad_inputs=True).clone()]
        adam.update(one, learning_rate=0.01)
        average.update()
    out += [parameter.detach().clone() for parameter in module.parameters()]
    return [*out, *adam.means, *adam.squares, *average.parameters]


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@settings(deadline=None, max_examples=40)
@given(sizes=SIZES, n=st.integers(1, 40), sparse=st.booleans())
def test_passes_against_autograd(sizes, n, sparse):
    module, x = network(sizes), inputs(n, sizes[0], 0.5)
    perceptron = Perceptron(module, sparse)
    one, adam = Pass(perceptron, n), Adam(perceptron, BETAS)
    exact = network(sizes).double()
    exact_x = x.double().requires_grad_()
    expected = exact(exact_x)

    y = one.forward(x)
    # The error of a sum of k terms is at most k roundings of the sum of the terms' absolute values (Higham, section
    # 3.1). Each layer multiplies that sum by at most sqrt(k), because weights are within 1/sqrt(k). The first inputs
    # are within [0, 1].
    tolerance = 4 * sum(sizes) * UNIT * math.prod(math.sqrt(size) for size in sizes[:-1])
    torch.testing.assert_close(y.double(), expected, rtol=0, atol=tolerance)

    gradient = inputs(n, sizes[-1], seed=1) - 0.5
    expected.backward(gradient.double())
    hidden = [F.relu(exact[: 2 * i + 1](exact_x)) for i in range(len(sizes) - 2)]
    clear = all(((value > tolerance) | (value == 0)).all() for value in hidden)  # rounding flips no ReLU
    grad_inputs = one.backward(gradient, grad_inputs=True)
    adam.update(one, learning_rate=0.001)
    if clear:
        tolerance *= n * math.sqrt(sizes[-1])
        torch.testing.assert_close(grad_inputs.double(), exact_x.grad, rtol=0, atol=tolerance)
        # After one step Adam's mean is (1 - beta1) of the gradient.
        for mean, parameter in zip(adam.means, exact.parameters(), strict=True):
            found = mean.t() if mean.dim() == 2 else mean
            torch.testing.assert_close(found.double() / 0.1, parameter.grad, rtol=0, atol=tolerance)


@settings(deadline=None, max_examples=25)
@given(sizes=SIZES, before=st.integers(0, 20), n=st.integers(1, 40), sparse=st.booleans())
def test_the_last_rows_alone_may_go_back(sizes, before, n, sparse):
    """A backward pass over the last rows of a larger pass equals a pass over those rows alone."""
    rows, gradient = inputs(before + n, sizes[0], 0.3), inputs(n, sizes[-1], seed=1) - 0.5
    left = []
    for x in (rows, rows[before:].clone()):
        module = network(sizes)
        perceptron = Perceptron(module, sparse)
        one, adam = Pass(perceptron, len(x)), Adam(perceptron, BETAS)
        outputs = one.forward(x)[-n:].clone()
        grad_inputs = one.backward(gradient, grad_inputs=True).clone()
        adam.update(one, learning_rate=0.01)
        left.append([outputs, grad_inputs, *(p.detach() for p in module.parameters()), *adam.means, *adam.squares])
    assert same(*left)


@settings(deadline=None, max_examples=25)
@given(sizes=SIZES, rows=st.lists(st.integers(1, 20), min_size=2, max_size=3), sparse=st.booleans())
def test_several_passes_are_one_of_stacked_rows(sizes, rows, sparse):
    x, gradient = inputs(sum(rows), sizes[0], 0.3), inputs(sum(rows), sizes[-1], seed=1) - 0.5
    isas, threads = aae_native.build_info()["available_isas"], (1, 2)
    left = []
    for isa, count, parts in [(None, None, [sum(rows)]), *((isa, count, rows) for isa in isas for count in threads)]:
        if isa:
            aae_native.set_isa(isa)
            aae_native.set_threads(count)
        perceptron = Perceptron(network(sizes), sparse)
        adam, several = Adam(perceptron, BETAS), [Pass(perceptron, n) for n in parts]
        for _ in range(2):
            for one, part, grad_outputs in zip(several, x.split(parts), gradient.split(parts), strict=True):
                one.forward(part)
                one.backward(grad_outputs)
            adam.update(*several, learning_rate=0.01)
        left.append([*perceptron.parameters, *adam.means, *adam.squares])
    assert all(same(other, left[0]) for other in left)


def test_adam_against_pytorch():
    """Many steps of all parameters and moments, against torch.optim.Adam in float64 on the same gradients."""
    module, exact = network([30, 20]), network([30, 20]).double()
    perceptron = Perceptron(module)
    one, ours = Pass(perceptron, 16), Adam(perceptron, (0.8, 0.99))
    theirs = torch.optim.Adam(exact.parameters(), lr=0.01, betas=(0.8, 0.99))
    for step in range(50):
        x, gradient = inputs(16, 30, seed=step), inputs(16, 20, seed=-step - 1) - 0.5
        one.forward(x)
        one.backward(gradient)
        ours.update(one, learning_rate=0.01)
        exact[0].weight.grad, exact[0].bias.grad = gradient.double().t() @ x.double(), gradient.double().sum(dim=0)
        theirs.step()
    for found, expected in zip(module.parameters(), exact.parameters(), strict=True):
        # A step is at most about 0.01 / (1 - beta1), with a few roundings of the step and one of the parameter.
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=50 * (20 * 0.05 + 1) * UNIT)


@settings(deadline=None, max_examples=25)
@given(sizes=SIZES, n=st.integers(1, 40))
def test_same_bits_on_every_path(sizes, n):
    expected = train(sizes, n)
    for isa in aae_native.build_info()["available_isas"]:
        aae_native.set_isa(isa)
        for threads in (1, 2, 3):
            aae_native.set_threads(threads)
            assert same(train(sizes, n), expected), (isa, threads)


def test_same_bits_at_the_size_of_mnist():
    results = []
    for isa in aae_native.build_info()["available_isas"]:
        aae_native.set_isa(isa)
        for threads in (1, 4):
            aae_native.set_threads(threads)
            results.append(train([784, 512, 2], 128, steps=2))
    assert all(same(result, results[0]) for result in results)


@settings(deadline=None, max_examples=25)
@given(sizes=SIZES, n=st.integers(1, 40), density=st.floats(0, 1))
def test_leaving_zeros_out_changes_nothing(sizes, n, density):
    assert same(train(sizes, n, density, sparse=True), train(sizes, n, density, sparse=False))


@settings(deadline=None, max_examples=25)
@given(codes=st.integers(2, 4), hidden=st.integers(5, 70), outputs=st.integers(5, 70), n=st.integers(2, 40))
def test_rows_do_not_depend_on_each_other(codes, hidden, outputs, n):
    """Codes are processed in the order of their directions. Other rows and their values do not change a row."""
    one = Pass(Perceptron(network([codes, hidden, outputs])), n)
    x = inputs(n, codes) - 0.5
    expected = one.forward(x).clone()
    assert torch.equal(one.forward(x.flip(0)), expected.flip(0))
    for row, value in enumerate((math.nan, math.inf)):
        x[row] = value
    assert torch.equal(one.forward(x)[2:], expected[2:])


def exp(x):
    """e^x for float32 x [n]: the standard deviations of a posterior with log-variance 2 x."""
    posterior = torch.stack([torch.zeros(len(x)), 2 * torch.from_numpy(x)], dim=1)
    return sample_posterior(posterior, torch.ones(len(x), 1)).flatten().numpy()


def test_exponential_over_the_whole_range():
    """Compared with float64. Beyond float32's normal range, the result is the end of that range."""
    x = np.concatenate([np.linspace(-87, 88.49, 1_000_001), np.linspace(-1e-3, 1e-3, 1001)]).astype(np.float32)
    exact = np.exp(x.astype(np.float64))
    # The polynomial's error is below half an ulp. The last addition and the product r^2 p each round once.
    assert (np.abs(exp(x) - exact) <= 1.5 * np.spacing(exact.astype(np.float32))).all()
    ends = np.array([-np.inf, -1e9, -87.1, 88.5, 89, 1e9, np.inf], dtype=np.float32)
    assert exp(ends).tolist() == [exp(np.float32([-87]))[0]] * 3 + [math.inf] * 4
    not_numbers = np.array([0x7FC00000, 0xFFC00000, 0x7FFFFFFF, 0x7FC00001, 0xFFC12345, 0], dtype=np.uint32)
    for isa in aae_native.build_info()["available_isas"]:
        aae_native.set_isa(isa)
        assert np.isnan(exp(not_numbers.view(np.float32))).tolist() == [True] * 5 + [False]


def test_the_posterior_has_the_same_bits_on_every_path():
    posterior, noise, grad_codes = inputs(128, 4) - 0.5, inputs(128, 2, seed=1), inputs(128, 2, seed=2) - 0.5
    results = []
    for isa in aae_native.build_info()["available_isas"]:
        aae_native.set_isa(isa)
        kl, grad_posterior = kl_to_normal(posterior, noise, grad_codes, 1.5)
        results.append([sample_posterior(posterior, noise), torch.tensor(kl), grad_posterior])
    assert all(same(result, results[0]) for result in results)


def test_cross_entropy_over_the_whole_range():
    """Loss and gradient, compared with float64, from saturated logits to logits around 0."""
    logits = torch.cat([torch.linspace(-120, 120, 4001), torch.linspace(-1e-3, 1e-3, 100)]).reshape(-1, 1)
    for target in (0.0, 0.3, 1.0):
        exact = logits.double().requires_grad_()
        expected = F.binary_cross_entropy_with_logits(exact, torch.full_like(exact, target), reduction="none")
        expected.sum().backward()
        for row in range(0, len(logits), 7):
            loss, gradient = cross_entropy(logits[row : row + 1].clone(), target, 1)
            # A few roundings of terms of at most 1, and of the larger of the loss and logit times target.
            tolerance = 4 * UNIT * (1 + expected[row].item() + abs(logits[row].item()))
            assert abs(loss - expected[row].item()) <= tolerance
            assert abs(gradient.item() - exact.grad[row].item()) <= 4 * UNIT


def test_cross_entropy_sums_and_divides():
    logits, targets = inputs(9, 50) * 8 - 4, inputs(9, 50, seed=1)
    expected = F.binary_cross_entropy_with_logits(logits.double(), targets.double(), reduction="sum") / 7
    loss, gradient = cross_entropy(logits.clone(), targets, 7)
    assert loss == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(gradient.double(), (logits.double().sigmoid() - targets) / 7, rtol=0, atol=UNIT)


def test_losses_refuse_other_arrays():
    with pytest.raises(TypeError, match=r"targets must be torch.float32, got torch.float64"):
        cross_entropy(torch.zeros(2, 3), torch.zeros(2, 3).double(), 1)
    with pytest.raises(ValueError, match="targets must have the 2 rows of the logits, got 1"):
        cross_entropy(torch.zeros(2, 3), torch.zeros(1, 3), 1)
    with pytest.raises(ValueError, match=r"posterior must have the shape \[n, 4\], n > 0, got \[3, 5\]"):
        sample_posterior(torch.zeros(3, 5), torch.zeros(3, 2))
    with pytest.raises(ValueError, match="noise and grad_codes must have 3 rows, got 2"):
        kl_to_normal(torch.zeros(3, 4), torch.zeros(3, 2), torch.zeros(2, 2), 1.0)


def test_not_a_number_spreads():
    perceptron = Perceptron(network([3, 4, 2]))
    perceptron.parameters[0][1, 2] = math.nan
    logits = Pass(perceptron, 2).forward(torch.ones(2, 3))
    assert logits.isnan().all()
    loss, gradient = cross_entropy(logits, 0.0, 1)
    assert math.isnan(loss)
    assert gradient.isnan().all()


def test_the_network_keeps_its_weights():
    """The passes update the module's own parameters, which PyTorch continues to use."""
    module, x = network([6, 5, 3]), inputs(4, 6)
    before = module(x).detach()
    perceptron = Perceptron(module)
    torch.testing.assert_close(module(x).detach(), before)
    one, adam = Pass(perceptron, 4), Adam(perceptron, BETAS)
    _, gradient = cross_entropy(one.forward(x), 1.0, 1)
    one.backward(gradient)
    adam.update(one, learning_rate=0.1)
    assert (module(x) - before).abs().max() > 0.1
    torch.testing.assert_close(one.forward(x), module(x).detach())


def test_a_forked_child_has_weights_of_its_own():
    module = network([6, 5, 3])
    perceptron = Perceptron(module)
    before = [parameter.clone() for parameter in perceptron.parameters]
    child = os.fork()
    if child == 0:
        for parameter in perceptron.parameters:
            parameter.numpy()[:] = 7  # not by PyTorch, because the child does not have its threads
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert same(perceptron.parameters, before)


@pytest.mark.skipif(not HUGE_PAGES, reason="no transparent huge pages")
def test_parameters_at_the_size_of_mnist_lie_in_huge_pages():
    perceptron = Perceptron(network([784, 512, 2]))
    address, size, found = perceptron.parameters[0].data_ptr(), 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if match := re.match("([0-9a-f]+)-([0-9a-f]+) ", line):
            found = int(match[1], 16) <= address < int(match[2], 16)
        elif found and line.startswith("AnonHugePages:"):
            size = int(line.split()[1])
    assert size >= 2048  # KiB


@pytest.mark.parametrize("beta", [0.5, 0.9, 0.99, 0.999])
def test_adams_corrections_are_those_of_exact_powers(beta):
    """In float32, for 200,000 steps. A library's pow that is off by the last bit of float64 gives the same."""
    wrong = []
    for step in range(1, 200_001):
        power = beta**step
        expected = np.float32(0.001 / (1 - power)), np.float32((1 - power) ** -0.5)
        if aae_native.adam_rates(0.001, beta, beta, step) != expected:
            wrong.append(step)
    assert not wrong
    for step in (1, 2, 3, 10, 1000, 54_321):
        exact = 1 - Fraction(beta) ** step
        step_size, root_scale = aae_native.adam_rates(0.001, beta, beta, step)
        assert step_size == np.float32(float(Fraction(0.001) / exact))
        assert root_scale == pytest.approx(float(exact) ** -0.5, rel=UNIT)
