"""What the page computes from: packed small, and as near to what it was as is said."""

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
    decode_grid,
    decoder_layers,
    decoder_shapes,
    dither,
    manifold_side,
    outlined,
    pack_codes,
    pack_decoder,
    pack_manifolds,
    page_data,
    pictured_codes,
    plot_limit,
    sheet,
)
from aae.priors import NormalPrior
from aae.readers.idx import read_idx_folder
from aae.snapshots import save_snapshot

ROOT = Path(__file__).parents[2]


@given(
    codes=arrays.arrays(np.float32, (2, 5, 2), elements=st.floats(-50, 50, width=32)),
    limit=st.sampled_from([0.5, 4, 30]),
)
def test_packed_codes(codes, limit):
    """As the page unpacks them: to half a cell of 2 limit / 254, and nothing of those outside."""
    packed = pack_codes(codes, limit)
    assert packed.dtype == np.uint8
    inside = (np.abs(codes) <= limit).all(axis=-1)
    assert ((packed > 0).all(axis=-1) == inside).all()
    assert ((packed == 0).all(axis=-1) == ~inside).all()
    shown = ((packed - 0.5 - dither(5)) / 127 - 1) * limit
    assert np.abs(shown - codes)[inside].max(initial=0) <= limit / 254 * (1 + 1e-5)


def test_codes_that_are_not_finite_are_not_shown():
    codes = np.array([[[np.nan, 0], [np.inf, 0], [0, 0]]], dtype=np.float32)
    assert (pack_codes(codes, 4) > 0).all(axis=-1).tolist() == [[False, False, True]]


def test_packed_decoders():
    """Weights to half of a 32767th of their row's largest; biases as they are."""
    model = build_model("vae", 3, pixels=12, code_size=2, encoder_widths=[5], decoder_widths=[7, 6]).requires_grad_(
        False
    )
    model.decoder[0].weight[2] = 0  # a row without a scale
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
    """Its encoder gives two numbers and then the code; its decoder takes an affine function of the code."""

    def __init__(self):
        super().__init__({"pixels": 4, "code_size": 2, "encoder_widths": [3], "decoder_widths": [5]}, 4, 3)

    def codes(self, outputs, noise):
        return {"": outputs[:, 2:]}

    def decoder_inputs(self, codes, outputs=None):
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
    outline = outlined(NormalPrior(2, 1.5))  # 3 standard deviations of 1.5
    codes = np.random.default_rng(0).standard_normal((1000, 2))
    assert plot_limit([0.01 * codes], outline, 3.0) == 6
    assert plot_limit([0.01 * codes], outline, 7.2) == 7.5
    wide = plot_limit([codes, 5 * codes], outline, 3.0)
    assert 0.995 <= (np.abs(5 * codes) <= wide).all(axis=1).mean() < 1
    codes[:4] = 1e6
    assert plot_limit([0.01 * codes], outline, 3.0) == 6, "a few far away do not matter"


def test_a_sheet_has_its_images_row_by_row():
    images = np.arange(5 * 2 * 3, dtype=np.uint8).reshape(5, 2, 3)
    whole = sheet(images, 3)
    assert whole.shape == (4, 9)
    assert (whole[:2, 3:6] == images[1]).all()
    assert (whole[2:, :3] == images[3]).all()
    assert (whole[2:, 6:] == 0).all()


def test_the_manifold_is_upright():
    """Its upper left image is that of the code (-reach, reach)."""
    model = build_model(
        "aae", 0, pixels=6, code_size=2, encoder_widths=[4], decoder_widths=[8], discriminator_widths=[4]
    )
    model = model.requires_grad_(False)
    whole = decode_grid(model, 3, 2.0, (2, 3))
    for code, corner in (((-2, 2), whole[:2, :3]), ((2, 2), whole[:2, 6:]), ((0, -2), whole[4:, 3:6])):
        image = model.decode(torch.tensor([code], dtype=torch.float32)).sigmoid().numpy().reshape(2, 3)
        assert np.abs(corner / 255 - image).max() <= 0.51 / 255


PACKING = """
import hashlib, sys
from pathlib import Path
from aae.page_data import pack_manifolds
print([hashlib.sha256(picture).hexdigest() for picture in pack_manifolds([Path(sys.argv[1])], 30, 3.0, (28, 28))])
"""


def test_manifolds_are_the_same_with_any_instruction_set_and_threads_of_pytorch(tmp_path):
    """Its ranges, products and sigmoids differ between these two."""
    model = build_model("vae", 0, pixels=784, code_size=2, encoder_widths=[8], decoder_widths=[512])
    model.requires_grad_(False).decoder[2].weight.mul_(30)  # strokes and background, as of a trained model
    path = save_snapshot(tmp_path, 0, model)
    digests = set()
    for capability, threads in (("default", "1"), ("avx2", "2")):
        environment = os.environ | {"ATEN_CPU_CAPABILITY": capability, "OMP_NUM_THREADS": threads}
        run = subprocess.run(
            [sys.executable, "-c", PACKING, path], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        digests.add(run.stdout)
    assert len(digests) == 1


def train_decoder(model: Autoencoder, images: torch.Tensor) -> None:
    """So far that its pictures take as many bytes as a trained model's, which are fewer than an untrained one's."""
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
) -> list:
    """Runs with a snapshot every ten epochs, the same one of each model: trained on `images`, or untrained without."""
    codes = np.random.default_rng(0).standard_normal((epochs + 1, n, 2), dtype=np.float32)
    sizes = {"pixels": pixels, "code_size": 2, "encoder_widths": [2], "decoder_widths": [width]}
    made = []
    for name in models:
        kind = name.partition("_")[0]
        recipe = Recipe(name, find_kind(kind), None)
        outputs = codes if kind == "aae" else np.concatenate([codes, np.zeros_like(codes)], axis=2)
        extra = {"discriminator_widths": [2]} if kind == "aae" else {}
        model = build_model(kind, 0, **sizes, **extra)
        if images is not None:
            train_decoder(model, images)
        snapshots = dict.fromkeys(range(0, epochs + 1, 10), save_snapshot(folder / name, 0, model))
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
    priors = {run.recipe.name: NormalPrior(2) for run in made}
    settings = {"class_names": "0123456789", "manifold_size": manifold_size, "manifold_range": 3.0}
    return page_data(made, images, np.zeros(len(images), dtype=np.uint8), priors=priors, **settings)


def test_what_the_page_gets(tmp_path):
    """Every image and epoch of a small experiment, the decoders of the first seed."""
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
    """Of many runs and epochs fewer images, every epoch and snapshot, and the decoder of every model."""
    images = read_idx_folder(ROOT / "data/raw/mnist", classes=10).test_images
    inputs = torch.from_numpy(images[:500].reshape(500, -1) / np.float32(255))
    made = runs(tmp_path, n=10_000, epochs=epochs, seeds=seeds, models=models, width=512, pixels=784, images=inputs)
    index, base64 = packed(made, images, manifold_size=30)
    size = sum(map(len, base64.values()))
    assert size <= 9_000_000, "of the page's 10 MB"
    assert size >= 8_800_000, "no less than there is space for"
    assert index["lastEpoch"] == epochs
    assert index["snapshots"] == list(range(0, epochs + 1, 10))
    assert list(index["decoders"]) == [f"{name}-0" for name in models]
    assert index["images"] >= 500
    assert index["manifoldSide"] >= 10
    assert index["pictured"] <= index["images"], "pictures of images that have codes"


def test_decoders_that_do_not_fit_are_left_out(tmp_path):
    index, base64 = data(runs(tmp_path, n=50, epochs=10, width=1200, pixels=784), 50, (28, 28))
    assert 1200 * 784 * 2 < DECODER_BYTES < 2 * 1200 * 784 * 2
    assert list(index["decoders"]) == ["aae-0"], "the second one would not fit"
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
    ("manifolds", "size", "shape", "side"),
    [(22, 30, (28, 28), 30), (110, 30, (28, 28), 14), (22, 10, (28, 28), 10), (10**6, 30, (28, 28), 2),
     (1, 100, (1, 1000), 16)],
)  # fmt: skip
def test_how_many_images_a_manifold_has(manifolds, size, shape, side):
    """Fewer where there are many pictures, and no more pixels on a side than WebP allows."""
    assert manifold_side(manifolds, size, shape) == side


def test_a_picture_of_every_manifold(tmp_path):
    path = save_snapshot(
        tmp_path, 0, build_model("vae", 0, pixels=40, code_size=2, encoder_widths=[2], decoder_widths=[8])
    )
    pictures = pack_manifolds([path] * 3, 7, 3.0, (8, 5))
    assert [Image.open(BytesIO(picture)).size for picture in pictures] == [(35, 56)] * 3


def test_images_in_colour_and_without_labels(tmp_path):
    """Pictures have their colours; the page has one colour for all codes, and no names."""
    made = runs(tmp_path, n=50, epochs=10, pixels=4 * 3 * 3)
    images = np.random.default_rng(1).integers(0, 256, (50, 4, 3, 3)).astype(np.uint8)
    settings = {"class_names": (), "manifold_size": 4, "manifold_range": 3.0}
    index, base64 = page_data(made, images, None, priors={"aae": NormalPrior(2), "vae": NormalPrior(2)}, **settings)
    assert (index["colour"], index["pictureShape"], index["classes"], index["classNames"]) == (True, [4, 3], 0, [])
    assert [len(colours) for colours in index["colours"].values()] == [1, 1]
    assert set(b64decode(base64["labels"])) == {0}
    pictures = np.asarray(Image.open(BytesIO(b64decode(base64["pictures"]))))
    order = np.random.default_rng(0).permutation(50)
    assert (pictures[:4, :3] == images[order[0]]).all()
    manifold = Image.open(BytesIO(b64decode(base64["manifold-aae-0-0"])))
    assert (manifold.mode, manifold.size) == ("RGB", (4 * 3, 4 * 4))
