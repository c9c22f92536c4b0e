"""The match of the codes with N(0, I) in eight dimensions, on the protocol of Knop et al. (JMLR 21, 2020, section 5).

Networks of three hidden layers of 200 units, 500 epochs. The rivals are trained here, so every row has the same
evaluator, the same seeds and the same floor.
"""

import numpy as np

from aae.distances import sliced_wasserstein
from aae.moments import raw_kurtosis, raw_skewness
from aae.ops import Stream, sample_prior
from aae.priors import NormalPrior
from aae.targets import build_target
from paper.runs import Row, Run

TITLE = "Match of the codes with the prior in eight dimensions"
SECTION = "2"
TITLES = {"match_aae": "joint AAE", "match_mmd": "WAE-MMD", "match_sliced": "SWAE", "match_cramer_wold": "CWAE"}
PROJECTIONS = 128

ROWS = (
    Row("skewness", "skewness of the test codes", digits=2),
    Row("skewness_floor", "… of as many samples of N(0, I)", digits=2, models=("match_aae",)),
    Row("kurtosis", "kurtosis of the test codes, difference from N(0, I)", digits=1),
    Row("kurtosis_floor", "… of as many samples of N(0, I)", digits=1, models=("match_aae",)),
    Row("sliced_wasserstein", "sliced Wasserstein distance of the test codes", digits=3),
    Row("sliced_wasserstein_floor", "… of as many samples of N(0, I)", digits=3, models=("match_aae",)),
    Row("squared_error", "squared error of the reconstructions, summed over the pixels", digits=2),
)
NOTE = (
    "Skewness and kurtosis are neither centred nor whitened (aae/moments.py), for 10,000 codes. CWAE minimises the "
    "logarithm of its distance, the others the distance itself, all with weight 1 beside the squared error summed over "
    "the pixels. All four minimise the squared error."
)


def measure(run: Run) -> dict[str, float]:
    """The match of the test images' codes with the prior, and its floor."""
    return match_and_floor(run, run.test_codes()) | {"squared_error": run.squared_error()}


def match_and_floor(run: Run, codes: np.ndarray) -> dict[str, float]:
    """The match of `codes`, float64 [n, code_size], with the prior, in units of its deviation, and its floor."""
    prior = run.model.prior
    assert isinstance(prior, NormalPrior)
    codes = codes / prior.std
    n, d = codes.shape
    unit = NormalPrior(d)
    samples = sample_prior(unit, n, seed=run.seed, step=0, stream=Stream.EVALUATION).double().numpy()
    target = build_target(unit, n, cells=2, projections=PROJECTIONS)

    def match(points: np.ndarray, suffix: str) -> dict[str, float]:
        return {
            f"skewness{suffix}": raw_skewness(points),
            f"kurtosis{suffix}": raw_kurtosis(points),
            f"sliced_wasserstein{suffix}": sliced_wasserstein(points, target)[0],
        }

    return match(codes, "") | match(samples, "_floor")
