"""What the page computes and draws from: codes, decoders and pictures, packed small for a file of 10 MB.

All of it is for codes of two dimensions. `page/data.js` unpacks it.
"""

import io
import math
import os
from base64 import b64encode
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.colors import to_hex
from PIL import Image

from aae.backprop_cpu import cross_entropy, forward
from aae.figures import label_colours
from aae.models import Autoencoder
from aae.pass_checks import linears_of
from aae.priors import Prior
from aae.snapshots import load_snapshot

# The page has 10 MB. Base64 makes four thirds of what is packed; text and curves take the rest.
PACKED_BYTES = 6_700_000  # manifolds, decoders, pictures, and as many images' codes as then fit
DECODER_BYTES = 2_600_000  # three of the default size; decoders that do not fit are left out
MANIFOLD_PIXELS = 17_000_000  # of all snapshots; MNIST's take 0.12 bytes a pixel, and 0.27 before training
PICTURE_PIXELS = 600_000  # of the test images beside the live decoder
CODE_LEVELS = 254  # of 8 bits: 0 says that a code lies outside
WEBP_PIXELS = 16383  # the format's maximum for a side
QUALITY = 40  # of the manifolds' WebP, where the strokes' edges are still clean


def plot_limit(codes: Sequence[np.ndarray], outlines: Sequence[dict[str, Any]], reach: float) -> float:
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


def pack_decoder(model: Autoencoder) -> bytes:
    """Of each layer in turn the bias and a scale an output, float32, and the weights as int16 multiples of the scale.

    16 bits a weight, but evenly spaced: a float16 takes as many, and its error in a pixel is twice as large.
    """
    parts = []
    for weight, bias in decoder_layers(model):
        scale = np.abs(weight).max(axis=1, keepdims=True) / 32767
        scale[scale == 0] = 1
        parts += [bias.astype("<f4"), scale.astype("<f4"), np.rint(weight / scale).astype("<i2")]
    return b"".join(part.tobytes() for part in parts)


def decoder_shapes(model: Autoencoder) -> list[list[int]]:
    """[inputs, outputs] of each layer."""
    return [list(weight.shape[::-1]) for weight, _ in decoder_layers(model)]


def decoder_layers(model: Autoencoder) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights [outputs, inputs] and biases [outputs] of each layer, from the code on.

    What lies between code and decoder is affine, so it becomes part of the first layer.
    """
    layers = [(layer.weight.numpy(), layer.bias.numpy()) for layer in linears_of(model.decoder)]
    unit = torch.eye(model.code_size)
    origin, *ends = model.decoder_inputs(torch.cat([torch.zeros(1, model.code_size), unit])).double().numpy()
    directions = np.array(ends) - origin  # [code_size, inputs]: what a unit of each axis adds
    if origin.any() or not np.array_equal(directions, unit.numpy()):
        weight, bias = layers[0]
        layers[0] = (weight @ directions.T, bias + weight @ origin)
    return layers


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


def decode_grid(model: Autoencoder, side: int, reach: float, shape: tuple[int, int]) -> np.ndarray:
    """Images decoded from a grid of `side` x `side` codes over [-reach, reach]², on one sheet, uint8.

    They are the same bits on every processor, unlike PyTorch's ranges, products and sigmoids.
    """
    line = np.linspace(-reach, reach, side, dtype=np.float32)
    up, across = np.meshgrid(line[::-1], line, indexing="ij")
    codes = torch.from_numpy(np.stack([across.ravel(), up.ravel()], axis=1))
    logits = forward(model.decoder, model.decoder_inputs(codes))
    _, images = cross_entropy(logits, 0.0, 1)  # whose gradient against a target of 0 is the sigmoid
    return sheet(np.rint(255 * images.numpy()).astype(np.uint8).reshape(-1, *shape), side)


def manifold_side(manifolds: int, size: int, shape: tuple[int, int]) -> int:
    """How many images a side each of the `manifolds` pictures has: `size`, or fewer where there are many pictures."""
    affordable = math.isqrt(MANIFOLD_PIXELS // (manifolds * math.prod(shape)))
    return max(2, min(size, WEBP_PIXELS // max(shape), affordable))


def pack_manifolds(snapshots: Sequence[Path], side: int, reach: float, shape: tuple[int, int]) -> list[bytes]:
    """A picture of each snapshot's decoder, of `side` x `side` images."""

    def encode(path: Path) -> bytes:
        return picture(decode_grid(load_snapshot(path), side, reach, shape), "WEBP")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(encode, snapshots))


def outlined(prior: Prior) -> list[dict[str, Any]]:
    """Lines {label, points} that show where the prior is."""
    return [{"label": label, "points": np.round(points, 3).tolist()} for label, points in prior.outline()]


def pictured_codes(model: Autoencoder, outputs: np.ndarray) -> np.ndarray:
    """The codes [frames, n, 2] that pictures show, from the encoder's `outputs` [frames, n, outputs]."""
    rows = torch.from_numpy(outputs.reshape(-1, outputs.shape[-1]))
    return model.pictured_codes(rows).numpy().reshape(*outputs.shape[:-1], -1)


def page_data(
    runs: Sequence[Any],
    images: np.ndarray,
    labels: np.ndarray,
    *,
    priors: Mapping[str, Prior],
    classes: int,
    manifold_size: int,
    manifold_range: float,
) -> tuple[dict[str, Any], dict[str, str]]:
    """What the page's scripts read: a JSON object, and base64 by name.

    Args:
        runs: of `aae.results.Run`, all with codes of two dimensions.
        images, labels: the test images uint8 [n, height, width, 1] and their labels [n].
        priors: of each recipe, by name.
        classes: how many labels there are.
        manifold_size, manifold_range: the decoder's pictures have at most this many images a side, which span
            [-range, range] on both axes.
    """
    images = images[..., 0]
    shape, reach = images.shape[1:], manifold_range
    outlines = {name: outlined(prior) for name, prior in priors.items()}
    models = {run.name: load_snapshot(run.snapshots[max(run.snapshots)]) for run in runs}
    limit = plot_limit(
        [pictured_codes(models[run.name], np.array(run.codes[-1:]))[0] for run in runs],
        [line for lines in outlines.values() for line in lines],
        reach,
    )

    epochs = sorted(runs[0].snapshots)
    places = [(run, epoch) for run in runs for epoch in epochs]
    side = manifold_side(len(places), manifold_size, shape)
    manifolds = pack_manifolds([run.snapshots[epoch] for run, epoch in places], side, reach, shape)
    packed = {f"manifold-{run.name}-{epoch}": content for (run, epoch), content in zip(places, manifolds, strict=True)}

    firsts = {run.recipe.name: run.name for run in reversed(runs)}  # the run of each recipe's first seed
    decoders: dict[str, bytes] = {}
    for name in (run.name for run in runs if firsts[run.recipe.name] == run.name):
        content = pack_decoder(models[name])
        if len(content) + sum(map(len, decoders.values())) <= DECODER_BYTES:
            decoders[name] = content
    packed |= {f"decoder-{name}": content for name, content in decoders.items()}

    # In a random order no label is drawn above another, and the first images are a sample, too.
    order = np.random.default_rng(0).permutation(len(images))
    pictured = order[: max(1, PICTURE_PIXELS // math.prod(shape))]
    columns = math.ceil(math.sqrt(len(pictured)))
    packed["pictures"] = picture(sheet(images[pictured], columns), "PNG")

    epoch_count = len(runs[0].codes)
    left = PACKED_BYTES - sum(map(len, packed.values()))
    shown = order[: max(1, left // (2 * epoch_count * len(runs) + 1))]  # two bytes a code, one a label
    packed["labels"] = labels[shown].astype(np.uint8).tobytes()
    for run in runs:
        packed[f"codes-{run.name}"] = pack_codes(pictured_codes(models[run.name], run.codes[:, shown]), limit).tobytes()
    return {
        "limit": limit,
        "reach": reach,
        "manifoldSide": side,
        "classes": classes,
        "lastEpoch": epoch_count - 1,
        "snapshots": epochs,
        "images": len(shown),
        "pictured": min(len(pictured), len(shown)),
        "pictureColumns": columns,
        "pictureShape": list(shape),
        "colours": {
            theme: [to_hex(colour) for colour in label_colours(classes, dark=theme == "dark")]
            for theme in ("light", "dark")
        },
        "priors": outlines,
        "runs": [{"name": run.name, "model": run.recipe.name, "seed": run.seed} for run in runs],
        "decoders": {name: decoder_shapes(models[name]) for name in decoders},
    }, {name: b64encode(content).decode() for name, content in packed.items()}
