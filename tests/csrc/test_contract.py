"""The bits that every machine, compiler and version must produce, because trained results depend on them."""

import hashlib

import pytest
import torch

from aae import ops, reference
from aae.kinds.aae import AAESettings
from aae.kinds.aae_joint import JointAAESettings
from aae.kinds.aae_supervised import SupervisedAAESettings
from aae.kinds.vae import VAESettings
from aae.models import Recipe, build_model, find_kind
from aae.priors import MixturePrior, NormalPrior, SwissRollPrior, UniformPrior
from aae.schedules import Schedule
from aae.settings import AdamSettings, NormalSettings

DRAW = {"seed": 20151118, "step": 2**40 + 7, "stream": 9}
SHA256 = {
    "prior": "31a45e67d38a0ecac689aec631caa5d494cf0fe8534e14f29c82ae37026625a2",
    "minibatch": "0ebeff15f2ed3664f8e70d36aae401633a7e2685f67aa1da8a172b6bfee371a8",
    "NormalPrior": "d1906f33ad18bbb63947f2d9c07149737c468a8a11f291ae6e27de45ea463db1",
    "UniformPrior": "ac2af37109b30a035c04eca7294e75714bc44ac99ac97f1221c725424b17af97",
    "MixturePrior": "4d336b8950163dbb72e94a4e16156145b81f2cf4bc41494abf3b0faebfa8a68d",
    "SwissRollPrior": "00499b535ce7db684149ab6c7356328a0c9b41d33a71d52cde7a9f0fcf785790",
    "aae": "af76d85f5c5e72d8946f431e82c6a2c7b275e1f032c117e379e6e4fb342458f3",
    "vae": "22df815b78e195000f5524f3fc6bebc7e7e513c2c5a35d0ecbdaaab5ca5933b0",
    "aae_joint": "6fb586cd1d5db40beda5a203e3ba4ab09e721e6da2ad5183d845bf6991aad638",
    "aae_supervised": "b2afcd1446dc92d54136de8ebfa7c5695eeb06200fbc50e50dc4a9c6db7aed50",
    "labels": "4114b8675e1cb67e6e86cd752555629e07d89b22aa937e94180e865054ddeb69",
}


def sha256(*tensors):
    digest = hashlib.sha256()
    for tensor in tensors:
        array = tensor.numpy()
        digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def test_prior(isa):
    near = ops.sample_prior(NormalPrior(2), 400_003, **DRAW)
    far = ops.sample_prior(NormalPrior(3, 5.0), 400_003, offset=2**33 + 1, **DRAW)
    assert sha256(near, far) == SHA256["prior"]


@pytest.mark.parametrize("prior", [NormalPrior(2), UniformPrior(2), MixturePrior(), SwissRollPrior()], ids=str)
def test_ten_million_values(prior, isa):
    """The block index crosses 2^32 half-way. A block holds two rows of an element-wise prior."""
    half_way = 2**32 if prior.classes else 2**33
    samples = ops.sample_prior(prior, 5_000_000, offset=half_way - 2_500_001, **DRAW)
    assert sha256(samples) == SHA256[type(prior).__name__]


@pytest.mark.parametrize("prior", [NormalPrior(3), UniformPrior(3), MixturePrior(), SwissRollPrior()], ids=str)
def test_every_small_size_at_odd_offsets(prior, isa):
    """Incomplete vectors and blocks, near the point where the index's high half changes."""
    for offset in (1, 2**32 - 7, 2**34 // 3 - 9):
        for n in range(70):
            samples = ops.sample_prior(prior, n, offset=offset, **DRAW).numpy()
            assert samples.tobytes() == reference.sample_prior(prior, n, offset=offset, **DRAW).tobytes()


def test_labels(isa):
    labels = torch.arange(100_003) % 10
    batches = [
        ops.assemble_discriminator_batch(torch.ones(5, 2), prior, 100_003, seed=1, step=2**40, labels=labels[:5])
        for prior in (MixturePrior(), SwissRollPrior())
    ]
    samples = [
        ops.sample_prior(prior, 100_003, labels=labels, offset=2**33 + 1, **DRAW)
        for prior in (MixturePrior(), SwissRollPrior())
    ]
    assert sha256(*batches[0], *batches[1], *samples) == SHA256["labels"]


def test_minibatch(isa):
    images = (torch.arange(60_000 * 7) % 256).to(torch.uint8).reshape(60_000, 7)
    assert sha256(*ops.draw_minibatch(images, 100_003, offset=2**33 + 1, **DRAW)) == SHA256["minibatch"]


ADAM = AdamSettings(0.01, [0.9, 0.999])
WIDTHS = {"encoder_widths": [24], "decoder_widths": [24]}
SETTINGS = {
    "vae": VAESettings(NormalSettings(), **WIDTHS, autoencoder=ADAM),
    "aae": AAESettings(
        NormalSettings(),
        False,
        **WIDTHS,
        discriminator_widths=[24],
        autoencoder=ADAM,
        discriminator=ADAM,
        generator=ADAM,
    ),
    "aae_joint": JointAAESettings(
        NormalSettings(),
        False,
        **WIDTHS,
        discriminator_widths=[24],
        encoder=AdamSettings(Schedule(0.005, 0.0), [0.9, 0.999]),
        decoder=AdamSettings(Schedule(0.02, 0.0), [0.9, 0.999]),
        discriminator=AdamSettings(0.02, [0.5, 0.999]),
        adversarial_weight=Schedule(0.001, 1.0, "exponential", until=0.8),
        masking_noise=Schedule(0.3, 0.0, until=0.8),
        code_noise=Schedule(0.5, 0.05, "exponential", until=0.3),
        gradient_penalty=Schedule(0.05, 0.0, until=0.9),
        recent_codes=50,
        average=0.95,
    ),
}
SETTINGS["aae_supervised"] = SupervisedAAESettings(**vars(SETTINGS["aae_joint"]) | {"labels": True})


@pytest.mark.parametrize("name", SETTINGS)
def test_training(name, isa):
    """A hundred iterations. The initial weights are samples too, so no library affects the bits."""
    recipe = Recipe(name, find_kind(name), SETTINGS[name])
    model = build_model(name, 0, **recipe.sizes(pixels=40, code_size=2, classes=10))
    for i, parameter in enumerate(model.parameters()):
        weights = ops.sample_prior(NormalPrior(1, 0.2), parameter.numel(), **DRAW | {"step": i})
        parameter.data.copy_(weights.view_as(parameter))
    images = (torch.arange(100 * 40) ** 2 % 509 - 253).clamp(0, 255).to(torch.uint8).reshape(100, 40)
    labels = torch.zeros(len(images), dtype=torch.int64)
    trainer = model.trainer(recipe.settings, images, labels, NormalPrior(2), seed=1, batch_size=16, steps=100)
    for step in range(100):
        trainer.iteration(step)
    assert sha256(*(parameter.detach() for parameter in trainer.published().parameters())) == SHA256[name]
