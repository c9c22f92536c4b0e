"""PyTorch's passes with products of less precision, against PyTorch's own mixed precision."""

import pytest
import torch
from torch import Tensor, nn

from aae import backprop
from aae.models import mlp

ROWS, SIZES = 64, (30, 40, 5)


@pytest.fixture(params=["float32", "bfloat16"])
def precision(request):
    backprop.set_products(request.param, deterministic=False)
    yield request.param
    backprop.set_products("float32", deterministic=False)


def networks() -> tuple[backprop.Perceptron, nn.Sequential]:
    """The same twice."""
    torch.manual_seed(0)
    ours, plain = mlp(*SIZES), mlp(*SIZES)
    plain.load_state_dict(ours.state_dict())
    return backprop.Perceptron(ours), plain


def in_mixed_precision(precision: str):
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")


def assert_close(ours: Tensor, theirs: Tensor, precision: str) -> None:
    """Within a few roundings to 8 significant bits of the largest value, if there are such."""
    tolerance = 4 * 2**-8 if precision == "bfloat16" else 1e-5
    assert ours.dtype == torch.float32
    assert (ours - theirs.float()).abs().max() <= tolerance * theirs.abs().max()


def test_passes_against_autograd(precision):
    network, plain = networks()
    adam = backprop.Adam(network, learning_rate=0.001, betas=(0.9, 0.999))
    x, gradient = torch.randn(ROWS, SIZES[0]), torch.randn(ROWS, SIZES[-1])
    inputs = x.clone().requires_grad_()
    with in_mixed_precision(precision):
        outputs = plain(inputs)
    outputs.float().backward(gradient)
    assert_close(network.forward(x.clone()), outputs.detach(), precision)
    in_inputs = network.backward(gradient.clone(), adam, to_inputs=True)
    assert_close(in_inputs, inputs.grad, precision)
    for ours, theirs in zip(adam.gradients, plain.parameters(), strict=True):
        assert_close(ours, theirs.grad, precision)


def test_the_last_rows_alone_may_go_back(precision):
    before, x, gradient = torch.randn(10, SIZES[0]), torch.randn(ROWS, SIZES[0]), torch.randn(ROWS, SIZES[-1])
    (more, _), (alone, _) = networks(), networks()
    adams = [backprop.Adam(network, learning_rate=0.001, betas=(0.9, 0.999)) for network in (more, alone)]
    assert_close(more.forward(torch.cat([before, x]))[10:], alone.forward(x), precision)
    found, expected = (
        network.backward(gradient.clone(), adam, to_inputs=True)
        for network, adam in zip((more, alone), adams, strict=True)
    )
    assert_close(found, expected, precision)
    for ours, theirs in zip(adams[0].gradients, adams[1].gradients, strict=True):
        assert_close(ours, theirs, precision)


def test_less_precision_rounds_products_and_not_weights():
    x = torch.randn(ROWS, SIZES[0])
    exact = networks()[0].forward(x)
    backprop.set_products("bfloat16", deterministic=False)
    try:
        network, plain = networks()
        rounded = network.forward(x)
    finally:
        backprop.set_products("float32", deterministic=False)
    assert not torch.equal(rounded, exact)
    assert torch.equal(rounded, rounded.bfloat16())
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(network.parameters, plain.parameters(), strict=True))


def test_products_follow_weights_that_were_restored():
    backprop.set_products("bfloat16", deterministic=False)
    try:
        network, _ = networks()
    finally:
        backprop.set_products("float32", deterministic=False)
    x = torch.randn(ROWS, SIZES[0])
    before = network.forward(x)
    kept = [parameter.clone() for parameter in network.parameters]
    for parameter in network.parameters:
        parameter.mul_(2)
    assert not torch.equal(network.forward(x), before)
    for parameter, value in zip(network.parameters, kept, strict=True):
        parameter.copy_(value)
    assert torch.equal(network.forward(x), before)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="precision must be one of float32, tf32, bfloat16, got half"):
        backprop.set_products("half", deterministic=False)
