"""The arithmetic of a training iteration, from the sizes of the layers.

Counted are the multiplications and additions of the dense products, two for each weight and row, as
`torch.utils.flop_counter` counts them: forward, the gradients of the weights and those of a layer's inputs, each only
where training needs it. Biases, activations, losses and Adam are left out, and it does not count that the native passes
skip the pixels that are 0.
"""

from collections.abc import Sequence
from itertools import pairwise


def iteration_flops(
    model: str,
    *,
    batch_size: int,
    pixels: int,
    code_size: int,
    encoder_widths: Sequence[int],
    decoder_widths: Sequence[int],
    discriminator_widths: Sequence[int] = (),
    label_classes: int = 0,
) -> int:
    """FLOPs of an iteration of the `model` `aae` or `vae`: its steps are those of `aae.training`."""
    decoder = [code_size, *decoder_widths, pixels]
    if model == "vae":
        encoder = [pixels, *encoder_widths, 2 * code_size]
        return batch_size * autoencoder_flops(encoder, decoder)
    encoder = [pixels, *encoder_widths, code_size]
    discriminator = [code_size + label_classes, *discriminator_widths, 1]
    discriminator_step = batch_size // 2 * forward(encoder) + batch_size * (
        forward(discriminator) + weight_gradients(discriminator) + input_gradients(discriminator)
    )
    generator_step = batch_size * (
        forward(encoder)
        + forward(discriminator)
        + input_gradients(discriminator, to_inputs=True)
        + weight_gradients(encoder)
        + input_gradients(encoder)
    )
    return batch_size * autoencoder_flops(encoder, decoder) + discriminator_step + generator_step


def autoencoder_flops(encoder: Sequence[int], decoder: Sequence[int]) -> int:
    """Of one row, forward and backward through both; the images need no gradient."""
    passes = forward(encoder) + forward(decoder) + weight_gradients(encoder) + weight_gradients(decoder)
    return passes + input_gradients(encoder) + input_gradients(decoder, to_inputs=True)


def forward(sizes: Sequence[int]) -> int:
    """Of one row through linear layers between `sizes`."""
    return sum(2 * inputs * outputs for inputs, outputs in pairwise(sizes))


weight_gradients = forward  # one outer product a row and layer has as many


def input_gradients(sizes: Sequence[int], *, to_inputs: bool = False) -> int:
    """Of the gradients in the layers' inputs; those of the first layer's only with `to_inputs`."""
    return forward(sizes if to_inputs else sizes[1:])
