"""The common contract of both kinds of passes: several passes in one update, averages of weights, and errors."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aae import backprop, backprop_cpu
from aae.models import mlp

UNIT = 2.0**-24  # the rounding error of float32
BETAS = (0.9, 0.999)


@pytest.fixture(params=[backprop_cpu, backprop], ids=["native", "torch"])
def passes(request):
    return request.param


def network(sizes, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return mlp(*sizes)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(module, rows=4, sizes=(6, 5, 3)):
    """Builds a network, its Perceptron, a pass and Adam."""
    net = network(sizes)
    perceptron = module.Perceptron(net)
    return net, perceptron, module.Pass(perceptron, rows), module.Adam(perceptron, BETAS)


@pytest.mark.parametrize("module", [backprop_cpu, backprop], ids=["native", "torch"])
@settings(deadline=None, max_examples=25)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=4),
    rows=st.lists(st.integers(1, 20), min_size=1, max_size=3),
    sparse=st.booleans(),
)
def test_losses_on_several_passes_against_autograd(module, sizes, rows, sparse):
    """One update by the sum of the gradients of losses on several minibatches."""
    exact = network(sizes).double()
    perceptron = module.Perceptron(network(sizes), sparse)
    adam, several, clear = module.Adam(perceptron, BETAS), [], True
    room = 4 * sum(sizes) * UNIT * math.prod(math.sqrt(size) for size in sizes[:-1]) * 10
    for i, n in enumerate(rows):
        x, gradient = random(n, sizes[0], seed=i).clamp(0, 1), random(n, sizes[-1], seed=-i - 1).clamp(-1, 1)
        exact(x.double()).backward(gradient.double())  # accumulates the gradients
        hidden = [exact[: 2 * j + 1](x.double()) for j in range(len(sizes) - 2)]
        clear &= all((value.abs() > room).all().item() for value in hidden)  # rounding flips no ReLU
        several.append(module.Pass(perceptron, n))
        several[-1].forward(x)
        several[-1].backward(gradient)
    adam.update(*several, learning_rate=0.001)
    if clear:
        room *= sum(rows) * math.sqrt(sizes[-1])
        # After one step Adam's mean is (1 - beta1) of the gradient.
        for mean, parameter in zip(adam.means, exact.parameters(), strict=True):
            found = (
                mean if mean.shape == parameter.shape and module is backprop else mean.t() if mean.dim() == 2 else mean
            )
            torch.testing.assert_close(found.double() / 0.1, parameter.grad, rtol=0, atol=room)


def test_a_gradient_penalty_moves_by_extra_rows(passes):
    """A loss on all rows and another on the last rows, each with its own pass, make one update."""
    net, perceptron, first, adam = build(passes, rows=8)
    second = passes.Pass(perceptron, 5)
    x = random(8, 6)
    first.forward(x)
    first.backward(random(8, 3, seed=1))
    second.forward(x[3:].contiguous())
    second.backward(random(2, 3, seed=2))  # its last two rows
    plain = network((6, 5, 3))
    (plain(x) * random(8, 3, seed=1)).sum().backward()
    (plain(x[6:]) * random(2, 3, seed=2)).sum().backward()
    theirs = torch.optim.Adam(plain.parameters(), lr=0.01)
    theirs.step()
    adam.update(first, second, learning_rate=0.01)
    for ours, expected in zip(net.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)


def test_backward_moves_nothing(passes):
    net, _, one, _ = build(passes)
    before = copy.deepcopy(net.state_dict())
    one.forward(random(4, 6))
    one.backward(random(4, 3))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_an_average_of_weights(passes):
    _, perceptron, one, adam = build(passes)
    average = passes.Average(perceptron, decay=0.75)
    expected = [parameter.double() for parameter in perceptron.parameters]
    assert all(map(torch.equal, average.parameters, perceptron.parameters))
    for step in range(5):
        one.forward(random(4, 6, seed=step))
        one.backward(random(4, 3, seed=step))
        adam.update(one, learning_rate=0.1)
        average.update()
        expected = [0.75 * a + 0.25 * p.double() for a, p in zip(expected, perceptron.parameters, strict=True)]
    for ours, exact, parameter in zip(average.parameters, expected, perceptron.parameters, strict=True):
        torch.testing.assert_close(ours.double(), exact, rtol=0, atol=20 * UNIT)
        assert (ours - parameter).abs().max() > 0.01


FORWARD = {
    "float64": (lambda x: x.double(), TypeError, "x must be torch.float32, got torch.float64"),
    "array": (lambda x: x.numpy(), TypeError, "x must be a tensor, got ndarray"),
    "width": (lambda x: x[:, :5].contiguous(), ValueError, r"x must have the shape \[n, 6\], n > 0, got \[4, 5\]"),
    "one row": (lambda x: x[0], ValueError, r"x must have the shape \[n, 6\], n > 0, got \[6\]"),
    "strides": (lambda x: x.t().contiguous().t(), ValueError, r"x must be contiguous, got strides \(1, 4\)"),
    "rows": (lambda x: x[:3], ValueError, "x must have the 4 rows of its pass, got 3"),
    "device": (lambda x: x.to("meta"), ValueError, "x must be on cpu, where the parameters are, got meta"),
}


@pytest.mark.parametrize("name", FORWARD)
def test_forward_refuses(passes, name):
    wrong, error, message = FORWARD[name]
    _, _, one, _ = build(passes)
    with pytest.raises(error, match=message):
        one.forward(wrong(random(4, 6)))


BACKWARD = {
    "float64": (lambda g: g.double(), TypeError, "grad_outputs must be torch.float32, got torch.float64"),
    "width": (lambda g: g[:, :2].contiguous(), ValueError, r"grad_outputs must have the shape \[n, 3\], n > 0"),
    "strides": (lambda g: g.t().contiguous().t(), ValueError, "grad_outputs must be contiguous, got strides"),
    "no rows": (lambda g: g[:0], ValueError, r"grad_outputs must have the shape \[n, 3\], n > 0, got \[0, 3\]"),
    "rows": (lambda g: torch.cat([g, g]), ValueError, "at most the last forward's 4 rows, got 8"),
    "device": (lambda g: g.to("meta"), ValueError, "grad_outputs must be on cpu, where the parameters are, got meta"),
}


@pytest.mark.parametrize("name", BACKWARD)
def test_backward_refuses(passes, name):
    wrong, error, message = BACKWARD[name]
    _, _, one, _ = build(passes)
    one.forward(random(4, 6))
    with pytest.raises(error, match=message):
        one.backward(wrong(random(4, 3)))


def test_a_backward_comes_after_a_forward_and_an_update_after_both(passes):
    _, _, one, adam = build(passes)
    with pytest.raises(ValueError, match="backward must come after a forward"):
        one.backward(random(4, 3))
    one.forward(random(4, 6))
    with pytest.raises(ValueError, match="update must come after a backward"):
        adam.update(one, learning_rate=0.1)
    one.backward(random(4, 3))
    one.forward(random(4, 6))
    with pytest.raises(ValueError, match="update must come after a backward"):
        adam.update(one, learning_rate=0.1)
    with pytest.raises(ValueError, match="update needs at least one pass"):
        adam.update(learning_rate=0.1)


def test_an_update_by_a_pass_of_another_network_is_refused(passes):
    _, _, one, _ = build(passes)
    _, _, _, other_adam = build(passes, sizes=(9, 8, 7))
    one.forward(random(4, 6))
    one.backward(random(4, 3))
    with pytest.raises(ValueError, match="passes of the perceptron that it updates, got one of another"):
        other_adam.update(one, learning_rate=0.1)


ASSIGNED = {
    "data": lambda net: setattr(net[0].weight, "data", net[0].weight.data.clone()),
    "bias": lambda net: setattr(net[2].bias, "data", net[2].bias.data.clone()),
    "parameter": lambda net: setattr(net[2], "weight", torch.nn.Parameter(net[2].weight.detach().clone())),
    "state": lambda net: net.load_state_dict(copy.deepcopy(net.state_dict()), assign=True),
}


@pytest.mark.parametrize("name", ASSIGNED)
def test_parameters_that_were_assigned_are_no_longer_trained(passes, name):
    net, _, one, adam = build(passes)
    one.forward(random(4, 6))
    one.backward(random(4, 3))
    adam.update(one, learning_rate=0.1)
    ASSIGNED[name](net)
    with pytest.raises(ValueError, match=r"parameters of Linear.* were replaced after its Perceptron was made"):
        adam.update(one, learning_rate=0.1)


def test_parameters_may_be_loaded_in_place(passes):
    net, _, one, adam = build(passes)
    net.load_state_dict(network((6, 5, 3), seed=1).state_dict())
    torch.testing.assert_close(one.forward(random(4, 6)), net(random(4, 6)).detach())
    one.backward(random(4, 3))
    adam.update(one, learning_rate=0.1)


def test_only_float32_parameters(passes):
    with pytest.raises(TypeError, match=r"weight of layer 0 must be torch.float32, got torch.float64"):
        passes.Perceptron(network((6, 5)).double())
