"""Whatever library is chosen, products have float32's accuracy."""

import torch

from aae.products import choose_products


def test_products_stay_float32():
    choice = choose_products()
    a = torch.randn(128, 512, generator=torch.Generator().manual_seed(1))
    b = torch.randn(512, 784, generator=torch.Generator().manual_seed(2))
    # A float32 product of length k errs by less than k/2 roundings of 2^-24 of the sum of magnitudes; bfloat16's
    # inputs alone err by 2^-9.
    bound = 256 * 2**-24 * (a.abs().double() @ b.abs().double())
    assert ((a @ b).double() - a.double() @ b.double()).abs().le(bound).all()
    assert choose_products() == choice in ("onednn", "default")
