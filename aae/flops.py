"""The arithmetic of passes through perceptrons, from the sizes of their layers.

The count includes the multiplications and additions of the dense products, two per weight and row, as
`torch.utils.flop_counter` counts them: forward, the gradients of the weights and the gradients of a layer's inputs,
each only where training needs it. It leaves out biases, activations, losses and Adam, and ignores that the native
passes skip the pixels that are 0.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


def layer_sizes(network: nn.Sequential) -> list[int]:
    """The number of inputs, then the number of outputs of every linear layer."""
    layers = [layer for layer in network if isinstance(layer, nn.Linear)]
    return [layers[0].in_features, *(layer.out_features for layer in layers)]


def autoencoder_flops(encoder: Sequence[int], decoder: Sequence[int]) -> int:
    """FLOPs of one row, forward and backward through both; the images need no gradient."""
    passes = forward(encoder) + forward(decoder) + weight_gradients(encoder) + weight_gradients(decoder)
    return passes + input_gradients(encoder) + input_gradients(decoder, to_inputs=True)


def forward(sizes: Sequence[int]) -> int:
    """FLOPs of one row through linear layers between `sizes`."""
    return sum(2 * inputs * outputs for inputs, outputs in pairwise(sizes))


weight_gradients = forward  # one outer product per row and layer has equally many


def input_gradients(sizes: Sequence[int], *, to_inputs: bool = False) -> int:
    """FLOPs of the gradients in the layers' inputs; those of the first layer only with `to_inputs`."""
    return forward(sizes if to_inputs else sizes[1:])
