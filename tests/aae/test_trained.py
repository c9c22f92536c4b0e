"""A trained model in use, through `aae.load`: images, codes, samples, and one line for every refused input."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import nn

import aae
from aae.checksums import LIST, write_sums
from aae.errors import InputError
from aae.models import build_model
from aae.priors import MixturePrior, NormalPrior, SwissRollPrior, UniformPrior
from aae.snapshots import Metadata, save_snapshot

SHAPE = (5, 3, 1)
NAMES = tuple("0123456789")


def saved(folder: Path, kind: str = "aae", shape=SHAPE, prior=None, epochs=(0, 3), code_size=2) -> Path:
    """Saves a run of untrained models. Returns its folder."""
    extra = {} if kind == "vae" else {"discriminator_widths": [4]}
    sizes = {"pixels": int(np.prod(shape)), "code_size": code_size, "encoder_widths": [6], "decoder_widths": [7]}
    for epoch in epochs:
        model = build_model(kind, epoch, **sizes, **extra)
        save_snapshot(folder, epoch, model, Metadata(prior or NormalPrior(code_size), shape, NAMES))
    return folder


def random_images(n: int, shape=SHAPE) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (n, *shape)).astype(np.uint8)


@pytest.fixture(scope="module", params=["aae", "vae"])
def model(request, tmp_path_factory):
    return aae.load(saved(tmp_path_factory.mktemp("run") / f"{request.param}-0", request.param))


def test_importing_the_package_imports_nothing_else():
    code = "import sys, aae; print(sorted(name for name in sys.modules if name.startswith(('torch', 'numpy', 'aae'))))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "['aae']"


# --- loading --------------------------------------------------------------------------------------------


def test_a_folder_is_its_last_snapshot(tmp_path):
    folder, images = saved(tmp_path / "aae-0"), random_images(4)
    last = aae.load(str(folder / "003.safetensors")).encode(images)
    assert np.array_equal(aae.load(folder).encode(images), last)
    assert not np.array_equal(aae.load(folder / "000.safetensors").encode(images), last)


def test_what_it_knows_of_itself(tmp_path):
    model = aae.load(saved(tmp_path / "a", shape=(4, 6, 3), prior=UniformPrior(2, 1.5)))
    assert (model.prior, model.image_shape, model.class_names) == (UniformPrior(2, 1.5), (4, 6, 3), NAMES)
    assert model.code_size == 2
    assert repr(model) == (
        "<TrainedModel aae: images of 4 x 6 x 3, codes of 2, prior uniform on [-1.5, 1.5] on every axis>"
    )


@pytest.mark.parametrize(
    "prior", [NormalPrior(2, 0.1), UniformPrior(2, 3), MixturePrior(4, 2.0, 0.3, 0.2), SwissRollPrior(7, 1.0, 1.5)]
)
def test_the_prior_comes_back(tmp_path, prior):
    assert aae.load(saved(tmp_path, prior=prior)).prior == prior


def test_config_says_what_the_header_says(tmp_path):
    """config.json is in the folder where the Hugging Face convention expects it."""
    folder = saved(tmp_path / "vae-0", "vae", prior=NormalPrior(2, 2.0))
    assert json.loads((folder / "config.json").read_text()) == {
        "kind": "vae",
        "sizes": {"pixels": 15, "code_size": 2, "encoder_widths": [6], "decoder_widths": [7]},
        "prior": {"kind": "normal", "dim": 2, "std": 2.0},
        "image_shape": [5, 3, 1],
        "class_names": list(NAMES),
    }


def test_weights_load_into_plain_pytorch(tmp_path):
    """Without this package, into a Sequential with the sizes in config.json."""
    folder, images = saved(tmp_path / "aae-0"), random_images(8)
    weights = load_file(folder / "003.safetensors")
    for name, sizes in (("encoder", (15, 6, 2)), ("decoder", (2, 7, 15))):
        network = nn.Sequential(nn.Linear(*sizes[:2]), nn.ReLU(), nn.Linear(*sizes[1:]))
        own = {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}
        network.load_state_dict(own)
        model = aae.load(folder)
        with torch.no_grad():
            if name == "encoder":
                codes = network(torch.from_numpy(images).flatten(1) / 255).numpy()
                np.testing.assert_allclose(codes, model.encode(images), atol=1e-6)
            else:
                decoded = network(torch.from_numpy(codes)).sigmoid().numpy().reshape(-1, 5, 3)
                np.testing.assert_allclose(decoded, model.decode(codes), atol=1e-6)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nothing", "nothing: not a readable snapshot"),
        ("empty", "empty: no snapshots"),
        ("foreign.safetensors", "not a readable snapshot (its header has no config)"),
        ("broken.safetensors", "not a readable snapshot ("),
    ],
)
def test_what_cannot_be_loaded(tmp_path, monkeypatch, path, message):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("broken.safetensors").write_bytes(b"x" * 100)
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(2)}, "foreign.safetensors")
    with pytest.raises(InputError) as error:
        aae.load(path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_snapshot_is_compared_with_the_list_of_its_training(tmp_path):
    folder = saved(tmp_path, epochs=(0, 3))
    path, content = folder / "003.safetensors", (folder / "003.safetensors").read_bytes()
    write_sums(folder / LIST, folder.iterdir())
    aae.load(folder)
    flipped = content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]
    path.write_bytes(flipped)
    for place in (folder, path):
        with pytest.raises(InputError, match=r"003\.safetensors: its SHA-256 is "):
            aae.load(place)
    path.unlink()
    with pytest.raises(InputError, match=r"003\.safetensors: missing, but SHA256SUMS lists it"):
        aae.load(folder)
    aae.load(folder / "000.safetensors")
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere/003.safetensors").write_bytes(flipped)
    aae.load(folder / "elsewhere")  # has no list
    (folder / "004.safetensors").write_bytes(flipped)
    aae.load(folder)  # a later file that is not listed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "gan"}, "find_kind: kind must be one of"),
        ({"image_shape": [5, 4, 1]}, "the model has 15 pixels; images have the shape (5, 4, 1)"),
        ({"prior": {"kind": "cauchy"}}, "make_prior: kind must be one of normal, uniform, mixture, swiss_roll"),
        ({"prior": {"kind": "normal", "dim": 2, "std": -1}}, "NormalPrior: std must be within"),
        ({"prior": None}, "its config has no 'prior'"),
    ],
)
def test_a_header_that_does_not_agree(tmp_path, change, message):
    from safetensors.torch import save_file

    path = saved(tmp_path) / "003.safetensors"
    config = json.loads((tmp_path / "config.json").read_text()) | change
    config = {key: value for key, value in config.items() if value is not None}
    save_file(load_file(path), path, {"config": json.dumps(config)})
    with pytest.raises(InputError) as error:
        aae.load(path)
    assert message in str(error.value)


# --- images and codes -----------------------------------------------------------------------------------


def test_forms_of_the_same_images(model):
    images = random_images(6)
    codes = model.encode(images)
    assert codes.dtype == np.float32
    assert codes.shape == (6, 2)
    forms = [
        images[..., 0],
        images.reshape(6, 15),
        images.transpose(0, 3, 1, 2),  # channels first
        torch.from_numpy(images),
        images / np.float32(255),
        images / 255,  # float64
        torch.from_numpy(images).permute(0, 3, 1, 2).float().div(255).requires_grad_(),
        images[::-1][::-1],  # not contiguous
    ]
    for form in forms:
        assert np.array_equal(model.encode(form), codes)


def test_channels_first_of_colour_images(tmp_path):
    model = aae.load(saved(tmp_path, shape=(4, 6, 3)))
    images = random_images(5, (4, 6, 3))
    assert np.array_equal(model.encode(images.transpose(0, 3, 1, 2)), model.encode(images))
    assert model.decode(model.encode(images)).shape == (5, 4, 6, 3)
    with pytest.raises(InputError, match=r"shapes \[n, 4, 6, 3\], \[n, 3, 4, 6\], \[n, 72\]; found \[5, 4, 6\]"):
        model.encode(images[..., 0])


def test_a_square_of_three_channels_has_them_last(tmp_path):
    """Both channel orders have the same shape here."""
    model = aae.load(saved(tmp_path, shape=(3, 3, 3)))
    images = random_images(2, (3, 3, 3))
    assert np.array_equal(model.encode(images), model.encode(images.reshape(2, -1)))


def test_decoded_images(model):
    codes = np.random.default_rng(0).standard_normal((7, 2))
    images = model.decode(codes)
    assert images.dtype == np.float32
    assert images.shape == (7, 5, 3)
    assert 0 < images.min() < images.max() < 1
    logits = model.network.decode(torch.from_numpy(codes).float())
    np.testing.assert_allclose(images.reshape(7, 15), logits.sigmoid().numpy(), atol=1e-6)
    for form in (codes.tolist(), torch.from_numpy(codes), codes.astype(np.float32)):
        assert np.array_equal(model.decode(form), images)


def test_a_reconstruction_is_the_decoded_code(model):
    images = random_images(6)
    assert np.array_equal(model.reconstruct(images), model.decode(model.encode(images)))


def test_many_images_at_once_have_the_codes_of_each(model):
    images = random_images(10_001)
    codes = model.encode(images)
    assert np.array_equal(codes[:3], model.encode(images[:3]))
    assert np.array_equal(codes[-1:], model.encode(images[-1:]))


def test_no_images(model):
    assert model.encode(random_images(0)).shape == (0, 2)
    assert model.decode(np.empty((0, 2))).shape == (0, 5, 3)
    assert model.reconstruct(random_images(0)).shape == (0, 5, 3)
    assert model.sample(0).shape == (0, 5, 3)


def test_interpolation(model):
    a, b = [0.0, 1.0], np.array([2.0, -1.0])
    images = model.interpolate(a, b, 5)
    codes = [[0, 1], [0.5, 0.5], [1, 0], [1.5, -0.5], [2, -1]]
    assert np.array_equal(model.line(a, b, 5), np.array(codes, np.float32))
    assert np.array_equal(images, model.decode(codes))


def test_samples_are_of_the_prior_and_the_seed(tmp_path):
    model = aae.load(saved(tmp_path / "a", prior=UniformPrior(2, 0.5)))
    codes = model.sample_prior(2000, seed=4)
    assert np.abs(codes).max() <= 0.5
    assert abs(codes.std() - 0.5 / 3**0.5) < 0.02
    assert np.array_equal(model.sample_prior(3, seed=4), codes[:3])
    assert not np.array_equal(model.sample_prior(3, seed=5), codes[:3])
    assert np.array_equal(model.sample(3, seed=4), model.decode(codes[:3]))
    wide = aae.load(saved(tmp_path / "b", prior=NormalPrior(2, 10.0)))
    assert abs(wide.sample_prior(2000).std() - 10) < 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: model.encode(np.zeros((2, 4, 4))), "images must have one of the shapes [n, 5, 3, 1]"),
        (lambda model: model.encode(np.zeros((5, 3), np.uint8)), "found [5, 3]"),
        (
            lambda model: model.encode(np.zeros((2, 15), int)),
            "images must be uint8 or floating-point in [0, 1]; found int",
        ),
        (
            lambda model: model.encode(np.full((1, 15), 255.0)),
            "floating-point images must be in [0, 1]; found 255 to 255",
        ),
        (lambda model: model.encode(np.full((1, 15), np.nan)), "floating-point images must be in [0, 1]; found nan"),
        (lambda model: model.encode([[1.0], [1.0, 2.0]]), "images must be an array"),
        (lambda model: model.decode([0.5, 1.0]), "codes must have the shape [n, 2]; found [2]"),
        (lambda model: model.decode([["a", "b"]]), "codes must be finite numbers"),
        (lambda model: model.decode([[0.0, float("inf")]]), "codes must be finite numbers"),
        (lambda model: model.interpolate([0, 0], [1, 1, 1], 3), "b must have the shape [2]; found [3]"),
        (lambda model: model.interpolate([0, 0], [1, 1], 1), "steps must be an integer of 2 or more; found 1"),
        (lambda model: model.sample(-1), "n must be an integer of 0 or more; found -1"),
        (lambda model: model.sample(1, seed=-1), "seed must be an integer from 0 to 2^63 - 1; found -1"),
    ],
)
def test_refused(model, call, message):
    with pytest.raises(InputError) as error:
        call(model)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


# --- scikit-learn ---------------------------------------------------------------------------------------


def test_as_a_transformer(model):
    images = random_images(40).reshape(40, 15)
    codes = model.transform(images)
    assert np.array_equal(codes, model.encode(images))
    assert np.array_equal(model.inverse_transform(codes), model.decode(codes).reshape(40, 15))


def test_in_a_pipeline(model):
    images, labels = random_images(40).reshape(40, 15), np.arange(40) % 2
    pipeline = make_pipeline(model, LogisticRegression()).fit(images, labels)
    assert np.array_equal(
        pipeline.predict(images), LogisticRegression().fit(model.encode(images), labels).predict(model.encode(images))
    )
