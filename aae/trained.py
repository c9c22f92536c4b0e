"""Using a trained model: images to codes, codes to images, new images from the prior.

    import aae

    model = aae.load("results/snapshots/aae-0")
    codes = model.encode(images)     # uint8 [n, 28, 28] to float32 [n, 2]
    images = model.decode(codes)     # float32 [n, 28, 28] in [0, 1]

It runs on the CPU with the passes of training, so an image gets exactly the code that training gave it. All results are
NumPy arrays. Bad input raises `aae.errors.InputError`, which is a ValueError.
"""

from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aae.backprop_cpu import forward
from aae.errors import InputError
from aae.models import Autoencoder, kind_name
from aae.ops import Stream
from aae.ops import sample_prior as draw_samples
from aae.snapshots import Metadata, last_snapshot, load_with_metadata


class TrainedModel:
    """A trained model and what it was trained for. `aae.load` returns it.

    Attributes:
        network: the model itself, a PyTorch module on the CPU, in evaluation mode.
        prior: the prior p(z) that the codes were matched to (`aae.priors`).
        image_shape: height, width and channels of an image.
        class_names: the names of the labels 0, 1, ...
        code_size: the number of dimensions of a code.
    """

    def __init__(self, network: Autoencoder, metadata: Metadata):
        self.network, self.code_size = network, network.code_size
        self.prior, self.image_shape, self.class_names = metadata.prior, metadata.image_shape, metadata.class_names

    def __repr__(self) -> str:
        height, width, channels = self.image_shape
        size = f"{height} x {width}" + (f" x {channels}" if channels > 1 else "")
        return (
            f"<TrainedModel {kind_name(type(self.network))}: images of {size}, codes of {self.code_size}, "
            f"prior {self.prior.title}>"
        )

    # --- images and codes -----------------------------------------------------------------------------

    def encode(self, images: Any) -> np.ndarray:
        """The codes of `images`, float32 [n, code_size].

        `images` is a NumPy array or a tensor, uint8 or floating-point in [0, 1]. Its shape is [n, height, width,
        channels], [n, channels, height, width] (as in PyTorch's loaders), [n, pixels] or, for one channel, [n, height,
        width]. A uint8 image gets the same bits as in training. Where codes are sampled from q(z|x), as in a
        VAE, its means are returned, or the codes without noise if the encoder takes noise.
        """
        _, codes = self._outputs_and_codes(images)
        return codes.numpy()

    def decode(self, codes: Any, labels: Any = None) -> np.ndarray:
        """The images of `codes`, numbers [n, code_size].

        They are float32 in [0, 1], [n, height, width, channels], or [n, height, width] for one channel. `labels`, an
        integer for all or integers [n], are for a model whose decoder takes them; if they are unknown, it gets the
        uniform distribution over the classes.
        """
        checked = self._checked_codes(codes)
        return self._decode(checked, labels=self._checked_labels(labels, len(checked)))

    def reconstruct(self, images: Any, labels: Any = None) -> np.ndarray:
        """`images`, encoded and decoded.

        `images` are as for `encode`; `labels` and the result are as for `decode`.
        """
        outputs, codes = self._outputs_and_codes(images)
        return self._decode(codes, outputs, self._checked_labels(labels, len(codes)))

    def interpolate(self, a: Any, b: Any, steps: int) -> np.ndarray:
        """Images on the straight line from code `a` to code `b`, numbers [code_size], in the form of `decode`.

        There are `steps` images, at least 2. The first one is the image of `a`, the last one that of `b`.
        """
        return self.decode(self.line(a, b, steps))

    def line(self, a: Any, b: Any, steps: int) -> np.ndarray:
        """The codes of `interpolate`, float32 [steps, code_size]."""
        if not isinstance(steps, int) or steps < 2:
            raise InputError(f"steps must be an integer of 2 or more; found {steps!r}")
        ends = [self._checked_codes(np.asarray(code)[None], name).double() for name, code in (("a", a), ("b", b))]
        weights = torch.linspace(0, 1, steps, dtype=torch.float64)[:, None]
        return ((1 - weights) * ends[0] + weights * ends[1]).float().numpy()

    # --- the prior ------------------------------------------------------------------------------------

    def sample(self, n: int, seed: int = 0, labels: Any = None) -> np.ndarray:
        """`n` new images in the form of `decode`, decoded from samples of the prior, with `labels` as for `decode`.

        The same seed gives the same codes on every machine. A larger `n` begins with the same codes as a smaller one.
        """
        return self.decode(self.sample_prior(n, seed), labels)

    def sample_prior(self, n: int, seed: int = 0) -> np.ndarray:
        """The codes of `sample`, float32 [n, code_size]; `seed` is within [0, 2^63)."""
        if not isinstance(n, int) or n < 0:
            raise InputError(f"n must be an integer of 0 or more; found {n!r}")
        if not isinstance(seed, int) or not 0 <= seed < 2**63:
            raise InputError(f"seed must be an integer from 0 to 2^63 - 1; found {seed!r}")
        return draw_samples(self.prior, n, seed=seed, step=0, stream=Stream.SAMPLE).numpy()

    # --- as a scikit-learn transformer ----------------------------------------------------------------

    def fit(self, images: Any, labels: Any = None) -> "TrainedModel":
        """Returns the model unchanged, because it is already trained. scikit-learn's pipelines call this."""
        return self

    def transform(self, images: Any) -> np.ndarray:
        """`encode`, under the name that scikit-learn and UMAP use."""
        return self.encode(images)

    def inverse_transform(self, codes: Any) -> np.ndarray:
        """`decode`, under the name that scikit-learn and UMAP use: float32 [n, pixels] in [0, 1]."""
        return self.decode(codes).reshape(-1, self.network.pixels)

    # --- inside ---------------------------------------------------------------------------------------

    def _outputs_and_codes(self, images: Any) -> tuple[Tensor, Tensor]:
        """The encoder's outputs [n, outputs] and the codes [n, code_size] from them."""
        inputs = self._inputs(images)
        if not len(inputs):
            return torch.empty(0, self.network.output_size), torch.empty(0, self.code_size)
        outputs = self.network.outputs(inputs, encoder=partial(forward, self.network.encoder, sparse_inputs=True))
        return outputs, self.network.pictured_codes(outputs).contiguous()

    def _decode(self, codes: Tensor, outputs: Tensor | None = None, labels: Tensor | None = None) -> np.ndarray:
        shape = self.image_shape if self.image_shape[2] > 1 else self.image_shape[:2]
        if not len(codes):
            return np.empty((0, *shape), np.float32)
        logits = forward(self.network.decoder, self.network.decoder_inputs(codes, outputs, labels))
        return logits.sigmoid().numpy().reshape(-1, *shape)

    def _inputs(self, images: Any) -> Tensor:
        """`images` as inputs of the encoder, float32 [n, pixels]."""
        array = to_array(images, "images")
        height, width, channels = self.image_shape
        shapes = [(height, width, channels), (channels, height, width), (height * width * channels,)]
        shapes += [(height, width)] if channels == 1 else []
        if array.shape[1:] not in shapes:
            allowed = ", ".join(f"[n, {', '.join(map(str, shape))}]" for shape in shapes)
            raise InputError(f"images must have one of the shapes {allowed}; found {list(array.shape)}")
        if array.shape[1:] == (channels, height, width) != (height, width, channels):
            array = np.moveaxis(array, 1, -1)
        if array.dtype == np.uint8:
            array = array.astype(np.float32) / 255
        elif not np.issubdtype(array.dtype, np.floating):
            raise InputError(f"images must be uint8 or floating-point in [0, 1]; found {array.dtype}")
        elif array.size and not (array.min() >= 0 and array.max() <= 1):  # also rejects NaN
            raise InputError(f"floating-point images must be in [0, 1]; found {array.min():g} to {array.max():g}")
        return torch.from_numpy(np.array(array.reshape(len(array), self.network.pixels), np.float32))

    def _checked_codes(self, codes: Any, name: str = "codes") -> Tensor:
        """`codes`, checked, as float32 [n, code_size]."""
        array = to_array(codes, name)
        if array.ndim != 2 or array.shape[1] != self.code_size:
            found = list(array.shape if name == "codes" else array.shape[1:])
            needed = f"[n, {self.code_size}]" if name == "codes" else f"[{self.code_size}]"
            raise InputError(f"{name} must have the shape {needed}; found {found}")
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise InputError(f"{name} must be finite numbers")
        return torch.from_numpy(array.astype(np.float32))

    def _checked_labels(self, labels: Any, n: int) -> Tensor | None:
        """`labels`, checked, as int64 [n]."""
        if labels is None:
            return None
        classes = self.network.decoder_classes
        if not classes:
            raise InputError(f"labels: the decoder of the model ({kind_name(type(self.network))}) takes none")
        array = to_array(labels, "labels")
        if array.shape not in ((), (n,)):
            raise InputError(f"labels must be an integer or have the shape [{n}]; found {list(array.shape)}")
        if array.size and (array.dtype.kind not in "iu" or not 0 <= array.min() <= array.max() < classes):
            found = f"{array.min()} to {array.max()}" if array.dtype.kind in "iu" else array.dtype
            raise InputError(f"labels must be integers from 0 to {classes - 1}; found {found}")
        return torch.from_numpy(np.broadcast_to(array.astype(np.int64), n).copy())


def to_array(values: Any, name: str) -> np.ndarray:
    """`values`, an array, a tensor on any device or nested lists, as a NumPy array."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        if values.dtype is torch.bfloat16:  # NumPy has no bfloat16
            values = values.float()
    try:
        return np.asarray(values)
    except ValueError:
        raise InputError(f"{name} must be an array; found rows of different lengths") from None


def load_trained(path: str | PathLike[str]) -> TrainedModel:
    """See `aae.load`."""
    path = Path(path)
    if path.is_dir():
        path = last_snapshot(path)
    return TrainedModel(*load_with_metadata(path))
