"""The three encoders of the paper, on the model of the likelihood (section 2.1): q(z|x) is a point, a Gaussian, or any
distribution."""

import torch

from aae.priors import NormalPrior
from paper.experiments import likelihood
from paper.experiments.match import match_and_floor
from paper.runs import Row, Run

TITLE = "Encoders, eight dimensions"
SECTION = "2.1"
TITLES = {
    "encoders_deterministic": "deterministic",
    "encoders_gaussian": "Gaussian",
    "encoders_universal": "universal approximator",
}
IMAGES, DRAWS = 1_000, 16  # the first test images and the samples of q(z|x) for each, for the spread


def rows(models: tuple[str, ...]) -> tuple[Row, ...]:
    """The rows for the names of the deterministic, the Gaussian and the universal encoder's model."""
    deterministic, *sampling = models
    return (
        Row("sliced_wasserstein", "sliced Wasserstein distance of q(z) from the prior", digits=4),
        Row("sliced_wasserstein_floor", "… of as many samples of the prior", digits=4, models=(deterministic,)),
        Row("squared_error", "squared error of the reconstructions, summed over the pixels", digits=2),
        Row("sampled_squared_error", "… from samples of q(z|x)", digits=2, models=tuple(sampling)),
        Row("spread", "standard deviation of q(z|x), prior = 1", digits=4, models=tuple(sampling)),
    )


ROWS = (
    Row("log_likelihood", "nats per test image, Parzen window on 10,000 samples"),
    *rows(tuple(TITLES)),
)
NOTE = (
    "One image has one code from a deterministic encoder, and many from the others. Its reconstruction is decoded from "
    "the mean of a Gaussian, and from the code of the noise 0 of the universal approximator, which takes as many "
    "numbers of noise as a code has, after the pixels. Distances are in units of the prior's standard deviation."
)


def measure(run: Run) -> dict[str, float]:
    """The likelihood, and what the encoders of `encoder_measures` have in common."""
    return likelihood.measure(run) | encoder_measures(run)


def encoder_measures(run: Run) -> dict[str, float]:
    """The match of q(z) with the prior, both reconstructions and the spread of q(z|x), over the test images.

    The spread is the root of the mean variance of an image's codes, in units of the prior's standard deviation.
    """
    images, codes = run.test_images, run.sampled_codes(run.test_images)
    draws = torch.stack([run.sampled_codes(images[:IMAGES], draw) for draw in range(DRAWS)]).double()
    assert isinstance(run.model.prior, NormalPrior)
    spread = draws.var(dim=0).mean().sqrt() / run.model.prior.std
    return match_and_floor(run, codes.double().numpy()) | {
        "squared_error": run.squared_error(),
        "sampled_squared_error": run.squared_error(codes),
        "spread": float(spread),
    }
