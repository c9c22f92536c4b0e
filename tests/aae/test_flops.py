"""FLOPs against PyTorch's own count of a plain autograd implementation of every step."""

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.utils.flop_counter import FlopCounterMode

from aae.models import build_model, find_kind

SIZES = {"pixels": 12, "code_size": 3, "encoder_widths": [7, 5], "decoder_widths": [4]}


def aae_iteration(model, batch, classes):
    images = torch.rand(batch, model.pixels)
    labels = torch.zeros(batch, classes)
    bce(model.decoder(model.encoder(images)), images).backward()

    with torch.no_grad():
        codes = model.encoder(images[: batch // 2])
    rows = torch.cat([torch.cat([codes, torch.rand(batch // 2, model.code_size)]), labels], dim=1)
    bce(model.discriminator(rows), torch.zeros(batch, 1)).backward()

    model.discriminator.requires_grad_(False)
    rows = torch.cat([model.encoder(images), labels], dim=1)
    bce(model.discriminator(rows), torch.ones(batch, 1)).backward()


def vae_iteration(model, batch, classes):
    images = torch.rand(batch, model.pixels)
    mean, log_variance = model.posterior(images)
    logits = model.decoder(mean + torch.exp(log_variance / 2) * torch.randn_like(mean))
    (bce(logits, images) + (mean**2 + log_variance.exp() - log_variance).sum()).backward()


@pytest.mark.parametrize("batch", [2, 10])
@pytest.mark.parametrize(("name", "classes"), [("aae", 0), ("aae", 4), ("vae", 0)])
def test_what_pytorch_counts(name, classes, batch):
    sizes = SIZES | ({"discriminator_widths": [6, 2], "label_classes": classes} if name == "aae" else {})
    model = build_model(name, 0, **sizes)
    with FlopCounterMode(display=False) as counter:
        (aae_iteration if name == "aae" else vae_iteration)(model, batch, classes)
    with torch.device("meta"):
        assert find_kind(name)(**sizes).iteration_flops(batch) == counter.get_total_flops()


def test_the_default_aae_does_half_as_much_again():
    """Two and a half passes through the encoder and the decoder's one, against one and one."""
    sizes = {"pixels": 784, "code_size": 2, "encoder_widths": [512], "decoder_widths": [512]}
    with torch.device("meta"):
        aae, vae = find_kind("aae")(**sizes, discriminator_widths=[512]), find_kind("vae")(**sizes)
    ratio = aae.iteration_flops(128) / vae.iteration_flops(128)
    assert ratio == pytest.approx(1.5, abs=0.01)
