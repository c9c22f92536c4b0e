"""The page's data: packed to a small size, within the documented accuracy."""

import os
import subprocess
import sys
from base64 import b64decode
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from aae.models import Autoencoder, Recipe, build_model, find_kind
from aae.page_data import (
    DECODER_BYTES,
    PACKED_BYTES,
    decode_sheet,
    decoded_size,
    decoder_layers,
    decoder_shapes,
    dither,
    pack_codes,
    pack_decoded,
    pack_decoder,
    page_data,
    pictured_codes,
    plot_limit,
)
from aae.page_views import coordinates, outlined, picture_codes, planes
from aae.priors import MixturePrior, NormalPrior, SwissRollPrior, UniformPrior
from aae.readers.idx import read_idx_folder
from aae.snapshots import Metadata, save_snapshot
from aae.tiling import tiled
from tests.csrc.test_contract import SETTINGS

ROOT = Path(__file__).parents[2]
NAMES = tuple("0123456789")


@given(
    codes=arrays.arrays(np.float32, (2, 5, 6), elements=st.floats(-50, 50, width=32)),
    limit=st.sampled_from([0.5, 4, 30]),
)
def test_packed_codes(codes, limit):
    """As the page unpacks them: within half a cell of 2 limit / 254. Codes outside are marked and not stored."""
    packed = pack_codes(codes, limit)
    assert packed.dtype == np.uint8
    inside = np.abs(codes) <= limit
    assert ((packed > 0) == inside).all()
    shown = ((packed - 0.5 - dither(5, 6)) / 127 - 1) * limit
    assert np.abs(shown - codes)[inside].max(initial=0) <= limit / 254 * (1 + 1e-5)


def test_codes_that_are_not_finite_are_not_shown():
    codes = np.array([[[np.nan, 0], [np.inf, 0], [0, 0]]], dtype=np.float32)
    assert (pack_codes(codes, 4) > 0).tolist() == [[[False, True], [False, True], [True, True]]]


def test_points_show_no_lattice_in_any_plane():
    """The constants of any two coordinates fill the square: each of 8 x 8 cells has its share of 20,000 images."""
    constants = dither(20_000, 18)
    assert constants.shape == (20_000, 18)
    for i in range(18):
        for j in range(i):
            counts, _, _ = np.histogram2d(constants[:, i], constants[:, j], bins=8, range=[[0, 1], [0, 1]])
            assert counts.min() > 0.8 * 20_000 / 64
            assert counts.max() < 1.2 * 20_000 / 64


def test_packed_decoders():
    """Weights are within half of 1/32767 of the largest in their row. Biases are exact."""
    model = build_model("vae", 3, pixels=12, code_size=2, encoder_widths=[5], decoder_widths=[7, 6]).requires_grad_(
        False
    )
    model.decoder[0].weight[2] = 0  # a row with no scale
    content = pack_decoder(model)
    shapes = decoder_shapes(model)
    assert shapes == [[2, 7], [7, 6], [6, 12]]
    at = 0
    for (inputs, outputs), layer in zip(shapes, model.decoder[::2], strict=True):
        floats = np.frombuffer(content, "<f4", 2 * outputs, at)
        weights = np.frombuffer(content, "<i2", inputs * outputs, at + 8 * outputs).reshape(outputs, inputs)
        at += 8 * outputs + 2 * inputs * outputs
        assert (floats[:outputs] == layer.bias.numpy()).all()
        true = layer.weight.numpy()
        error = np.abs(weights * floats[outputs:, None] - true)
        assert (error <= np.abs(true).max(axis=1, keepdims=True) / 32767 * 0.501).all()
    assert at == len(content)


class Rotated(Autoencoder):
    """Its encoder outputs two numbers and then the code. Its decoder reads an affine function of the code."""

    def __init__(self):
        sizes = {"pixels": 4, "code_size": 2, "encoder_widths": [3], "decoder_widths": [5]}
        super().__init__(encoder_outputs=4, decoder_inputs=3, **sizes)

    def codes(self, outputs, noise):
        return {"": outputs[:, 2:]}

    def decoder_inputs(self, codes, outputs=None, labels=None):
        return codes @ torch.tensor([[1.0, -2.0, 0.5], [0.25, 3.0, 1.0]]) + torch.tensor([0.5, -1.0, 2.0])

    sizes_of = prior = trainer = iteration_flops = None


def test_what_lies_before_the_decoder_becomes_part_of_its_first_layer():
    torch.manual_seed(0)
    model = Rotated().requires_grad_(False)
    codes = torch.randn(7, 2)
    values = codes.numpy()
    (first, first_bias), (last, last_bias) = decoder_layers(model)
    values = np.maximum(values @ first.T + first_bias, 0) @ last.T + last_bias
    assert values == pytest.approx(model.decode(codes).numpy(), abs=1e-5)
    assert decoder_shapes(model) == [[2, 5], [5, 4]]


def test_the_model_says_which_outputs_are_codes():
    outputs = np.random.default_rng(0).standard_normal((3, 5, 4), dtype=np.float32)
    assert (pictured_codes(Rotated(), outputs) == outputs[..., 2:]).all()


def test_the_limit_holds_prior_manifold_and_last_codes():
    codes = np.random.default_rng(0).standard_normal((1000, 2))
    assert plot_limit([0.01 * codes], [4.5], [3.0]) == 6  # 3 standard deviations of 1.5
    assert plot_limit([0.01 * codes], [4.5], [7.2]) == 7.5
    assert plot_limit([0.001 * codes], [0.03, 0.01], [0.03]) == pytest.approx(0.04), "a narrow prior fits"
    wide = plot_limit([codes, 5 * codes], [4.5], [3.0])
    assert 0.995 <= (np.abs(5 * codes) <= wide).all(axis=1).mean() < 1
    codes[:4] = 1e6
    assert plot_limit([0.01 * codes], [4.5], [3.0]) == 6, "a few distant codes do not matter"


def test_a_sheet_has_its_images_row_by_row():
    images = np.arange(5 * 2 * 3, dtype=np.uint8).reshape(5, 2, 3)
    whole = tiled(images, 3)
    assert whole.shape == (4, 9)
    assert (whole[:2, 3:6] == images[1]).all()
    assert (whole[2:, :3] == images[3]).all()
    assert (whole[2:, 6:] == 0).all()


def test_the_manifold_is_upright():
    """Its upper left image belongs to the code (-reach, reach). Images are wider than high, so a row has fewer."""
    model = build_model(
        "aae", 0, pixels=6, code_size=2, encoder_widths=[4], decoder_widths=[8], discriminator_widths=[4]
    )
    model = model.requires_grad_(False)
    codes, columns = picture_codes(NormalPrior(2), 3, 2.0, (2, 3), 100)["manifold"]
    assert columns == 2
    whole = decode_sheet(model, codes, columns, (2, 3))
    assert whole.shape == (6, 6)
    for code, corner in (((-2, 2), whole[:2, :3]), ((2, 2), whole[:2, 3:]), ((-2, 0), whole[2:4, :3])):
        image = model.decode(torch.tensor([code], dtype=torch.float32)).sigmoid().numpy().reshape(2, 3)
        assert np.abs(corner / 255 - image).max() <= 0.51 / 255


PACKING = """
import hashlib, sys
from pathlib import Path
from aae.page_data import pack_decoded
from aae.page_views import picture_codes
from aae.priors import NormalPrior
codes, columns = picture_codes(NormalPrior(2), 30, 3.0, (28, 28), 900)["manifold"]
pictures = pack_decoded([(Path(sys.argv[1]), codes, columns)], (28, 28))
print([hashlib.sha256(picture).hexdigest() for picture in pictures])
"""


def test_manifolds_are_the_same_with_any_instruction_set_and_threads_of_pytorch(tmp_path):
    """PyTorch's ranges, products and sigmoids differ between these."""
    model = build_model("vae", 0, pixels=784, code_size=2, encoder_widths=[8], decoder_widths=[512])
    model.requires_grad_(False).decoder[2].weight.mul_(30)  # gives strokes and background, like a trained model
    path = save_snapshot(tmp_path, 0, model, Metadata(NormalPrior(2), (28, 28, 1), NAMES))
    digests = set()
    for capability, threads in (("default", "1"), ("avx2", "2")):
        environment = os.environ | {"ATEN_CPU_CAPABILITY": capability, "OMP_NUM_THREADS": threads}
        run = subprocess.run(
            [sys.executable, "-c", PACKING, path], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        digests.add(run.stdout)
    assert len(digests) == 1


def train_decoder(model: Autoencoder, images: torch.Tensor) -> None:
    """Trains until its pictures take as many bytes as a trained model's. An untrained model's take more."""
    adam = torch.optim.Adam(model.parameters(), lr=0.003)
    for _ in range(60):
        adam.zero_grad()
        logits = model.decode(model.encode(images))
        torch.nn.functional.binary_cross_entropy_with_logits(logits, images).backward()
        adam.step()


def runs(
    folder,
    *,
    n: int,
    epochs: int,
    seeds: int = 1,
    models: tuple[str, ...] = ("aae", "vae"),
    width: int = 8,
    pixels: int = 16,
    images: torch.Tensor | None = None,
    code_size: int = 2,
) -> list:
    """Runs with a snapshot every ten epochs, the same one for all runs of a model: trained on `images`, if given."""
    codes = np.random.default_rng(0).standard_normal((epochs + 1, n, code_size), dtype=np.float32)
    sizes = {"pixels": pixels, "code_size": code_size, "encoder_widths": [2], "decoder_widths": [width]}
    made = []
    for name in models:
        kind = name.partition("_")[0]
        recipe = Recipe(name, find_kind(kind), SETTINGS[kind])
        outputs = codes if kind == "aae" else np.concatenate([codes, np.zeros_like(codes)], axis=2)
        extra = {"discriminator_widths": [2]} if kind == "aae" else {}
        model = build_model(kind, 0, **sizes, **extra)
        if images is not None:
            train_decoder(model, images)
        snapshots = dict.fromkeys(
            range(0, epochs + 1, 10),
            save_snapshot(folder / name, 0, model, Metadata(NormalPrior(code_size), (1, pixels, 1), NAMES)),
        )
        for seed in range(seeds):
            made.append(
                SimpleNamespace(recipe=recipe, seed=seed, name=f"{name}-{seed}", codes=outputs, snapshots=snapshots)
            )
    return made


def data(made: list, n: int, shape: tuple[int, int]) -> tuple[dict, dict[str, str]]:
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (n, *shape, 1)).astype(np.uint8)
    return packed(made, images, manifold_size=4)


def packed(made: list, images: np.ndarray, manifold_size: int) -> tuple[dict, dict[str, str]]:
    priors = {run.recipe.name: NormalPrior(made[0].codes.shape[-1]) for run in made}  # the first is an AAE
    settings = {"class_names": tuple("0123456789"), "manifold_size": manifold_size, "manifold_range": "auto"}
    return page_data(made, images, np.zeros(len(images), dtype=np.uint8), priors=priors, **settings)


def test_what_the_page_gets(tmp_path):
    """It gets every image and epoch of a small experiment, and the decoders of the first seed."""
    index, base64 = data(runs(tmp_path, n=50, epochs=20, seeds=2), 50, (4, 4))
    assert index["images"] == index["pictured"] == 50
    assert index["lastEpoch"] == 20
    assert index["snapshots"] == [0, 10, 20]
    assert set(index["decoders"]) == {"aae-0", "vae-0"}
    names = [run["name"] for run in index["runs"]]
    assert names == ["aae-0", "aae-1", "vae-0", "vae-1"]
    assert set(base64) == {
        "labels",
        "pictures",
        *[f"codes-{name}" for name in names],
        *[f"manifold-{name}-{epoch}" for name in names for epoch in (0, 10, 20)],
        *[f"decoder-{name}" for name in index["decoders"]],
    }
    assert len(b64decode(base64["codes-vae-1"])) == 21 * 50 * 2
    assert Image.open(BytesIO(b64decode(base64["pictures"]))).size == (8 * 4, 7 * 4)
    assert Image.open(BytesIO(b64decode(base64["manifold-aae-0-0"]))).size == (16, 16)


@pytest.mark.parametrize(("models", "seeds", "epochs"), [(("aae", "vae", "aae_2"), 5, 100), (("aae", "vae"), 1, 500)])
def test_a_large_experiment_fits(tmp_path, models, seeds, epochs):
    """With many runs and epochs, it has fewer images, but every epoch and snapshot and the decoder of every model."""
    images = read_idx_folder(ROOT / "data/raw/mnist", classes=10).test_images
    inputs = torch.from_numpy(images[:500].reshape(500, -1) / np.float32(255))
    made = runs(tmp_path, n=10_000, epochs=epochs, seeds=seeds, models=models, width=512, pixels=784, images=inputs)
    index, base64 = packed(made, images, manifold_size=30)
    size = sum(map(len, base64.values()))
    assert size <= 9_000_000, "the page has at most 10 MB"
    assert size >= 8_800_000, "the available space is used"
    assert index["lastEpoch"] == epochs
    assert index["snapshots"] == list(range(0, epochs + 1, 10))
    assert list(index["decoders"]) == [f"{name}-0" for name in models]
    assert index["images"] >= 500
    assert index["decoded"]["manifold"] >= 10**2
    assert index["pictured"] <= index["images"], "pictures belong to images that have codes"


def test_decoders_that_do_not_fit_are_left_out(tmp_path):
    index, base64 = data(runs(tmp_path, n=50, epochs=10, width=1200, pixels=784), 50, (28, 28))
    assert 1200 * 784 * 2 < DECODER_BYTES < 2 * 1200 * 784 * 2
    assert list(index["decoders"]) == ["aae-0"], "the second decoder does not fit"
    assert "decoder-vae-0" not in base64


def test_one_image_at_least_is_shown(tmp_path, monkeypatch):
    made = runs(tmp_path, n=50, epochs=10)
    _, base64 = data(made, 50, (4, 4))
    others = sum(len(b64decode(text)) for name, text in base64.items() if not name.startswith(("codes", "labels")))
    for left, shown in (
        (0, 1),
        (45, 1),
        (3 * 45, 3),
        (PACKED_BYTES, 50),
    ):  # an image takes 2 x 11 x 2 bytes and a label
        monkeypatch.setattr("aae.page_data.PACKED_BYTES", others + left)
        index, _ = data(made, 50, (4, 4))
        assert index["images"] == index["pictured"] == shown


@pytest.mark.parametrize(
    ("size", "shape", "most", "images"),
    [(30, (28, 28), 1000, 900), (30, (28, 28), 200, 14**2), (10, (28, 28), 1000, 100), (30, (28, 28), 0, 4),
     (30, (12, 20), 1000, 30 * 18)],
)  # fmt: skip
def test_how_many_images_a_manifold_has(size, shape, most, images):
    """Fewer if there are many pictures, and fewer per row or column if images are not square."""
    codes, _ = picture_codes(NormalPrior(2), size, 3.0, shape, most)["manifold"]
    assert codes.shape == (images, 2)


def test_a_picture_has_no_more_pixels_on_a_side_than_webp_allows():
    assert decoded_size(30, (28, 28)) == 30
    assert decoded_size(100, (1, 1000)) == 16


def test_a_picture_of_every_place(tmp_path):
    model = build_model("vae", 0, pixels=40, code_size=2, encoder_widths=[2], decoder_widths=[8])
    path = save_snapshot(tmp_path, 0, model, Metadata(NormalPrior(2), (8, 5, 1), NAMES))
    codes = np.zeros((21, 2), np.float32)
    pictures = pack_decoded([(path, codes, 7)] * 3, (8, 5))
    assert [Image.open(BytesIO(picture)).size for picture in pictures] == [(35, 24)] * 3


# --- codes of other sizes ------------------------------------------------------------------------


def test_codes_of_one_dimension_are_decoded_in_steps():
    codes, columns = picture_codes(UniformPrior(1, 2.0), 30, 2.0, (28, 28), 10_000)["manifold"]
    assert (codes.shape, columns) == ((100, 1), 10)
    assert codes[:, 0] == pytest.approx(np.linspace(-2, 2, 100), abs=1e-6)


@pytest.mark.parametrize("dim", [3, 16, 40])
def test_long_codes_are_samples_and_traversals(dim):
    made = picture_codes(NormalPrior(dim), 30, 3.0, (28, 28), 10_000)
    samples, columns = made["samples"]
    assert (samples.shape, columns) == ((100, dim), 10)
    assert np.abs(samples.std() - 1) < 0.1
    assert (samples == picture_codes(NormalPrior(dim), 30, 2.0, (28, 28), 10_000)["samples"][0]).all()
    traversals, columns = made["traversals"]
    axes = min(dim, 16)
    assert (traversals.shape, columns) == ((11 * axes, dim), 11)
    for axis, row in enumerate(traversals.reshape(axes, 11, dim)):
        assert row[:, axis] == pytest.approx(np.linspace(-3, 3, 11), abs=1e-6)
        assert (np.delete(row, axis, axis=1) == 0).all()
    few = picture_codes(NormalPrior(dim), 30, 3.0, (28, 28), 2 * 36)
    assert len(few["samples"][0]) == 36
    assert len(few["traversals"][0]) == axes * max(2, min(11, 36 // axes))


@pytest.mark.parametrize(
    ("dim", "names"), [(1, ["z₀"]), (2, ["z₀ and z₁"]), (3, ["z₀ and z₁", "z₀ and z₂", "z₁ and z₂"])]
)
def test_the_planes_of_short_codes(dim, names):
    """From three dimensions on, the plane of the principal components comes first."""
    found = planes(dim)
    assert [plane["name"] for plane in found if "principal" not in plane["name"]] == names
    assert ("principal" in found[0]["name"]) == (dim > 2)


@pytest.mark.parametrize("dim", [3, 6, 7, 16, 40])
def test_every_axis_has_a_plane(dim):
    """A plane shows the coordinates that it names."""
    codes = np.random.default_rng(0).standard_normal((5, dim))
    basis = np.linalg.qr(np.random.default_rng(1).standard_normal((dim, 2)))[0]
    values = coordinates(codes, basis)
    first, *pairs = planes(dim)
    assert values[:, first["axes"]] == pytest.approx(codes @ basis)
    digits = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
    for plane in pairs:
        i, j = (int(name[1:].translate(digits)) for name in plane["name"].split(" and "))
        assert (values[:, plane["axes"]] == codes[:, [i, j]]).all()
    assert {axis for plane in pairs for axis in plane["axes"]} == set(range(min(dim, 16)))


def test_outlines_on_a_line():
    lines = [(line["label"], line["points"][0][0]) for line in outlined(NormalPrior(1, 0.002), 0.008)]
    expected = [(f"{k}\u03c3" if sign > 0 else "", sign * 0.002 * k) for k in (1, 2, 3) for sign in (-1, 1)]
    assert [label for label, _ in lines] == [label for label, _ in expected]
    assert [x for _, x in lines] == pytest.approx([x for _, x in expected])
    bound = [line["points"][0][0] for line in outlined(UniformPrior(1, 0.5), 1)]
    assert bound == [-0.5, 0.5]


@pytest.mark.parametrize("prior", [NormalPrior(2), MixturePrior(), SwissRollPrior()], ids=lambda prior: prior.kind)
def test_outlines_on_a_plane(prior):
    for line, (label, points) in zip(outlined(prior, 4), prior.outline(), strict=True):
        assert line["label"] == label
        assert np.abs(line["points"] - points).max() < 0.0006


@pytest.mark.parametrize("code_size", [1, 5])
def test_what_the_page_gets_of_other_codes(tmp_path, code_size):
    index, base64 = data(runs(tmp_path, n=50, epochs=20, code_size=code_size), 50, (4, 4))
    kinds = ["manifold"] if code_size == 1 else ["samples", "traversals"]
    assert list(index["decoded"]) == kinds
    names = [run["name"] for run in index["runs"]]
    assert {name for name in base64 if name.startswith(tuple(kinds))} == {
        f"{kind}-{name}-{epoch}" for kind in kinds for name in names for epoch in (0, 10, 20)
    }
    assert index["coordinates"] == (1 if code_size == 1 else 7)
    assert len(b64decode(base64["codes-vae-0"])) == 21 * 50 * index["coordinates"]
    if code_size > 2:
        samples = np.frombuffer(b64decode(base64["codes-of-samples-aae"]), np.float32)
        assert len(samples) == index["decoded"]["samples"] * code_size


def test_another_prior_of_long_codes_has_an_outline_in_the_principal_plane(tmp_path):
    """The outline is the hull of the samples. It encloses them and stays within the cube's projection."""
    made = runs(tmp_path, n=200, epochs=10, models=("aae",), code_size=4)
    settings = {"class_names": ["one"], "manifold_size": 4, "manifold_range": "auto"}
    images = np.zeros((200, 4, 4, 1), np.uint8)
    index, _ = page_data(made, images, np.zeros(200, np.uint8), priors={"aae": UniformPrior(4)}, **settings)
    ((line,),) = index["componentOutlines"].values()
    points = np.array(line["points"])
    assert (points[0] == points[-1]).all()
    radii = np.hypot(*points.T)
    assert radii.min() > 1
    assert radii.max() <= 2, "half the cube's diagonal"
    assert data(runs(tmp_path / "n", n=50, epochs=10, code_size=4), 50, (4, 4))[0]["componentOutlines"] == {}


def test_images_in_colour_and_without_labels(tmp_path):
    """Pictures have their colours; the page has one colour for all codes, and no names."""
    made = runs(tmp_path, n=50, epochs=10, pixels=4 * 3 * 3)
    images = np.random.default_rng(1).integers(0, 256, (50, 4, 3, 3)).astype(np.uint8)
    settings = {"class_names": (), "manifold_size": 4, "manifold_range": 3.0}
    index, base64 = page_data(made, images, None, priors={"aae": NormalPrior(2), "vae": NormalPrior(2)}, **settings)
    assert (index["colour"], index["pictureShape"], index["classNames"]) == (True, [4, 3], [])
    assert [len(colours) for colours in index["colours"].values()] == [1, 1]
    assert set(b64decode(base64["labels"])) == {0}
    pictures = np.asarray(Image.open(BytesIO(b64decode(base64["pictures"]))))
    order = np.random.default_rng(0).permutation(50)
    assert (pictures[:4, :3] == images[order[0]]).all()
    manifold = Image.open(BytesIO(b64decode(base64["manifold-aae-0-0"])))
    assert (manifold.mode, manifold.size) == ("RGB", (12, 12)), "as many as make it square"
