"""The data that the page's scripts use: codes, decoders and pictures, packed for a file of 10 MB.

`page_views.py` decides what the page shows of codes of each size, and `page/data.js` unpacks the data.
"""

import io
import math
import os
from base64 import b64encode
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from matplotlib.colors import to_hex
from PIL import Image

from aae.backprop_cpu import cross_entropy, forward
from aae.charts import evenly
from aae.figures import label_colours, manifold_reach, principal_axes
from aae.models import Autoencoder
from aae.page_views import component_outline, coordinates, outlined, picture_codes, planes
from aae.pass_checks import linears_of
from aae.priors import Prior
from aae.snapshots import load_snapshot
from aae.tiling import tiled

# The page may have 10 MB. Base64 makes packed data a third larger; text and curves take the rest.
PACKED_BYTES = 6_700_000  # decoders, their pictures and test images; codes of as many images as fit then
DECODER_BYTES = 2_600_000  # three decoders of the default size; those that do not fit are left out
FRAMES = 501  # epochs of which the page has codes; of more, it has every second, third and so on
SNAPSHOTS = 101  # the same for the decoders' pictures
DECODED_PIXELS = 17_000_000  # of all snapshots; MNIST's take 0.12 bytes per pixel, and 0.27 before training
PICTURE_PIXELS = 600_000  # of the test images beside the live decoder
CODE_LEVELS = 254  # of 8 bits; the remaining value, 0, marks a code outside the plot
WEBP_PIXELS = 16383  # the format's maximum per side
QUALITY = 40  # of the decoders' WebP; the strokes' edges are still clean
# Multiples of these are added to the coordinates before they are rounded off. The first two are powers of the plastic
# number. The others are square roots of primes, chosen so that any two of all fill a square evenly.
PRIMES = [2, 3, 5, 7, 11, 17, 19, 23, 29, 37, 47, 59, 61, 67, 73, 79]
DITHER = np.array([0.7548776662466927, 0.5698402909980532, *(np.sqrt(PRIMES) % 1)])


def plot_limit(codes: Sequence[np.ndarray], bulks: Sequence[float], reaches: Sequence[float]) -> float:
    """Half the width of the scatters: they show priors, manifolds and 99.5 % of the last epoch's `codes` [n, k].

    `bulks` holds the distance that each prior's outline reaches from the origin, `reaches` that of each manifold.
    """
    extents = [np.quantile(np.abs(z).max(axis=1), 0.995) for z in codes]
    unit = max(bulks) / 6  # half a standard deviation of the widest normal prior
    return unit * math.ceil(max(8 * unit, *reaches, *extents) / unit - 1e-9)


def pack_codes(codes: np.ndarray, limit: float) -> np.ndarray:
    """Packs coordinates [frames, n, k] into uint8: cells of width 2 `limit` / 254, or 0 for one outside the plot.

    Each image has a different constant, which is added before rounding. The page subtracts it again, so the points show
    no lattice (Roberts, Picture coding using pseudo-random noise, 1962).
    """
    inside = np.abs(codes) <= limit
    cells = np.where(inside, (codes / limit + 1) / 2 * CODE_LEVELS, 0)
    return np.where(inside, 1 + np.floor(cells + dither(*codes.shape[1:])), 0).clip(0, 255).astype(np.uint8)


def dither(n: int, k: int = 2) -> np.ndarray:
    """[n, k] in [0, 1): the constants of `n` images."""
    return np.arange(1, n + 1)[:, None] * DITHER[:k] % 1


def pack_decoder(model: Autoencoder) -> bytes:
    """Packs each layer: its biases and one scale per output, float32, then its weights as int16 multiples of the scale.

    The 16-bit values are evenly spaced. With float16, which takes equally many bits, the error in a pixel is twice as
    large.
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
    """Weights [outputs, inputs] and biases [outputs] of each layer, starting at the code.

    `Autoencoder.decoder_inputs` is affine in the code, so it becomes part of the first layer.
    """
    layers = [(layer.weight.numpy(), layer.bias.numpy()) for layer in linears_of(model.decoder)]
    unit = torch.eye(model.code_size)
    origin, *ends = model.decoder_inputs(torch.cat([torch.zeros(1, model.code_size), unit])).double().numpy()
    directions = np.array(ends) - origin  # [code_size, inputs]: the effect of one unit on each axis
    if origin.any() or not np.array_equal(directions, unit.numpy()):
        weight, bias = layers[0]
        layers[0] = (weight @ directions.T, bias + weight @ origin)
    return layers


def picture(pixels: np.ndarray, kind: str) -> bytes:
    """Encodes pixels uint8 [height, width], or in colour [height, width, 3], as a PNG or WebP."""
    buffer = io.BytesIO()
    settings = {"optimize": True} if kind == "PNG" else {"quality": QUALITY, "method": 4}
    Image.fromarray(pixels).save(buffer, kind, **settings)
    return buffer.getvalue()


def decode_sheet(model: Autoencoder, codes: np.ndarray, columns: int, shape: tuple[int, ...]) -> np.ndarray:
    """Images of `shape` decoded from `codes` float32 [n, code_size], on one sheet, uint8.

    The bits are the same on every processor; those of PyTorch's ranges, products and sigmoids are not.
    """
    logits = forward(model.decoder, model.decoder_inputs(torch.from_numpy(codes)))
    _, images = cross_entropy(logits, 0.0, 1)  # the gradient for target 0 is the sigmoid
    return tiled(np.rint(255 * images.numpy()).astype(np.uint8).reshape(-1, *shape), columns)


def decoded_size(size: int, shape: tuple[int, ...]) -> int:
    """The number of images of `shape` per side: `size`, or fewer if a WebP has no space for them."""
    return max(2, min(size, WEBP_PIXELS // max(shape[:2])))


def pack_decoded(places: Sequence[tuple[Path, np.ndarray, int]], shape: tuple[int, ...]) -> list[bytes]:
    """One picture for each of the `places`: a snapshot, the codes that it decodes, and the number of columns."""

    def encode(place: tuple[Path, np.ndarray, int]) -> bytes:
        snapshot, codes, columns = place
        return picture(decode_sheet(load_snapshot(snapshot), codes, columns, shape), "WEBP")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(encode, places))


def pictured_codes(model: Autoencoder, outputs: np.ndarray) -> np.ndarray:
    """The codes [frames, n, code_size] that pictures show, from the encoder's `outputs` [frames, n, outputs]."""
    rows = torch.from_numpy(outputs.reshape(-1, outputs.shape[-1]))
    return model.pictured_codes(rows).numpy().reshape(*outputs.shape[:-1], -1)


def page_data(
    runs: Sequence[Any],
    images: np.ndarray,
    labels: np.ndarray | None,
    *,
    priors: Mapping[str, Prior],
    class_names: Sequence[str],
    manifold_size: int,
    manifold_range: float | Literal["auto"],
) -> tuple[dict[str, Any], dict[str, str]]:
    """The data that the page's scripts read: a JSON object, and base64 texts by name.

    Args:
        runs: instances of `aae.results.Run`, those that the page has pictures of.
        images, labels: the test images uint8 [n, height, width, channels] and their labels [n], or None without labels.
        priors: recipe name -> prior.
        class_names: the names of the labels 0, 1, ...; empty without labels.
        manifold_size, manifold_range: the decoder's pictures have at most `manifold_size` images per side, which span
            [-range, range] on both axes; see `aae.figures.manifold_reach` for "auto".
    """
    images = images[..., 0] if images.shape[-1] == 1 else images
    shape = images.shape[1:]
    code_size = next(iter(priors.values())).dim
    reach = {name: manifold_reach(manifold_range, prior) for name, prior in priors.items()}
    models = {run.name: load_snapshot(run.snapshots[max(run.snapshots)]) for run in runs}
    last = {run.name: pictured_codes(models[run.name], np.array(run.codes[-1:]))[0] for run in runs}
    bases = {name: principal_axes(codes) for name, codes in last.items()}
    limit = plot_limit(
        [coordinates(codes, bases[name]) for name, codes in last.items()],
        [manifold_reach("auto", prior) for prior in priors.values()],
        list(reach.values()),
    )

    epochs = evenly(sorted(runs[0].snapshots), SNAPSHOTS)
    frames = evenly(range(len(runs[0].codes)), FRAMES)
    # Each channel counts as a pixel.
    most = DECODED_PIXELS // (len(runs) * len(epochs) * math.prod(shape))
    size = decoded_size(manifold_size, shape)
    decoded = {name: picture_codes(prior, size, reach[name], shape[:2], most) for name, prior in priors.items()}
    places = {
        f"{kind}-{run.name}-{epoch}": (run.snapshots[epoch], codes, columns)
        for run in runs
        for epoch in epochs
        for kind, (codes, columns) in decoded[run.recipe.name].items()
    }
    packed = dict(zip(places, pack_decoded(list(places.values()), shape), strict=True))

    firsts = {run.recipe.name: run.name for run in reversed(runs)}  # recipe name -> the run of its first seed
    decoders: dict[str, bytes] = {}
    for name in (run.name for run in runs if firsts[run.recipe.name] == run.name):
        content = pack_decoder(models[name])
        if len(content) + sum(map(len, decoders.values())) <= DECODER_BYTES:
            decoders[name] = content
    packed |= {f"decoder-{name}": content for name, content in decoders.items()}
    if code_size > 2:
        packed |= {f"codes-of-samples-{name}": decoded[name]["samples"][0].tobytes() for name in firsts}

    # A random order keeps one label from being drawn on top of another. Also, the first images are then a sample.
    order = np.random.default_rng(0).permutation(len(images))
    pictured = order[: max(1, PICTURE_PIXELS // math.prod(shape))]
    columns = math.ceil(math.sqrt(len(pictured)))
    packed["pictures"] = picture(tiled(images[pictured], columns), "PNG")

    width = coordinates(last[runs[0].name][:1], bases[runs[0].name]).shape[1]
    left = PACKED_BYTES - sum(map(len, packed.values()))
    shown = order[: max(1, left // (width * len(frames) * len(runs) + 1))]  # one byte per coordinate or label
    packed["labels"] = (np.zeros(len(shown)) if labels is None else labels[shown]).astype(np.uint8).tobytes()
    for run in runs:
        outputs = np.stack([run.codes[epoch][shown] for epoch in frames])
        codes = coordinates(pictured_codes(models[run.name], outputs), bases[run.name])
        packed[f"codes-{run.name}"] = pack_codes(codes, limit).tobytes()
    hulls = {run.name: component_outline(priors[run.recipe.name], bases[run.name]) for run in runs}
    return {
        "codeSize": code_size,
        "limit": limit,
        "reach": reach,
        "planes": planes(code_size),
        "coordinates": width,
        "dither": DITHER[:width].tolist(),
        "decoded": {kind: len(codes) for kind, (codes, _) in next(iter(decoded.values())).items()},
        "classNames": list(class_names),
        "epochs": frames,
        "lastEpoch": frames[-1],
        "snapshots": epochs,
        "images": len(shown),
        "pictured": min(len(pictured), len(shown)),
        "pictureColumns": columns,
        "pictureShape": list(shape[:2]),
        "colour": len(shape) == 3,
        "colours": {
            theme: [to_hex(colour) for colour in label_colours(max(len(class_names), 1), dark=theme == "dark")]
            for theme in ("light", "dark")
        },
        "priors": {name: outlined(prior, limit) for name, prior in priors.items()},
        "componentOutlines": {name: lines for name, lines in hulls.items() if lines},
        "runs": [{"name": run.name, "model": run.recipe.name, "seed": run.seed} for run in runs],
        "decoders": {name: decoder_shapes(models[name]) for name in decoders},
    }, {name: b64encode(content).decode() for name, content in packed.items()}
