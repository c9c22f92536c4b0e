"""PyTorch's passes with reduced-precision products, against PyTorch's own mixed precision."""

import pytest
import torch
from torch import Tensor, nn

from aae import backprop
from aae.models import mlp

ROWS, SIZES, BETAS = 64, (30, 40, 5), (0.9, 0.999)


@pytest.fixture(params=["float32", "bfloat16"])
def precision(request):
    backprop.set_products(request.param, deterministic=False)
    yield request.param
    backprop.set_products("float32", deterministic=False)


def networks() -> tuple[backprop.Perceptron, nn.Sequential]:
    """The same network in both forms."""
    torch.manual_seed(0)
    ours, plain = mlp(*SIZES), mlp(*SIZES)
    plain.load_state_dict(ours.state_dict())
    return backprop.Perceptron(ours), plain


def in_mixed_precision(precision: str):
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")


def assert_close(ours: Tensor, theirs: Tensor, precision: str) -> None:
    """Within a few roundings of the largest value; in bfloat16, these are roundings to 8 significant bits."""
    tolerance = 4 * 2**-8 if precision == "bfloat16" else 1e-5
    assert ours.dtype == torch.float32
    assert (ours - theirs.float()).abs().max() <= tolerance * theirs.abs().max()


def test_passes_against_autograd(precision):
    perceptron, plain = networks()
    one, adam = backprop.Pass(perceptron, ROWS), backprop.Adam(perceptron, BETAS)
    x, gradient = torch.randn(ROWS, SIZES[0]), torch.randn(ROWS, SIZES[-1])
    inputs = x.clone().requires_grad_()
    with in_mixed_precision(precision):
        outputs = plain(inputs)
    outputs.float().backward(gradient)
    assert_close(one.forward(x.clone()), outputs.detach(), precision)
    assert_close(one.backward(gradient.clone(), grad_inputs=True), inputs.grad, precision)
    adam.update(one, learning_rate=0.001)
    for ours, theirs in zip(adam.gradients, plain.parameters(), strict=True):
        assert_close(ours, theirs.grad, precision)


def test_the_last_rows_alone_may_go_back(precision):
    before, x, gradient = torch.randn(10, SIZES[0]), torch.randn(ROWS, SIZES[0]), torch.randn(ROWS, SIZES[-1])
    perceptrons = [networks()[0] for _ in range(2)]
    adams = [backprop.Adam(perceptron, BETAS) for perceptron in perceptrons]
    more, alone = backprop.Pass(perceptrons[0], 10 + ROWS), backprop.Pass(perceptrons[1], ROWS)
    assert_close(more.forward(torch.cat([before, x]))[10:], alone.forward(x), precision)
    found, expected = (one.backward(gradient.clone(), grad_inputs=True) for one in (more, alone))
    assert_close(found, expected, precision)
    for adam, one in zip(adams, (more, alone), strict=True):
        adam.update(one, learning_rate=0.001)
    for ours, theirs in zip(adams[0].gradients, adams[1].gradients, strict=True):
        assert_close(ours, theirs, precision)


def test_adam_against_pytorch():
    """Many steps at changing learning rates, some as tensors, against torch.optim.Adam on the same gradients."""
    perceptron, plain = networks()
    one, adam = backprop.Pass(perceptron, ROWS), backprop.Adam(perceptron, (0.8, 0.99))
    theirs = torch.optim.Adam(plain.parameters(), betas=(0.8, 0.99))
    for step in range(10):
        one.forward(torch.randn(ROWS, SIZES[0]))
        one.backward(torch.randn(ROWS, SIZES[-1]))
        rate = 0.01 / (step + 1)
        adam.update(one, learning_rate=torch.tensor(rate) if step % 2 else rate)
        theirs.param_groups[0]["lr"] = rate
        for gradient, parameter in zip(adam.gradients, plain.parameters(), strict=True):
            parameter.grad = gradient.clone()
        theirs.step()
    for ours, expected in zip(perceptron.parameters, plain.parameters(), strict=True):
        torch.testing.assert_close(ours, expected.detach(), rtol=0, atol=1e-6)


def test_less_precision_rounds_products_and_not_weights():
    x = torch.randn(ROWS, SIZES[0])
    exact = backprop.Pass(networks()[0], ROWS).forward(x)
    backprop.set_products("bfloat16", deterministic=False)
    try:
        perceptron, plain = networks()
        rounded = backprop.Pass(perceptron, ROWS).forward(x)
    finally:
        backprop.set_products("float32", deterministic=False)
    assert not torch.equal(rounded, exact)
    assert torch.equal(rounded, rounded.bfloat16())
    assert all(
        torch.equal(ours, theirs) for ours, theirs in zip(perceptron.parameters, plain.parameters(), strict=True)
    )


def test_products_follow_weights_that_were_restored():
    backprop.set_products("bfloat16", deterministic=False)
    try:
        perceptron, _ = networks()
    finally:
        backprop.set_products("float32", deterministic=False)
    x, one = torch.randn(ROWS, SIZES[0]), backprop.Pass(perceptron, ROWS)
    before = one.forward(x)
    kept = [parameter.clone() for parameter in perceptron.parameters]
    for parameter in perceptron.parameters:
        parameter.mul_(2)
    assert not torch.equal(one.forward(x), before)
    for parameter, value in zip(perceptron.parameters, kept, strict=True):
        parameter.copy_(value)
    assert torch.equal(one.forward(x), before)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="precision must be one of float32, tf32, bfloat16, got half"):
        backprop.set_products("half", deterministic=False)
