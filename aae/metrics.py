"""The metrics of a snapshot, and the match of every epoch's codes with the prior: which measures, of what.

None of this is a test of significance: the codes of a trained model are never exactly the prior's, and with
enough images every test would say so. What each measure would be at best, `aae.floor` says.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from aae.backprop_cpu import forward
from aae.classification import discriminator_metrics, label_metrics
from aae.distances import code_metrics, match_metrics
from aae.errors import InputError
from aae.models import AAE, VAE
from aae.priors import NormalPrior, Prior
from aae.reconstruction import reconstruction_metrics
from aae.targets import POSTERIOR_NOISE, TRAIN_POSTERIOR_NOISE, Target, evaluation_sample

LARGEST_CODE = 1e12  # beyond, squares and fourth powers of codes overflow; no training that works comes near


@dataclass(frozen=True)
class Split:
    """Images of one kind, and what their codes are compared with."""

    images: Tensor  # float32 [n, pixels] in [0, 1]
    labels: np.ndarray  # uint8 [n]
    target: Target  # for n codes


def model_metrics(model: AAE | VAE, test: Split, train: Split, prior: Prior, *, seed: int) -> dict:
    """Everything that is measured of a snapshot, nested; `seed` is the run's.

    An image has two codes in a VAE. `codes` are the means of q(z|x), which is what the pictures show;
    `codes_sampled` are samples of q(z|x), one an image, distributed as the aggregated posterior q(z). Each is
    decoded for a `reconstruction` of its own and used to tell `labels`. An AAE, whose encoder is deterministic, has
    `codes` alone. Of the `train` images only the match of the codes is measured, and labels are learnt from them.
    """
    noise = posterior_noise(model.code_size, len(test.images), seed)
    train_noise = posterior_noise(model.code_size, len(train.images), seed, TRAIN_POSTERIOR_NOISE)
    kinds = kinds_of_codes(forward(model.encoder, test.images), model.code_size, noise)
    train_kinds = kinds_of_codes(forward(model.encoder, train.images), model.code_size, train_noise)
    metrics, of_train = {}, {}
    for suffix, codes in kinds.items():
        test_codes, train_codes = checked(codes), checked(train_kinds[suffix])
        metrics[f"reconstruction{suffix}"] = reconstruction_metrics(forward(model.decoder, codes), test.images)
        metrics[f"codes{suffix}"] = code_metrics(test_codes, test.target)
        metrics[f"labels{suffix}"] = label_metrics(train_codes, train.labels, test_codes, test.labels)
        of_train[f"codes{suffix}"] = match_metrics(train_codes, train.target)
    if isinstance(model, AAE):
        metrics["discriminator"] = discriminator_metrics(model, kinds[""], test.labels, prior, seed=seed)
    return metrics | {"train": of_train}


def epoch_metrics(outputs: np.ndarray, code_size: int, target: Target, *, seed: int) -> dict:
    """The match of the test images' codes alone, from the encoder's `outputs` [n, code_size, or twice that for a VAE].

    They are the same codes, with the same noise, as `model_metrics` has.
    """
    noise = posterior_noise(code_size, len(outputs), seed)
    kinds = kinds_of_codes(torch.from_numpy(outputs), code_size, noise)
    return {f"codes{suffix}": match_metrics(checked(codes), target) for suffix, codes in kinds.items()}


def kinds_of_codes(outputs: Tensor, code_size: int, noise: Tensor) -> dict[str, Tensor]:
    """suffix -> codes [n, code_size] from an encoder's `outputs`: "" and, for a VAE, "_sampled".

    A VAE's outputs are means and log variances of q(z|x); `noise` [n, code_size] is standard normal.
    """
    if outputs.shape[1] == code_size:
        return {"": outputs}
    mean, log_variance = outputs.chunk(2, dim=1)
    std = torch.exp(log_variance.double() / 2).float()  # in float32, processors differ in its last bit
    return {"": mean, "_sampled": mean + std * noise}


def posterior_noise(code_size: int, n: int, seed: int, purpose: int = POSTERIOR_NOISE) -> Tensor:
    """The noise of q(z|x) for n images, float32 [n, code_size], the same for all snapshots of a run."""
    return torch.from_numpy(evaluation_sample(NormalPrior(code_size), n, seed, purpose)).float()


def checked(codes: Tensor) -> np.ndarray:
    """The codes as float64; raises InputError where one is NaN, infinite or too large to measure."""
    array = codes.double().numpy()
    bad = len(array) - (np.abs(array) < LARGEST_CODE).all(axis=1).sum()
    if bad:
        raise InputError(f"{bad} of {len(array)} codes are not finite: the training diverged")
    return array
