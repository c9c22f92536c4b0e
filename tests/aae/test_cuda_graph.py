"""Training in graphs gives the bits of iterations one by one. On the CPU, a recording replaces CUDA graphs."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from aae import backprop
from aae.cuda_graph import CudaCapture, GraphedIterations, graph_length
from aae.kinds.aae import AAETrainer
from aae.kinds.aae_categorical import CategoricalAAESettings
from aae.kinds.aae_joint import JointAAESettings
from aae.kinds.aae_supervised import SupervisedAAESettings
from aae.kinds.vae import VAETrainer
from aae.kinds.wae import WAESettings
from aae.models import build_model
from aae.priors import MixturePrior, NormalPrior
from aae.schedules import Schedule, tensor_by_step
from aae.settings import AdamSettings, NormalSettings
from aae.trainer import train_epoch

ADAM = AdamSettings(0.001, [0.9, 0.999])
SIZES = {
    "cpu": {"pixels": 20, "width": 16, "batch_size": 8},
    "cuda": {"pixels": 784, "width": 512, "batch_size": 128},  # as in the default experiment
}
CATEGORICAL = ["categorical aae", "labelled categorical aae"]
WAES = ["mmd wae", "sliced wae", "cramer_wold wae"]
VAE_SIZES = {"pixels": 5, "code_size": 1, "encoder_widths": [4], "decoder_widths": [4]}
needs_gpu = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
ITERATIONS, PER_GRAPH = 7, 3  # an epoch is two graphs of three iterations and one graph of one iteration

aten = torch.ops.aten
WAITING = {aten._local_scalar_dense, aten.nonzero, aten.equal, aten.is_nonzero}  # wait for numbers from the device
BRINGING = {aten.lift_fresh, aten.scalar_tensor}  # copy Python numbers to the device


class Recording(TorchDispatchMode):
    """A CUDA graph on the CPU. As a context manager, it records the operations on tensors and undoes their effects.

    Like a CUDA capture, recording runs the Python code once and leaves the tensors unchanged. A replay runs the
    operations with the captured arguments: the same tensors with their current content, and the same Python numbers.
    """

    def __init__(self):
        super().__init__()
        self.calls: list[tuple] = []
        self.found: dict[int, tuple[Tensor, Tensor]] = {}  # memory by address, and a copy of its original content

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        assert op.overloadpacket not in WAITING | BRINGING, f"{op} cannot be captured"
        kwargs = kwargs or {}
        for tensor in tensors_in((args, kwargs)):
            if (address := tensor.untyped_storage().data_ptr()) not in self.found:
                memory = whole_memory(tensor)
                self.found[address] = memory, memory.clone()
        result = op(*args, **kwargs)
        self.calls.append((op, args, kwargs, result))
        return result

    def __exit__(self, *exception):
        super().__exit__(*exception)
        for memory, before in self.found.values():
            memory.copy_(before)

    def replay(self) -> None:
        for op, args, kwargs, result in self.calls:
            again = op(*args, **kwargs)
            for old, new in zip(tensors_in(result), tensors_in(again), strict=True):
                if old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class RecordingCapture:
    """Replaces `aae.cuda_graph.CudaCapture`."""

    def warm_up(self, work: Callable[[], None]) -> None:
        work()

    def __call__(self, work: Callable[[], None], times: int) -> Callable[[], None]:
        with Recording() as recording:
            for _ in range(times):
                work()
        return recording.replay


def tensors_in(tree) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def whole_memory(tensor: Tensor) -> Tensor:
    """All bytes of the storage that contains `tensor`."""
    return torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage())


def value_on_gpu(value, steps, device):
    return tensor_by_step(value, steps, device) if isinstance(value, Schedule) else lambda step: value


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=needs_gpu)])
def device(request, monkeypatch):
    # The passes that train on a GPU, also used here on the CPU.
    monkeypatch.setattr("aae.trainer.passes_on", lambda device: backprop)
    monkeypatch.setattr("aae.trainer.value_by_step", value_on_gpu)
    if request.param == "cuda":
        backprop.set_products("float32", deterministic=True)
    yield request.param
    backprop.set_products("float32", deterministic=False)


JOINT = ["joint aae", "labelled joint aae", "gaussian joint aae", "supervised joint aae"]


@pytest.fixture(params=["aae", "labelled aae", "universal aae", "vae", *JOINT, *CATEGORICAL, *WAES])
def build(request, device):
    """A function that makes the same trainer at every call."""

    def build():
        sizes, random = dict(SIZES[device]), torch.Generator().manual_seed(0)
        pixels, width = sizes.pop("pixels"), [sizes.pop("width")]
        images = torch.randint(0, 256, (500, pixels), dtype=torch.uint8, generator=random).to(device)
        settings = {"seed": 3, "steps": 100, "autoencoder": ADAM} | sizes
        sizes = {"pixels": pixels, "code_size": 2, "encoder_widths": width, "decoder_widths": width}
        if request.param == "vae":
            return VAETrainer(build_model("vae", 3, **sizes).to(device), images, NormalPrior(2), **settings)
        if request.param in WAES:
            return wae_trainer(sizes, images, settings, request.param.removesuffix(" wae"))
        sizes["discriminator_widths"] = width
        if request.param in CATEGORICAL:
            return categorical_trainer(sizes, images, settings, request.param.startswith("labelled"))
        if "joint" in request.param:
            return joint_trainer(sizes, images, settings, request.param.split()[0])
        settings |= {"discriminator": ADAM, "generator": ADAM}
        if request.param != "labelled aae":
            posterior = "universal" if request.param == "universal aae" else "deterministic"
            model = build_model("aae", 3, **sizes, posterior=posterior).to(device)
            return AAETrainer(model, images, NormalPrior(2), **settings)
        settings["labels"] = (torch.arange(500) % 4).to(device)
        model = build_model("aae", 3, **sizes, label_classes=4).to(device)
        return AAETrainer(model, images, MixturePrior(4), **settings)

    return build


def joint_trainer(sizes, images, training, variant):
    """A joint trainer in which every setting that may follow a schedule follows one.

    The variant "gaussian" samples its codes from q(z|x), and sees a part of the labels. In the variant "supervised",
    the decoder sees them too.
    """
    labels, gaussian, supervised = variant != "joint", variant == "gaussian", variant == "supervised"
    rate = AdamSettings(Schedule(0.001, 0.0), [0.9, 0.999])
    settings = (SupervisedAAESettings if supervised else JointAAESettings)(
        prior=NormalSettings(),
        labels=labels,
        **{name: widths for name, widths in sizes.items() if name.endswith("_widths")},
        encoder=rate,
        decoder=rate,
        discriminator=rate,
        adversarial_weight=Schedule(0.001, 1.0, "exponential"),
        masking_noise=Schedule(0.3, 0.0, until=0.1),
        code_noise=Schedule(0.5, 0.05),
        gradient_penalty=Schedule(0.05, 0.0),
        recent_codes=12,
        average=0.9,
        labelled=100 if gaussian else "all",
        posterior="gaussian" if gaussian else "deterministic",
    )
    prior, classes = (MixturePrior(4), {"label_classes": 4 + gaussian}) if labels else (NormalPrior(2), {})
    kind = "aae_joint"
    if supervised:
        kind, prior, classes = "aae_supervised", NormalPrior(2), classes | {"classes": 4}
    model = build_model(kind, 3, **sizes, **classes, posterior=settings.posterior).to(images.device)
    training = {name: value for name, value in training.items() if name != "autoencoder"}
    return model.trainer(settings, images, (torch.arange(500) % 4).to(images.device), prior, **training)


def categorical_trainer(sizes, images, training, labelled):
    """A trainer in which every setting that may follow a schedule follows one.

    With labels, the code is the sum of style and category's point; without, the style does not depend on the category.
    """
    rate, rising = AdamSettings(Schedule(0.001, 0.0), [0.9, 0.999]), Schedule(0.1, 1.0, "exponential")
    weights = ("reconstruction_weight", "style_weight", "category_weight", "classification_weight")
    noises = ("input_noise", "masking_noise", "code_noise", "category_noise", "discriminator_noise")
    settings = CategoricalAAESettings(
        prior=NormalSettings(),
        categories=4,
        labelled=100 if labelled else "none",
        code="sum" if labelled else "concatenation",
        **{name: widths for name, widths in sizes.items() if name.endswith("_widths")},
        encoder=rate,
        decoder=rate,
        discriminator=rate,
        **dict.fromkeys(weights, rising),
        **dict.fromkeys(noises, Schedule(0.3, 0.1)),
        recent_codes=12,
        gradient_penalty=rising,
        batch_norm=labelled,
        independent=not labelled,
        separation=2.0,
        average=0.9,
    )
    choices = {"categories": 4, "code": settings.code, "independent": settings.independent}
    model = build_model("aae_categorical", 3, **sizes, **choices).to(images.device)
    training = {name: value for name, value in training.items() if name != "autoencoder"}
    return model.trainer(settings, images, (torch.arange(500) % 4).to(images.device), NormalPrior(2), **training)


def wae_trainer(sizes, images, training, distance):
    widths = {name: widths for name, widths in sizes.items() if name.endswith("_widths")}
    adam = training.pop("autoencoder")
    settings = WAESettings(prior=NormalSettings(), **widths, distance=distance, weight=1.0, autoencoder=adam)
    model = build_model("wae", 3, **sizes).to(images.device)
    return model.trainer(settings, images, None, NormalPrior(2), **training)


@pytest.fixture(autouse=True)
def short_graphs(request, monkeypatch):
    """Graphs of at most three iterations, so that an epoch has a remainder."""
    if "device" in request.fixturenames:
        monkeypatch.setattr("aae.cuda_graph.MAX_LENGTH", PER_GRAPH)


def graphed(trainer):
    return GraphedIterations(trainer, ITERATIONS, None if trainer.images.is_cuda else RecordingCapture())


def everything(trainer):
    """Copies of everything that training changes."""
    return {name: tensor.clone() for name, tensor in trainer.state().items()}


def assert_same_bits(ours, theirs):
    assert ours.keys() == theirs.keys()
    different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert not different


def test_the_bits_of_iterations_one_by_one(build):
    one_by_one, trainer = build(), build()
    graphs = graphed(trainer)
    for epoch in (1, 2):
        expected = train_epoch(one_by_one, epoch, ITERATIONS)
        assert train_epoch(trainer, epoch, ITERATIONS, advance=graphs.advance) == expected
        assert trainer.step == one_by_one.step
        assert_same_bits(everything(trainer), everything(one_by_one))


def test_it_is_called_after_each_graph(build):
    trainer, steps = build(), []
    graphs = graphed(trainer)
    for epoch in (1, 2):
        train_epoch(trainer, epoch, ITERATIONS, steps.append, graphs.advance)
    assert steps == [3, 6, 7, 10, 13, 14]
    assert sorted(graphs.graphs) == [1, 3]


@pytest.mark.parametrize(
    ("iterations", "length"), [(468, 36), (234, 26), (100, 25), (36, 36), (37, 36), (7, 7), (1, 1), (467, 31)]
)
def test_the_length_of_graphs(iterations, length):
    assert graph_length(iterations) == length


def test_no_other_length_queues_fewer_graphs():
    def queued(iterations: int, length: int) -> int:
        """The number of graphs that `advance` queues in an epoch."""
        graphs = 0
        while iterations:
            iterations -= length if iterations >= length else 1
            graphs += 1
        return graphs

    for iterations in range(1, 500):
        chosen = graph_length(iterations)
        assert queued(iterations, chosen) == min(queued(iterations, length) for length in range(1, 37))


def test_warming_up_changes_nothing(build):
    trainer = build()
    trainer.advance(1)
    before = everything(trainer)
    graphed(trainer).warm_up()
    assert_same_bits(everything(trainer), before)
    assert trainer.step == 1


@pytest.mark.parametrize("step", [1, 3, 4, 7, 8])
def test_resuming_from_any_step(build, step):
    """With new graphs, as after an interruption, and with graphs that have already run."""
    one_by_one = build()
    saved = None
    for epoch in (1, 2):

        def keep(done):
            nonlocal saved
            if done == step:
                saved = {name: tensor.clone() for name, tensor in one_by_one.state().items()}

        train_epoch(one_by_one, epoch, ITERATIONS, keep)
    expected = everything(one_by_one)

    trainer = build()
    graphs = graphed(trainer)
    for _ in range(2):
        trainer.restore(step, saved)
        for epoch in range(step // ITERATIONS + 1, 3):
            train_epoch(trainer, epoch, ITERATIONS, advance=graphs.advance)
        assert_same_bits(everything(trainer), expected)


def test_the_trainer_may_advance_by_itself_in_between(build):
    one_by_one, trainer = build(), build()
    graphs = graphed(trainer)
    for advance in (graphs.advance, trainer.advance, graphs.advance):
        advance(PER_GRAPH)
    while one_by_one.step < trainer.step:
        one_by_one.advance(1)
    assert trainer.step == 7
    assert_same_bits(everything(trainer), everything(one_by_one))


@pytest.mark.parametrize("name", ["learning rate", "constant"])
def test_a_graph_follows_a_learning_rate_on_the_device(device, name):
    """A graph captured with one rate and replayed with others uses the others. A Python number would be fixed."""
    random = torch.Generator().manual_seed(0)
    x, grad_outputs = (torch.randn(8, size, generator=random).to(device) for size in (5, 3))
    rates = [0.0, 0.25, 0.5]

    def training():
        perceptron = backprop.Perceptron(build_model("vae", 0, **VAE_SIZES).encoder.to(device))
        return backprop.Pass(perceptron, 8), backprop.Adam(perceptron, (0.9, 0.999))

    def step(one, adam, rate):
        one.forward(x)
        one.backward(grad_outputs[:, :2].contiguous())
        adam.update(one, learning_rate=rate)

    one, adam = training()
    rate = torch.tensor(0.125, device=device) if name == "learning rate" else 0.125
    capture = CudaCapture() if device == "cuda" else RecordingCapture()
    before = [tensor.clone() for tensor in (*one.perceptron.parameters, *adam.means, *adam.squares)]
    capture.warm_up(lambda: step(one, adam, rate))
    for tensor, value in zip((*one.perceptron.parameters, *adam.means, *adam.squares), before, strict=True):
        tensor.copy_(value)
    adam.resume(0)
    graph = capture(lambda: step(one, adam, rate), 1)
    twin, twin_adam = training()
    for value in rates:
        if isinstance(rate, Tensor):
            rate.fill_(value)
        graph()
        step(twin, twin_adam, torch.tensor(value, device=device) if isinstance(rate, Tensor) else rate)
    for ours, theirs in zip(one.perceptron.parameters, twin.perceptron.parameters, strict=True):
        assert torch.equal(ours, theirs)
    assert adam.steps.item() == 3


def test_the_stand_in_captures_what_a_graph_would():
    """It replays only operations, on the tensors' content at replay, with the Python numbers of the capture."""
    total, number = torch.zeros(3), 2.0
    graph = RecordingCapture()(lambda: total.add_(torch.ones(3) * number), 2)
    assert torch.equal(total, torch.zeros(3))
    number = 5.0
    total.fill_(10)
    graph()
    assert torch.equal(total, torch.full((3,), 14.0))
    for refused in (lambda: total.sum().item(), lambda: total.add_(torch.tensor([1.0, 2.0, 3.0]))):
        with pytest.raises(AssertionError, match="cannot be captured"), Recording():
            refused()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", backprop.PRECISIONS)
@pytest.mark.parametrize("device", ["cuda"], indirect=True)
def test_nothing_waits_for_the_gpu(build, precision):
    backprop.set_products(precision, deterministic=True)
    one_by_one, trainer = build(), build()
    graphs = graphed(trainer)
    one_by_one.advance(1)
    graphs.advance(PER_GRAPH)  # captures, which synchronises
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(5):
            one_by_one.advance(1)
        graphs.advance(PER_GRAPH)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert_same_bits(everything(trainer), everything(one_by_one))
