"""What the page computes from: packed small, and as near to what it was as is said."""

import math
from base64 import b64decode
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from aae.models import build_model
from aae.page_data import (
    CODES_BYTES,
    DECODER_BYTES,
    MOST_FRAMES,
    decode_grid,
    decoder_shapes,
    dither,
    evenly,
    pack_codes,
    pack_decoder,
    pack_manifolds,
    page_data,
    plot_limit,
    prior_outline,
    sheet,
)
from aae.snapshots import save_snapshot

PRIORS = {
    "normal": {"std": 1.5},
    "uniform": {"bound": 2.0},
    "mixture": {"radius": 1.4, "radial_std": 0.5, "tangential_std": 0.1},
    "swiss_roll": {"radius": 3.0, "turns": 2.0},
}


def parameters(prior: str = "normal") -> dict:
    return {
        "data": {"classes": 10},
        "prior": {"name": prior} | PRIORS,
        "render": {"manifold_size": 4, "manifold_range": 3.0},
    }


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


@given(n=st.integers(1, 500), most=st.integers(2, 300))
def test_evenly(n, most):
    chosen = evenly(n, most)
    assert len(chosen) == min(n, most)
    assert chosen[0] == 0
    assert chosen[-1] == n - 1
    steps = np.diff(chosen)
    assert n == 1 or steps.max() - steps.min() <= 1


def test_the_limit_holds_prior_manifold_and_last_codes():
    outline = prior_outline("aae", parameters())  # 3 standard deviations of 1.5
    codes = np.random.default_rng(0).standard_normal((1000, 2))
    assert plot_limit([0.01 * codes], outline, 3.0) == 6
    assert plot_limit([0.01 * codes], outline, 7.2) == 7.5
    wide = plot_limit([codes, 5 * codes], outline, 3.0)
    assert 0.995 <= (np.abs(5 * codes) <= wide).all(axis=1).mean() < 1
    codes[:4] = 1e6
    assert plot_limit([0.01 * codes], outline, 3.0) == 6, "a few far away do not matter"


def points(model: str, prior: str) -> list[np.ndarray]:
    return [np.array(line["points"]) for line in prior_outline(model, parameters(prior))]


def test_outlines_of_the_priors():
    for line, radius in zip(points("aae", "normal"), (1.5, 3.0, 4.5), strict=True):
        assert np.hypot(*line.T) == pytest.approx(radius, abs=0.001)
    (square,) = points("aae", "uniform")
    assert np.abs(square).max(axis=1).tolist() == [2.0] * 5
    ellipses = points("aae", "mixture")
    assert len(ellipses) == 10
    for k, line in enumerate(ellipses):
        angle = 2 * math.pi * k / 10
        assert line[:-1].mean(axis=0) == pytest.approx([1.4 * math.cos(angle), 1.4 * math.sin(angle)], abs=0.001)
        along = line @ [math.cos(angle), math.sin(angle)]
        assert [along.min(), along.max()] == pytest.approx([0.4, 2.4], abs=0.002), "2 standard deviations"
    (roll,) = points("aae", "swiss_roll")
    assert roll[-1] == pytest.approx([3, 0], abs=0.001)
    assert np.hypot(*roll.T) == pytest.approx(np.linspace(0, 3, len(roll)), abs=0.001)
    assert len(points("vae", "swiss_roll")) == 3, "the VAE's prior is always the normal one"


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


def runs(folder, *, n: int, epochs: int, seeds: int = 1, width: int = 8, pixels: int = 16) -> list:
    codes = np.random.default_rng(0).standard_normal((epochs + 1, n, 2), dtype=np.float32)
    sizes = {"pixels": pixels, "code_size": 2, "encoder_widths": [2], "decoder_widths": [width]}
    made = []
    for model in ("aae", "vae"):
        for seed in range(seeds):
            extra = {"discriminator_widths": [2]} if model == "aae" else {}
            path = save_snapshot(folder, seed, build_model(model, seed, **sizes, **extra))
            snapshots = dict.fromkeys(range(0, epochs + 1, 10), path)
            made.append(
                SimpleNamespace(model=model, seed=seed, name=f"{model}-{seed}", codes=codes, snapshots=snapshots)
            )
    return made


def data(made: list, n: int, shape: tuple[int, int]) -> tuple[dict, dict[str, str]]:
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (n, *shape)).astype(np.uint8)
    return page_data(made, parameters(), images, np.zeros(n, dtype=np.uint8))


def test_what_the_page_gets(tmp_path):
    """Every image and epoch of a small experiment, the decoders of the first seed."""
    index, base64 = data(runs(tmp_path, n=50, epochs=20, seeds=2), 50, (4, 4))
    assert index["images"] == index["pictured"] == 50
    assert index["frames"] == list(range(21))
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


def test_a_large_experiment_is_thinned_to_fit(tmp_path):
    """Of many runs and epochs fewer images, of very many epochs some, and no decoder that is too large."""
    n, epochs = 10_000, 250
    made = runs(tmp_path, n=n, epochs=epochs, seeds=2, width=1200, pixels=784)
    index, base64 = data(made, n, (28, 28))
    assert sum(map(len, base64.values())) < 9_500_000, "of the page's 10 MB"
    assert len(index["frames"]) == MOST_FRAMES
    codes = [text for name, text in base64.items() if name.startswith("codes-")]
    assert 0.99 * CODES_BYTES < 3 / 4 * sum(map(len, codes)) <= CODES_BYTES + 3 * len(codes)
    assert DECODER_BYTES < 2 * 1200 * 784 * 2
    assert index["decoders"] == {}


def test_manifolds_have_fewer_images_where_bytes_would_not_do(tmp_path, monkeypatch):
    path = save_snapshot(
        tmp_path, 0, build_model("vae", 0, pixels=64, code_size=2, encoder_widths=[2], decoder_widths=[8])
    )
    monkeypatch.setattr("aae.page_data.WEBP_PIXELS", 8 * 7 + 1)
    assert pack_manifolds([path], 20, 3.0, (8, 8))[1] == 7, "a picture has no more pixels a side than WebP allows"
    monkeypatch.undo()
    whole, side = pack_manifolds([path] * 3, 20, 3.0, (8, 8))
    assert side == 20
    assert [Image.open(BytesIO(picture)).size for picture in whole] == [(160, 160)] * 3
    budget = sum(map(len, whole)) // 2
    monkeypatch.setattr("aae.page_data.MANIFOLD_BYTES", budget)
    fewer, side = pack_manifolds([path] * 3, 20, 3.0, (8, 8))
    assert sum(map(len, fewer)) <= budget
    assert 8 <= side < 20
    assert Image.open(BytesIO(fewer[0])).size == (8 * side, 8 * side)
