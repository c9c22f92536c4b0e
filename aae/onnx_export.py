"""A trained model as ONNX, for programs without PyTorch."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor, nn

from aae.errors import InputError
from aae.models import Autoencoder
from aae.snapshots import Metadata, to_config
from aae.trained import TrainedModel


class Exported(nn.Module):
    """The exported module. Its inputs and outputs are those of `TrainedModel`, in float32."""

    inputs: ClassVar[str]
    outputs: ClassVar[tuple[str, ...]]

    def __init__(self, network: Autoencoder, shape: tuple[int, ...]):
        super().__init__()
        self.network, self.shape = network, shape

    def decoded(self, codes: Tensor, outputs: Tensor | None = None) -> Tensor:
        logits = self.network.decoder(self.network.decoder_inputs(codes, outputs))
        return logits.sigmoid().unflatten(1, self.shape)


class Encoder(Exported):
    inputs, outputs = "images", ("codes",)

    def forward(self, images: Tensor) -> Tensor:
        return self.network.encode(images.flatten(1))


class Decoder(Exported):
    inputs, outputs = "codes", ("images",)

    def forward(self, codes: Tensor) -> Tensor:
        return self.decoded(codes)


class Both(Exported):
    inputs, outputs = "images", ("codes", "reconstructions")

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        outputs = self.network.outputs(images.flatten(1))
        codes = self.network.pictured_codes(outputs)
        return codes, self.decoded(codes, outputs)


PARTS: dict[str, type[Exported]] = {"encoder": Encoder, "decoder": Decoder, "both": Both}


@contextmanager
def quiet() -> Iterator[None]:
    """Suppresses the exporter's warnings, which concern PyTorch's own code and torchvision (not needed here)."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logger.setLevel(level)


def to_onnx(model: TrainedModel, part: str) -> bytes:
    """The content of an ONNX file with a `part` of the model, one of PARTS, for any batch size.

    `images` and `reconstructions` are float32 in [0, 1], [batch, height, width, channels], or [batch, height, width]
    for one channel; `codes` are float32 [batch, code_size]. The metadata property `config` holds the same as a
    snapshot's header. Results may differ from `TrainedModel`'s in the last bits. Raises InputError if a package that
    PyTorch's exporter needs is missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(f"the ONNX export needs the package {error.name}; `pip install 'aae[onnx]'`") from None
    network = model.network
    shape = model.image_shape if model.image_shape[2] > 1 else model.image_shape[:2]
    exported = PARTS[part](network, shape).eval()
    example = torch.zeros(2, model.code_size) if part == "decoder" else torch.zeros(2, *shape)
    with quiet():
        program = torch.onnx.export(
            exported,
            (example,),
            input_names=[exported.inputs],
            output_names=list(exported.outputs),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # always, with dynamo=True
    batch = (program.model.graph.inputs[0].shape or [None])[0]
    if isinstance(batch, int):  # e.g. a model that calls len() on a tensor
        raise RuntimeError("the exporter fixed the batch size: the model's operations must take shape[0], not len()")
    metadata = Metadata(model.prior, model.image_shape, model.class_names)
    program.model.metadata_props["config"] = json.dumps(to_config(network, metadata))
    return program.model_proto.SerializeToString()
