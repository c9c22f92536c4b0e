"""The metrics of a snapshot, and the match of every epoch's codes with the prior: which codes are measured, and how.

None of this is a significance test. The codes of a trained model never match the prior exactly, and with enough images
every test would reject. `aae.floor` gives the best value that each measure can reach.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aae.backprop_cpu import forward
from aae.classification import discriminator_metrics, label_metrics
from aae.distances import code_metrics, match_metrics
from aae.errors import InputError
from aae.evaluation_samples import TRAIN_POSTERIOR_NOISE, posterior_noise
from aae.models import Autoencoder
from aae.priors import Prior
from aae.reconstruction import reconstruction_metrics
from aae.targets import Target

LARGEST_CODE = 1e12  # larger codes overflow in squares and fourth powers; no working training comes near


@dataclass(frozen=True)
class Split:
    """The training or the test images, and what their codes are compared with."""

    images: Tensor  # float32 [n, pixels] in [0, 1]
    labels: np.ndarray | None  # uint8 [n], if the data has any
    target: Target  # for n codes


@dataclass(frozen=True)
class Sample:
    """A sample of the training images, which is measured like the test images."""

    indices: np.ndarray  # int64 [n]
    target: Target  # for n codes


def model_metrics(
    model: Autoencoder, test: Split, train: Split, sample: Sample, prior: Prior, *, seed: int
) -> dict[str, Any]:
    """All metrics of a snapshot, nested; `seed` is the run's.

    Each kind of codes that the model has (`Autoencoder.codes`) is compared with the prior (`codes`), decoded
    (`reconstruction`) and used to predict the labels (`labels`), if the data has any; its suffix follows these names.
    A decoder that takes labels gets those of the images.
    Classifiers learn from the codes of all `train` images. The match is also measured on all training images (`train`)
    and on the `sample` of them (`train_sample`), which has the same floor as the test images.
    """
    noise = posterior_noise(model.code_size, len(test.images), seed)
    train_noise = posterior_noise(model.code_size, len(train.images), seed, TRAIN_POSTERIOR_NOISE)
    encoder = partial(forward, model.encoder, sparse_inputs=True)
    outputs = model.outputs(test.images, noise, encoder)
    codes_of_test = model.codes(outputs, noise)
    labels = None if test.labels is None else torch.from_numpy(test.labels.astype(np.int64))
    codes_of_train = model.codes(model.outputs(train.images, train_noise, encoder), train_noise)
    metrics, of_train, of_sample = {}, {}, {}
    for suffix, codes in codes_of_test.items():
        test_codes, train_codes = checked(codes), checked(codes_of_train[suffix])
        logits = forward(model.decoder, model.decoder_inputs(codes, outputs, labels))
        metrics[f"reconstruction{suffix}"] = reconstruction_metrics(logits, test.images)
        metrics[f"codes{suffix}"] = code_metrics(test_codes, test.target)
        if test.labels is not None and train.labels is not None:
            metrics[f"labels{suffix}"] = label_metrics(train_codes, train.labels, test_codes, test.labels)
        of_train[f"codes{suffix}"] = match_metrics(train_codes, train.target)
        of_sample[f"codes{suffix}"] = match_metrics(train_codes[sample.indices], sample.target)
    if model.discriminator is not None:
        *_, aggregated = codes_of_test.values()
        metrics["discriminator"] = discriminator_metrics(model, aggregated, test.labels, prior, seed=seed)
    return metrics | {"train": of_train, "train_sample": of_sample}


def epoch_metrics(model: Autoencoder, outputs: np.ndarray, target: Target, *, seed: int) -> dict[str, Any]:
    """The match of the test images' codes with the prior, from the encoder's `outputs` [n, outputs] for them.

    The codes are those of `model_metrics`, with the same noise.
    """
    codes = model.codes(torch.from_numpy(outputs), posterior_noise(model.code_size, len(outputs), seed))
    return {f"codes{suffix}": match_metrics(checked(each), target) for suffix, each in codes.items()}


def checked(codes: Tensor) -> np.ndarray:
    """The codes as float64; raises InputError if one is NaN, infinite or too large to measure."""
    array = codes.double().numpy()
    bad = len(array) - (np.abs(array) < LARGEST_CODE).all(axis=1).sum()
    if bad:
        raise InputError(f"{bad} of {len(array)} codes are not finite: the training diverged")
    return array
