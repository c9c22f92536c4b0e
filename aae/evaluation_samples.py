"""The random numbers of evaluation and pictures: samples from the stream EVALUATION, with a step for each purpose."""

import numpy as np
from torch import Tensor

from aae.ops import Stream, sample_prior
from aae.priors import NormalPrior, Prior

# The steps. `aae.floor` also uses those after FLOOR and TRAIN_FLOOR.
POSTERIOR_NOISE, PRIOR_SAMPLE, DIRECTIONS, TRAIN_POSTERIOR_NOISE, REFERENCE, PICTURE, TRAIN_SAMPLE = range(7)
FLOOR, TRAIN_FLOOR = 1_000, 1_000_000


def evaluation_sample(prior: Prior, n: int, seed: int, purpose: int) -> np.ndarray:
    """`n` samples of `prior`, float64 [n, dim]; `purpose` is the step."""
    return sample_prior(prior, n, seed=seed, step=purpose, stream=Stream.EVALUATION).double().numpy()


def posterior_noise(code_size: int, n: int, seed: int, purpose: int = POSTERIOR_NOISE) -> Tensor:
    """The noise of q(z|x) for n images, float32 [n, code_size], the same at every epoch of a run."""
    return sample_prior(NormalPrior(code_size), n, seed=seed, step=purpose, stream=Stream.EVALUATION)
