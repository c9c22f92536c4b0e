"""The bits that every machine, compiler and version must give: trained results depend on them."""

import hashlib

import torch

from aae import ops
from aae.priors import NormalPrior

DRAW = {"seed": 20151118, "step": 2**40 + 7, "stream": 9}
SHA256 = {
    "prior": "31a45e67d38a0ecac689aec631caa5d494cf0fe8534e14f29c82ae37026625a2",
    "minibatch": "0ebeff15f2ed3664f8e70d36aae401633a7e2685f67aa1da8a172b6bfee371a8",
}


def sha256(*tensors):
    digest = hashlib.sha256()
    for tensor in tensors:
        array = tensor.numpy()
        digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def test_prior(isa):
    near = ops.sample_prior(NormalPrior(2), 400_003, **DRAW)
    far = ops.sample_prior(NormalPrior(3, 5.0), 400_003, offset=2**33 + 1, **DRAW)
    assert sha256(near, far) == SHA256["prior"]


def test_minibatch(isa):
    images = (torch.arange(60_000 * 7) % 256).to(torch.uint8).reshape(60_000, 7)
    assert sha256(*ops.draw_minibatch(images, 100_003, offset=2**33 + 1, **DRAW)) == SHA256["minibatch"]
