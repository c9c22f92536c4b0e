"""Trainings on several ranks. Real processes, connected by gloo, give the bits of a single one."""

import multiprocessing
from dataclasses import replace
from pathlib import Path

import aae_native
import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st

import aae.trainer
from aae import backprop, backprop_cpu
from aae.models import Recipe, build_model, find_kind, mlp
from aae.priors import MixturePrior, NormalPrior
from aae.ranks import LostRankError, Shards, ShardSum, tree_sum
from aae.trainer import train_epoch
from tests.csrc.test_contract import SETTINGS

STEPS, BATCH = 6, 16
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.aae.test_ranks"])  # imported once, not by every rank
KINDS = sorted(SETTINGS)


def trainer_of(name: str, shards: Shards, labels: bool | int = False, recent_codes: int = 40, posterior=None):
    """A tiny trainer, whose images are mostly 0 like MNIST's. `labels` may be the number of labelled images."""
    settings, prior = SETTINGS[name], NormalPrior(2)
    if name in ("aae_joint", "aae_supervised"):
        settings = replace(settings, recent_codes=recent_codes)
    if labels:
        settings, prior = replace(settings, labels=True, labelled="all" if labels is True else labels), MixturePrior(10)
    if posterior and name != "vae":
        settings = replace(settings, posterior=posterior)
    recipe = Recipe(name, find_kind(name), settings)
    model = build_model(name, 0, **recipe.sizes(pixels=40, code_size=2, classes=10))
    images = (torch.arange(100 * 40) ** 2 % 509 - 353).clamp(0, 255).to(torch.uint8).reshape(100, 40)
    training = {"seed": 1, "batch_size": BATCH, "steps": STEPS, "shards": shards}
    return model.trainer(settings, images, torch.arange(100) % 10, prior, **training)


def trained(count: int) -> dict[str, torch.Tensor | float]:
    """The state and the losses of a short training of every kind with `count` shards, on the present ranks."""
    results = {}
    posteriors = {50: "gaussian", 20: "universal"}
    all_labels = [*((name, False) for name in KINDS), ("aae", True), ("aae", 20)]
    for name, labels in [*all_labels, ("aae_joint", True), ("aae_joint", 50), ("aae_joint", 20)]:
        trainer = trainer_of(name, Shards(count), labels, posterior=posteriors.get(labels, "deterministic"))
        losses = train_epoch(trainer, 1, STEPS)
        state = {key: tensor.clone() for key, tensor in trainer.state().items()}
        results |= {f"{name} {labels} {key}": value for key, value in (state | losses).items()}
    return results


def run_rank(work, rank: int, ranks: int, folder: Path) -> None:
    aae_native.set_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=ranks)
    torch.save(work(), folder / f"{rank}.pt")
    dist.destroy_process_group()


def on_ranks(ranks: int, folder: Path, work) -> list:
    """What `work()` returns on each of so many ranks."""
    folder.mkdir()
    processes = [CONTEXT.Process(target=run_rank, args=(work, rank, ranks, folder)) for rank in range(ranks)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * ranks
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(ranks)]


def trained_in_eight_shards():
    return trained(8)


@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_the_number_of_ranks_changes_no_bit(ranks, tmp_path):
    expected = trained(8)
    for found in on_ranks(ranks, tmp_path / "ranks", trained_in_eight_shards):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert torch.equal(torch.as_tensor(found[name]), torch.as_tensor(value)), name


def trained_as_on_a_gpu():
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aae.trainer, "passes_on", lambda device: backprop)
        return trained(8)


def test_the_number_of_ranks_changes_no_bit_of_pytorchs_passes(tmp_path):
    """The passes for GPUs, here on the CPU, whose libraries also choose the order of sums by a product's shape."""
    first, *others = [
        found for ranks in (1, 4) for found in on_ranks(ranks, tmp_path / str(ranks), trained_as_on_a_gpu)
    ]
    for found in others:
        for name, value in first.items():
            assert torch.equal(torch.as_tensor(found[name]), torch.as_tensor(value)), name


def drawn() -> list[torch.Tensor]:
    """The random rows of two iterations: minibatches, the discriminator's samples of the prior, noise."""
    aae, vae = (trainer_of(name, Shards(2)) for name in ("aae", "vae"))
    rows = []
    for step in (0, 5):
        aae.iteration(step)
        vae.iteration(step)
        batch = torch.stack([batch for batch, _ in aae.discriminator_parts])
        rows += [*aae.minibatch, *aae.discriminator_minibatch, *aae.generator_minibatch, vae.noise]
        rows.append(batch[:, batch.shape[1] // 2 :].flatten(0, 1))
    return rows


def test_the_rows_of_all_ranks_are_those_of_one_process(tmp_path):
    found = on_ranks(2, tmp_path / "ranks", drawn)
    for parts, whole in zip(zip(*found, strict=True), drawn(), strict=True):
        assert not torch.equal(*parts)
        assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("name", KINDS)
def test_shards_train_the_same_model(name):
    """Divided or not, the first gradients differ by the order of their sums alone.

    So do those of `aae_joint` with as many recent codes as a minibatch has. Of more, shards keep others.
    """
    whole, divided = (trainer_of(name, Shards(count), recent_codes=BATCH) for count in (1, 8))
    for trainer in (whole, divided):
        trainer.advance(1)
    torch.testing.assert_close(divided.totals, whole.totals, rtol=1e-5, atol=0)
    for key, moment in whole.state().items():
        if ".mean." in key:  # 0.1 times the gradient
            torch.testing.assert_close(divided.state()[key], moment, rtol=1e-3, atol=1e-6 * moment.abs().max().item())


# --- gradients ---


def gradients(passes, sizes, x, grad_outputs, parts: int, sparse: bool = False):
    """The gradient of each part, flat, and the perceptron and the pass that gave it."""
    perceptron = passes.Perceptron(network(sizes), sparse_inputs=sparse)
    one = passes.Pass(perceptron, len(x), [len(x) // parts] * parts)
    one.forward(x)
    one.backward(grad_outputs)
    adam = passes.Adam(perceptron, [0.9, 0.999])
    found = []
    for part in range(parts):
        found.append(torch.full((sum(p.numel() for p in perceptron.parameters),), torch.nan))
        adam.gradient([one], part, parts, found[-1])
    return found, adam, one


def network(sizes):
    torch.manual_seed(0)
    return mlp(*sizes)


def data(sizes, rows: int):
    torch.manual_seed(1)
    x = torch.rand(rows, sizes[0]) * (torch.rand(rows, sizes[0]) < 0.3)
    return x, torch.randn(rows, sizes[-1])


def flat(passes, parameters) -> torch.Tensor:
    """Parameters as `Adam.gradient` orders them: the CPU's weights are transposed."""
    native = passes is backprop_cpu
    return torch.cat([(p.t() if native and p.ndim == 2 else p).flatten() for p in parameters])


@pytest.mark.parametrize("sizes", [(40, 24, 2), (2, 33, 40), (7, 5), (130, 70, 19)])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("passes", [backprop, backprop_cpu])
def test_gradients_of_shards_against_autograd(passes, sizes, sparse):
    rows, parts = 24, 4
    x, grad_outputs = data(sizes, rows)
    found, _, _ = gradients(passes, sizes, x, grad_outputs, parts, sparse)
    for part, gradient in enumerate(found):
        exact = network(sizes).double()
        some = slice(part * rows // parts, (part + 1) * rows // parts)
        exact(x[some].double()).backward(grad_outputs[some].double())
        wanted = flat(passes, [parameter.grad for parameter in exact.parameters()])
        # An error of at most (terms + 1) roundings for each of the sums on the way, relative to sums of magnitudes.
        magnitude = network(sizes).double()
        with torch.no_grad():
            for parameter in magnitude.parameters():
                parameter.abs_()
        magnitude(x[some].double()).backward(grad_outputs[some].double().abs())
        bound = flat(passes, [parameter.grad for parameter in magnitude.parameters()])
        roundings = sum(sizes) + rows // parts + 4 * len(sizes)
        assert ((gradient - wanted).abs() <= roundings * 2**-24 * bound + 1e-30).all()


@pytest.mark.parametrize("passes", [backprop, backprop_cpu])
def test_several_passes_are_one_update(passes):
    """Part i of two passes' gradient is the sum of the parts of each."""
    sizes = (40, 24, 2)
    x, grad_outputs = data(sizes, 16)
    (whole, *_), adam, one = gradients(passes, sizes, x, grad_outputs, 1)
    halves = []
    for some in (slice(0, 8), slice(8, 16)):
        half = passes.Pass(one.perceptron, 8)
        half.forward(x[some])
        half.backward(grad_outputs[some])
        halves.append(half)
    found = [torch.empty_like(whole) for _ in range(4)]
    for part, out in enumerate(found):
        adam.gradient(halves, part, 4, out)
    torch.testing.assert_close(sum(found), whole, rtol=1e-4, atol=1e-6)


def test_blocks_that_a_backward_would_cut_are_refused():
    one = backprop.Pass(backprop.Perceptron(network((4, 2))), 8, [2, 2, 4])
    one.forward(torch.rand(8, 4))
    with pytest.raises(ValueError, match=r"last of the blocks \[2, 2, 4\], got 5"):
        one.backward(torch.rand(5, 2))
    one.backward(torch.rand(6, 2))


# --- the division ---


@given(st.integers(0, 6), st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1, max_size=5))
def test_the_sum_is_that_of_a_tree(levels, numbers):
    count = 2**levels
    rows = torch.tensor(numbers) * torch.arange(1, count + 1)[:, None] ** 3
    total = ShardSum(Shards(count), len(numbers), torch.device("cpu"))(lambda i, out: out.copy_(rows[i]))

    def expected(some):
        half = len(some) // 2
        return expected(some[:half]) + expected(some[half:]) if half else some[0]

    assert torch.equal(total, expected(rows))
    assert torch.equal(total, tree_sum(rows))


@pytest.mark.parametrize("count", [0, -8, 3, 12])
def test_other_numbers_of_shards_are_refused(count):
    with pytest.raises(ValueError, match="count must be a power of 2 that 1 ranks divide"):
        Shards(count)


def test_rows_that_shards_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="8 shards do not divide 20 rows"):
        Shards(8).rows(20)
    with pytest.raises(ValueError, match="32 shards do not divide 16 rows"):
        trainer_of("vae", Shards(32))


def refused_shards() -> str:
    try:
        Shards(1)
    except ValueError as error:
        return str(error)


def lose_the_other_rank() -> str:
    shards = Shards(2)
    if shards.rank == 1:
        return "gone"
    try:
        while True:
            shards.gather(torch.zeros(2))
    except LostRankError:
        return "told"


def test_ranks_that_do_not_divide_the_shards_are_refused(tmp_path):
    for error in on_ranks(2, tmp_path / "ranks", refused_shards):
        assert error == "count must be a power of 2 that 2 ranks divide, got 1"


def test_a_lost_rank_is_noticed(tmp_path):
    assert on_ranks(2, tmp_path / "ranks", lose_the_other_rank) == ["told", "gone"]


def follow() -> list:
    trainer = trainer_of("aae", Shards(2))
    if trainer.shards.rank == 0:
        trainer.restore(3, {name: tensor + 1 for name, tensor in trainer.state().items()})
    trainer.follow_first_rank()
    return [trainer.step, trainer.state()]


def test_all_ranks_continue_from_the_state_of_the_first(tmp_path):
    (step, first), (other_step, second) = on_ranks(2, tmp_path / "ranks", follow)
    assert step == other_step == 3
    assert first["encoder_adam.steps"] == 1
    assert all(torch.equal(second[name], tensor) for name, tensor in first.items())
