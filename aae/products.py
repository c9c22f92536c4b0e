"""Which library computes float32 matrix products on the CPU."""

import torch


def choose_products() -> str:
    """Takes oneDNN for float32 products where it computes them in float32; returns `onednn` or `default`.

    PyTorch's default is MKL, which on AMD processors runs at less than half of oneDNN's speed. The setting that
    reaches oneDNN, precision `bf16`, lets it round to bfloat16 where the processor has instructions for that, so
    it is kept only if the error of a product against float64 is no more than twice the default's.
    """
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(128, 784, generator=generator), torch.randn(784, 512, generator=generator)
    exact = a.double() @ b.double()
    torch.backends.mkldnn.matmul.fp32_precision = "none"
    default = (a @ b - exact).norm()
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    if (a @ b - exact).norm() <= 2 * default:
        return "onednn"
    torch.backends.mkldnn.matmul.fp32_precision = "none"
    return "default"
