"""The gradient of a layer and Adam as separate functions: the bits of the update that has both in one loop."""

import aae_native
import pytest
import torch

from aae import backprop_cpu
from aae.models import mlp


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = aae_native.get_threads()
    aae_native.set_threads(request.param)
    yield
    aae_native.set_threads(before)


@pytest.mark.parametrize("sizes", [(40, 24, 2), (2, 33, 40), (7, 5), (130, 70, 19), (1, 1)])
@pytest.mark.parametrize("sparse", [False, True])
def test_gradient_and_adam_give_the_bits_of_the_fused_update(sizes, sparse, isa, threads):
    torch.manual_seed(1)
    x = torch.rand(21, sizes[0]) * (torch.rand(21, sizes[0]) < 0.3)
    grad_outputs = torch.randn(21, sizes[-1])
    passes = []
    for _ in range(2):
        torch.manual_seed(0)
        passes.append(backprop_cpu.Pass(backprop_cpu.Perceptron(mlp(*sizes), sparse), len(x)))
    apart, together = passes
    adam_apart, adam_together = (backprop_cpu.Adam(one.perceptron, [0.9, 0.999]) for one in passes)
    gradient = torch.empty(sum(parameter.numel() for parameter in apart.perceptron.parameters))
    for step in range(3):
        for one in passes:
            one.forward(x)
            one.backward(grad_outputs)
        adam_apart.gradient([apart], 0, 1, gradient.fill_(torch.nan))
        adam_apart.apply(gradient, learning_rate=0.01)
        adam_together.update(together, learning_rate=0.01)
        for tensors in ("means", "squares"):
            assert all(map(torch.equal, getattr(adam_apart, tensors), getattr(adam_together, tensors)))
        assert all(map(torch.equal, apart.perceptron.parameters, together.perceptron.parameters))
        assert adam_apart.steps == adam_together.steps == step + 1
