"""The prior that `params.yaml` describes."""

from aae.priors import MixturePrior, NormalPrior, Prior, SwissRollPrior, UniformPrior
from pipeline.params import Params


def build_prior(params: Params) -> Prior:
    """The prior of `params`, with `code_size` dimensions and, where it has classes, `data.classes` of them."""
    name = params.prior.name
    settings = getattr(params.prior, name).model_dump()
    if name == "normal":
        return NormalPrior(params.code_size, **settings)
    if name == "uniform":
        return UniformPrior(params.code_size, **settings)
    if name == "mixture":
        return MixturePrior(params.data.classes, **settings)
    return SwissRollPrior(params.data.classes, **settings)
