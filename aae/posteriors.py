"""The posteriors q(z|x) of adversarial autoencoders (Makhzani et al., arXiv 1511.05644, section 2.1) in training.

The docstring of `aae.kinds.aae.AAE` describes them.
"""

from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from aae.models import CodesKind
from aae.ops import Stream, sample_prior
from aae.priors import NormalPrior
from aae.trainer import Trainer

Posterior = Annotated[
    Literal["deterministic", "gaussian", "universal"],
    "q(z|x): the encoder returns a code; the mean and log-variance of a Gaussian that codes are sampled from; or, as a "
    "universal approximator, a code from the image and noise",
]

# The codes of an encoder that takes noise beside the image.
UNIVERSAL_CODES = (
    CodesKind("", "noiseless", "codes without noise", "one code per image, that of the noise 0"),
    CodesKind("_sampled", "samples", "samples of q(z|x)", "one code drawn for each image"),
)


class SamplingTrainer(Trainer):
    """What the trainers of AAEs share: codes in training, which are samples of q(z|x), and their gradient.

    The noise of q(z|x) enters beside the images or after the encoder, depending on the model's `posterior`. `stream` is
    that of the minibatch's noise. Rows are this rank's of a minibatch, or begin with row `offset`.
    """

    model: Any  # an Autoencoder with a `posterior`

    def noise(self, n: int, step: int | Tensor, stream: Stream, offset: int | None) -> Tensor:
        """Standard normal noise, float32 [n, code_size]."""
        first, unit_normal = self.first_row(n) if offset is None else offset, NormalPrior(self.model.code_size)
        return sample_prior(
            unit_normal, n, seed=self.seed, step=step, stream=stream, offset=first, device=self.images.device
        )

    def encoder_inputs(self, images: Tensor, step: int | Tensor, stream: Stream, offset: int | None = None) -> Tensor:
        """The encoder's inputs [n, inputs] for `images` [n, pixels]; a universal approximator's end with the noise."""
        if self.model.posterior != "universal":
            return images
        return torch.cat([images, self.noise(len(images), step, stream, offset)], dim=1)

    def sample_codes(self, outputs: Tensor, step: int | Tensor, stream: Stream, offset: int | None = None) -> Tensor:
        """Codes [n, code_size] from the encoder's `outputs` [n, outputs], which are codes unless q(z|x) is Gaussian."""
        if self.model.posterior != "gaussian":
            return outputs
        return self.passes.sample_posterior(outputs, self.noise(len(outputs), step, stream, offset))

    def outputs_gradient(self, grad_codes: Tensor, codes: Tensor, outputs: Tensor) -> Tensor:
        """The gradient [n, outputs] in the encoder's outputs of a loss with the gradient `grad_codes` in the codes."""
        if self.model.posterior != "gaussian":
            return grad_codes
        deviation = codes - outputs[:, : self.model.code_size]  # std noise, whose derivative in log std² is its half
        return torch.cat([grad_codes, grad_codes * deviation / 2], dim=1)
