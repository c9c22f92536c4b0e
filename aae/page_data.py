"""What the page computes and draws from: codes, decoders and pictures, packed small for a file of 10 MB.

All of it is for codes of two dimensions. `page/data.js` unpacks it.
"""

import io
import math
import os
from base64 import b64encode
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np
import torch
from matplotlib.colors import to_hex
from PIL import Image

from aae.figures import label_colours
from aae.models import AAE, VAE
from aae.snapshots import load_snapshot

# Bytes before base64 makes four thirds of them. What is over is thinned: images, epochs, decoded images.
CODES_BYTES, MANIFOLD_BYTES, DECODER_BYTES, PICTURES_BYTES = 2_400_000, 2_300_000, 1_800_000, 600_000
MOST_FRAMES = 201  # epochs of codes a run
MOST_MANIFOLDS = 220  # of all runs
CODE_LEVELS = 254  # of 8 bits: 0 says that a code lies outside
WEBP_PIXELS = 16383  # the most that a side may have
QUALITY = 40  # of the manifolds' WebP, where the strokes' edges are still clean


def pack(array: np.ndarray | bytes) -> str:
    """The bytes, little endian and row by row, in base64."""
    return b64encode(array if isinstance(array, bytes) else np.ascontiguousarray(array).tobytes()).decode()


def evenly(n: int, most: int) -> list[int]:
    """At most `most` of the numbers below `n`, evenly spaced, the first and the last among them."""
    return sorted({round(i) for i in np.linspace(0, n - 1, max(2, min(n, most)))})


def shown_images(n: int, bytes_an_image: int) -> np.ndarray:
    """The test images whose codes the page has, in the order in which it draws them.

    The order is random, so that no label is drawn above another and the first of them are a sample, too.
    """
    return np.random.default_rng(0).permutation(n)[: max(1, CODES_BYTES // bytes_an_image)]


def plot_limit(codes: Sequence[np.ndarray], outlines: Sequence[dict], reach: float) -> float:
    """The scatters span [-limit, limit]: the priors, the manifold, and 99.5 % of the last epoch's codes [n, 2]."""
    outline = max(abs(x) for line in outlines for point in line["points"] for x in point)
    extents = [np.quantile(np.abs(z).max(axis=1), 0.995) for z in codes]
    return math.ceil(2 * max(outline * 4 / 3, reach, *extents)) / 2


def pack_codes(codes: np.ndarray, limit: float) -> np.ndarray:
    """Codes [frames, n, 2] to uint8: their cell of width 2 `limit` / 254, or 0 for both where one lies outside.

    Each image has a constant of its own added before it is rounded off, which the page subtracts again: the points
    show no lattice (Roberts, Picture coding using pseudo-random noise, 1962).
    """
    inside = (np.abs(codes) <= limit).all(axis=-1, keepdims=True)
    cells = np.where(inside, (codes / limit + 1) / 2 * CODE_LEVELS, 0)
    return np.where(inside, 1 + np.floor(cells + dither(codes.shape[1])), 0).clip(0, 255).astype(np.uint8)


def dither(n: int) -> np.ndarray:
    """[n, 2] in [0, 1): multiples of the powers of the plastic number, which fill the square evenly."""
    return np.arange(1, n + 1)[:, None] * np.array([0.7548776662466927, 0.5698402909980532]) % 1


def pack_decoder(model: AAE | VAE) -> bytes:
    """Of each layer in turn the bias and a scale an output, float32, and the weights as int16 multiples of the scale.

    16 bits a weight, but evenly spaced: a float16 takes as many, and its error in a pixel is twice as large.
    """
    parts = []
    for layer in model.decoder[::2]:
        weight = layer.weight.numpy()
        scale = np.abs(weight).max(axis=1, keepdims=True) / 32767
        scale[scale == 0] = 1
        parts += [layer.bias.numpy().astype("<f4"), scale.astype("<f4"), np.rint(weight / scale).astype("<i2")]
    return b"".join(part.tobytes() for part in parts)


def decoder_shapes(model: AAE | VAE) -> list[list[int]]:
    """[inputs, outputs] of each layer."""
    return [[layer.in_features, layer.out_features] for layer in model.decoder[::2]]


def picture(pixels: np.ndarray, kind: str) -> bytes:
    """Pixels uint8 [height, width] as a PNG or WebP."""
    buffer = io.BytesIO()
    settings = {"optimize": True} if kind == "PNG" else {"quality": QUALITY, "method": 4}
    Image.fromarray(pixels).save(buffer, kind, **settings)
    return buffer.getvalue()


def sheet(images: np.ndarray, columns: int) -> np.ndarray:
    """Images [n, height, width], row by row, on one sheet of `columns` a row, the last row filled up with 0."""
    n, height, width = images.shape
    rows = -(-n // columns)
    full = np.zeros((rows * columns, height, width), images.dtype)
    full[:n] = images
    return full.reshape(rows, columns, height, width).swapaxes(1, 2).reshape(rows * height, columns * width)


def decode_grid(model: AAE | VAE, side: int, reach: float, shape: tuple[int, int]) -> np.ndarray:
    """Images decoded from a grid of `side` x `side` codes over [-reach, reach]², on one sheet, uint8."""
    line = torch.linspace(-reach, reach, side)
    up, across = torch.meshgrid(line.flip(0), line, indexing="ij")
    images = model.decode(torch.stack([across.ravel(), up.ravel()], dim=1)).sigmoid().numpy()
    return sheet(np.rint(255 * images).astype(np.uint8).reshape(-1, *shape), side)


def pack_manifolds(snapshots: Sequence[Path], side: int, reach: float, shape: tuple[int, int]) -> tuple[list, int]:
    """A picture of each snapshot's decoder, and how many images a side has: fewer where bytes would not do."""

    def encode(path: Path, side: int) -> bytes:
        return picture(decode_grid(load_snapshot(path), side, reach, shape), "WEBP")

    side = max(2, min(side, WEBP_PIXELS // max(shape)))
    while True:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            pictures = list(pool.map(encode, snapshots, repeat(side)))
        size = sum(map(len, pictures))
        if size <= MANIFOLD_BYTES or side <= 2:
            return pictures, side
        side = max(2, min(side - 1, int(0.97 * side * math.sqrt(MANIFOLD_BYTES / size))))


def prior_name(model: str, parameters: dict) -> str:
    """The name of a model's prior: the VAE's is always the normal one."""
    return "normal" if model == "vae" else parameters["prior"]["name"]


def prior_outline(model: str, parameters: dict) -> list[dict]:
    """Lines {label, points} that show where the model's prior is."""
    name, classes = prior_name(model, parameters), parameters["data"]["classes"]
    turn = np.linspace(0, 2 * math.pi, 121)
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    shape = parameters["prior"][name]
    if name == "normal":
        lines = [(f"{k}\u03c3", k * shape["std"] * circle) for k in (1, 2, 3)]
    elif name == "uniform":
        corners = np.array([[-1, 1], [1, 1], [1, -1], [-1, -1], [-1, 1]])
        lines = [("", shape["bound"] * corners)]
    elif name == "mixture":
        angles = 2 * math.pi * np.arange(classes) / classes
        out = np.stack([np.cos(angles), np.sin(angles)], axis=1)  # of each class, from the origin
        along = shape["radius"] + 2 * shape["radial_std"] * circle[:, 0]
        aside = 2 * shape["tangential_std"] * circle[:, 1]
        lines = [("", along[:, None] * [x, y] + aside[:, None] * [-y, x]) for x, y in out]
    else:
        way = np.linspace(0, 1, 361)
        angle = 2 * math.pi * shape["turns"] * way
        lines = [("", shape["radius"] * way[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1))]
    return [{"label": label, "points": np.round(points, 3).tolist()} for label, points in lines]


def page_data(runs: Sequence, parameters: dict, images: np.ndarray, labels: np.ndarray) -> tuple[dict, dict[str, str]]:
    """What the page's scripts read: a JSON object, and base64 by name.

    Args:
        runs: of `aae.report.Run`, all with codes of two dimensions.
        parameters: as in `params.yaml`.
        images, labels: the test images uint8 [n, height, width] and their labels [n].
    """
    shape, classes = images.shape[1:], parameters["data"]["classes"]
    reach = parameters["render"]["manifold_range"]
    priors = {model: prior_outline(model, parameters) for model in dict.fromkeys(run.model for run in runs)}
    limit = plot_limit(
        [run.codes[-1, :, :2] for run in runs], [line for prior in priors.values() for line in prior], reach
    )

    frames = evenly(len(runs[0].codes), MOST_FRAMES)
    shown = shown_images(len(images), 2 * len(frames) * len(runs))
    pictured = shown[: max(1, PICTURES_BYTES // math.prod(shape))]
    columns = math.ceil(math.sqrt(len(pictured)))
    base64 = {
        "labels": pack(labels[shown].astype(np.uint8)),
        "pictures": pack(picture(sheet(images[pictured], columns), "PNG")),
    }
    for run in runs:
        base64[f"codes-{run.name}"] = pack(pack_codes(run.codes[frames][:, shown, :2], limit))

    epochs = sorted(runs[0].snapshots)
    epochs = [epochs[i] for i in evenly(len(epochs), MOST_MANIFOLDS // len(runs))]
    places = [(run, epoch) for run in runs for epoch in epochs]
    manifolds, side = pack_manifolds(
        [run.snapshots[epoch] for run, epoch in places], parameters["render"]["manifold_size"], reach, shape
    )
    for (run, epoch), content in zip(places, manifolds, strict=True):
        base64[f"manifold-{run.name}-{epoch}"] = pack(content)

    firsts = {run.model: run for run in reversed(runs)}
    models = {run.name: load_snapshot(run.snapshots[epochs[-1]]) for run in runs if firsts[run.model] is run}
    decoders = {name: pack_decoder(model) for name, model in models.items()}
    if sum(map(len, decoders.values())) > DECODER_BYTES:
        decoders = {}
    base64 |= {f"decoder-{name}": pack(content) for name, content in decoders.items()}
    return {
        "limit": limit,
        "reach": reach,
        "manifoldSide": side,
        "classes": classes,
        "frames": frames,
        "snapshots": epochs,
        "images": len(shown),
        "pictured": len(pictured),
        "pictureColumns": columns,
        "pictureShape": list(shape),
        "colours": {
            theme: [to_hex(colour) for colour in label_colours(classes, dark=theme == "dark")]
            for theme in ("light", "dark")
        },
        "priors": priors,
        "runs": [{"name": run.name, "model": run.model, "seed": run.seed} for run in runs],
        "decoders": {name: decoder_shapes(models[name]) for name in decoders},
    }, base64
