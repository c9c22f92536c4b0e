"""Tensors whose values are not in memory, or not as they are there: every op and pass refuses them by name."""

import pytest
import torch
from torch import Tensor, nn

from aae import backprop_cpu, ops
from aae.models import mlp
from aae.priors import MixturePrior, NormalPrior

PRIOR, MIXTURE, DRAW = NormalPrior(2), MixturePrior(), {"seed": 0, "step": 0}


def ones(*shape, dtype=torch.float32):
    return torch.ones(shape, dtype=dtype)


def one_pass():
    return backprop_cpu.Pass(backprop_cpu.Perceptron(mlp(2, 2)), 3)


def backward(gradient):
    through = one_pass()
    through.forward(ones(3, 2))
    through.backward(gradient)


def layer(weight):
    """A Perceptron of a layer with this weight."""
    network = mlp(2, 3)
    network[0].weight = nn.Parameter(weight, requires_grad=False)
    backprop_cpu.Perceptron(network)


# argument -> a valid tensor of 6 or more elements, the call, and how errors call the argument
PLACES = {
    "philox4x32: counter": (
        lambda: ones(3, 4, dtype=torch.int64),
        lambda counter: ops.philox4x32(counter, torch.tensor([1, 2])),
    ),
    "sample_prior: out": (lambda: ones(3, 2), lambda out: ops.sample_prior(PRIOR, 3, out=out, **DRAW)),
    "sample_prior: labels": (
        lambda: ones(6, dtype=torch.int64),
        lambda labels: ops.sample_prior(MIXTURE, 6, labels=labels, **DRAW),
    ),
    "sample_prior: step": (
        lambda: ones(1, dtype=torch.int64),
        lambda step: ops.sample_prior(PRIOR, 3, seed=0, step=step),
    ),
    "assemble_discriminator_batch: codes": (
        lambda: ones(3, 2),
        lambda codes: ops.assemble_discriminator_batch(codes, PRIOR, 1, **DRAW),
    ),
    "assemble_discriminator_batch: out[0]": (
        lambda: ones(4, 2),
        lambda batch: ops.assemble_discriminator_batch(ones(3, 2), PRIOR, 1, out=(batch, ones(4, 1)), **DRAW),
    ),
    "draw_minibatch: images": (
        lambda: ones(3, 2, dtype=torch.uint8),
        lambda images: ops.draw_minibatch(images, 4, stream=1, **DRAW),
    ),
    "draw_minibatch: out[1]": (
        lambda: ones(4, dtype=torch.int64),
        lambda indices: ops.draw_minibatch(
            ones(3, 2, dtype=torch.uint8), 4, stream=1, out=(ones(4, 2), indices), **DRAW
        ),
    ),
    "x": (lambda: ones(3, 2), lambda x: one_pass().forward(x)),
    "x ": (lambda: ones(3, 2), lambda x: backprop_cpu.forward(mlp(2, 2), x)),
    "grad_outputs": (lambda: ones(3, 2), backward),
    "logits": (lambda: ones(3, 2), lambda logits: backprop_cpu.cross_entropy(logits, 1.0, 3)),
    "targets": (lambda: ones(3, 2), lambda targets: backprop_cpu.cross_entropy(ones(3, 2), targets, 3)),
    "posterior": (lambda: ones(3, 2), lambda posterior: backprop_cpu.sample_posterior(posterior, ones(3, 1))),
    "noise and grad_codes": (lambda: ones(3, 2), lambda noise: backprop_cpu.sample_posterior(ones(3, 4), noise)),
    "weight of layer 0": (lambda: ones(3, 2), layer),
}


class Own(Tensor):
    @classmethod
    def __torch_function__(cls, function, types, arguments=(), keywords=None):
        raise AssertionError("not for native code")


def own_class(tensor):
    # PyTorch's own alias, because `as_subclass` would ask the class.
    return Tensor._make_subclass(Own, tensor)


def with_storage_of(share):
    """A tensor whose storage has lost a part of its memory, as sharded training frees it between uses."""

    def shrunk(tensor):
        storage = tensor.untyped_storage()
        storage.resize_(int(storage.nbytes() * share))
        return tensor

    return shrunk


KINDS = {
    "sparse": (lambda tensor: tensor.to_sparse(), TypeError, "must be dense, got torch.sparse_coo"),
    "own class": (own_class, TypeError, "must be a torch.Tensor itself, got its subclass Own"),
    "negative": (torch._neg_view, ValueError, "has its negative bit set; pass .*resolve_neg()"),
    "freed": (with_storage_of(0), ValueError, r"needs \d+ bytes of its storage, which has 0; it was resized or freed"),
    "cut": (
        with_storage_of(0.5),
        ValueError,
        r"needs \d+ bytes of its storage, which has \d+; it was resized or freed",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_refused_by_name(place, kind):
    if place == "weight of layer 0" and kind == "own class":
        pytest.skip("nn.Parameter makes a parameter of it")
    valid, call = PLACES[place]
    call(valid())
    change, error, message = KINDS[kind]
    with pytest.raises(error) as raised:
        call(change(valid()))
    assert str(raised.value).startswith(f"{place.strip()} ")
    raised.match(message)


@pytest.mark.parametrize("place", ["assemble_discriminator_batch: codes", "x", "logits"])
@pytest.mark.filterwarnings("ignore:Sparse CSR")
@pytest.mark.parametrize("convert", [Tensor.to_mkldnn, Tensor.to_sparse_csr], ids=["mkldnn", "csr"])
def test_layouts_that_lack_what_the_checks_ask(place, convert):
    valid, call = PLACES[place]
    with pytest.raises(TypeError, match="must be dense, got torch"):
        call(convert(valid()))


@pytest.mark.parametrize("place", ["assemble_discriminator_batch: codes", "draw_minibatch: images", "x", "targets"])
def test_vmap_says_that_it_is_not_supported(place):
    valid, call = PLACES[place]
    with pytest.raises(TypeError, match=r"is being transformed by torch\.func, for example by vmap, which is not supp"):
        torch.func.vmap(call, randomness="same")(torch.stack([valid()] * 2))


def test_the_imaginary_part_of_a_conjugate():
    """It is a view of the numbers of opposite sign."""
    codes = torch.complex(ones(3), ones(3)).conj().imag.view(3, 1)
    assert codes.tolist() == [[-1]] * 3
    prior = NormalPrior(1)
    with pytest.raises(ValueError, match=r"pass codes\.resolve_neg\(\)"):
        ops.assemble_discriminator_batch(torch._neg_view(ones(3, 1)), prior, 0, **DRAW)
    batch, _ = ops.assemble_discriminator_batch(codes.resolve_neg().contiguous(), prior, 0, **DRAW)
    assert batch.tolist() == codes.tolist()


def test_parameters_and_parts_of_a_storage_are_taken():
    codes = nn.Parameter(ones(3, 2), requires_grad=False)
    batch, _ = ops.assemble_discriminator_batch(codes, PRIOR, 0, **DRAW)
    assert torch.equal(batch, codes)
    out = ones(9, 2)
    assert torch.equal(ops.sample_prior(PRIOR, 3, out=out[6:], **DRAW), ops.sample_prior(PRIOR, 3, **DRAW))
    through = one_pass()
    assert torch.equal(through.forward(out[6:]).clone(), through.forward(out[6:].clone()))


def test_compiled_code_does_not_read_freed_memory():
    compiled = torch.compile(
        lambda codes: ops.assemble_discriminator_batch(codes, PRIOR, 1, **DRAW), fullgraph=True, backend="aot_eager"
    )
    compiled(ones(3, 2))
    with pytest.raises(ValueError, match="assemble_discriminator_batch: codes has no memory"):
        compiled(with_storage_of(0)(ones(3, 2)))


@pytest.mark.parametrize("freed", ["x", "grad_outputs"])
def test_memory_that_is_freed_before_the_update(freed):
    perceptron = backprop_cpu.Perceptron(mlp(2, 2))
    through, adam = backprop_cpu.Pass(perceptron, 3), backprop_cpu.Adam(perceptron, (0.9, 0.999))
    tensors = {"x": ones(3, 2), "grad_outputs": ones(3, 2)}
    through.forward(tensors["x"])
    through.backward(tensors["grad_outputs"])
    with_storage_of(0)(tensors[freed])
    with pytest.raises(ValueError, match=f"{freed} needs 24 bytes of its storage, which has 0"):
        adam.update(through, learning_rate=0.1)
    assert adam.steps == 0
    if freed == "x":
        with pytest.raises(ValueError, match="x needs 24 bytes of its storage, which has 0"):
            through.backward(ones(3, 2))


def test_parameters_without_memory():
    with pytest.raises(ValueError, match="weight of layer 0 must be on a CPU or CUDA device, got meta"):
        backprop_cpu.Perceptron(mlp(2, 2).to("meta"))


@pytest.mark.parametrize("rows", [2**40, 2**61, 2**62, 2**63 - 1])
def test_more_rows_than_fit_in_memory(rows):
    fit = rf"must be a number of rows that fit in memory, got {rows}"
    with pytest.raises(ValueError, match=f"sample_prior: n {fit}"):
        ops.sample_prior(NormalPrior(1), rows, **DRAW)
    with pytest.raises(ValueError, match=f"assemble_discriminator_batch: n_prior {fit}"):
        ops.assemble_discriminator_batch(ones(3, 1), NormalPrior(1), rows, **DRAW)
    with pytest.raises(ValueError, match=f"draw_minibatch: n {fit}"):
        ops.draw_minibatch(ones(3, 9, dtype=torch.uint8), rows, stream=1, **DRAW)
    with pytest.raises(ValueError, match=f"rows {fit}"):
        backprop_cpu.Pass(backprop_cpu.Perceptron(mlp(2, 2)), rows)


@pytest.mark.parametrize(("rows", "error"), [(0, ValueError), (-1, ValueError), (2.0, TypeError)])
def test_a_pass_has_rows(rows, error):
    with pytest.raises(error, match="rows must be"):
        backprop_cpu.Pass(backprop_cpu.Perceptron(mlp(2, 2)), rows)


@pytest.mark.parametrize(
    ("device", "error"), [("xpu", ValueError), ("cuda:99", ValueError), ("no device", ValueError), (1.5, TypeError)]
)
def test_a_device_that_is_not_there(device, error):
    with pytest.raises(
        error, match=rf"sample_prior: device must be the CPU or a GPU that PyTorch can use, got .?{device}"
    ):
        ops.sample_prior(PRIOR, 3, device=device, **DRAW)
