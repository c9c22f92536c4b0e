"""The priors that `params.yaml` describes."""

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


def prior_of(model: str, params: Params) -> Prior:
    """The prior of a `model`: the one that is described for the AAE, the normal one always for the VAE."""
    if model == "vae":
        return NormalPrior(params.code_size, params.prior.normal.std)
    return build_prior(params)
