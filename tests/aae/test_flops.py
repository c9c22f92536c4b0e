"""FLOPs against PyTorch's count for a plain autograd implementation of every step."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.utils.flop_counter import FlopCounterMode

from aae.models import build_model, find_kind

SIZES = {"pixels": 12, "code_size": 3, "encoder_widths": [7, 5], "decoder_widths": [4]}


def aae_iteration(model, batch, classes):
    images = torch.rand(batch, model.encoder[0].in_features)
    labels = torch.zeros(batch, classes)
    bce(model.decoder(model.encoder(images)), images[:, : model.pixels]).backward()

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


def joint_iteration(model, batch, classes):
    """It has twelve recent codes, equally many samples, and the penalty's rows on both sides of the newest codes."""
    codes = model.encoder(torch.rand(batch, model.pixels))
    bce(model.decode(codes), torch.rand(batch, model.pixels)).backward(retain_graph=True)
    model.discriminator.requires_grad_(False)
    seen = codes.detach().requires_grad_()  # one backward pass through the encoder for both losses
    bce(model.discriminator(torch.cat([seen, torch.zeros(batch, classes)], dim=1)), torch.ones(batch, 1)).backward()
    model.discriminator.requires_grad_(True)
    rows = 12 + 12 + 2 * min(batch, 12)
    bce(model.discriminator(torch.rand(rows, model.code_size + classes)), torch.ones(rows, 1)).backward()


ITERATIONS = {
    "aae": aae_iteration,
    "aae_joint": joint_iteration,
    "aae_supervised": joint_iteration,
    "vae": vae_iteration,
}
KINDS = [("aae", 0), ("aae", 4), ("aae_joint", 0), ("aae_joint", 4), ("aae_supervised", 4), ("vae", 0)]


@pytest.mark.parametrize("batch", [2, 20])
@pytest.mark.parametrize(("name", "classes"), [*KINDS, ("universal aae", 0)])
def test_what_pytorch_counts(name, classes, batch):
    sizes = SIZES | ({"discriminator_widths": [6, 2], "label_classes": classes} if name != "vae" else {})
    sizes |= {"classes": 3} if name == "aae_supervised" else {}
    sizes |= {"posterior": "universal"} if name == "universal aae" else {}
    name = name.removeprefix("universal ")
    model = build_model(name, 0, **sizes)
    with FlopCounterMode(display=False) as counter:
        ITERATIONS[name](model, batch, classes)
    settings = SimpleNamespace(recent_codes=12)
    with torch.device("meta"):
        assert find_kind(name)(**sizes).iteration_flops(settings, batch) == counter.get_total_flops()


def test_the_default_aae_does_half_as_much_again():
    """It has two and a half passes through the encoder and one through the decoder, against one and one."""
    sizes = {"pixels": 784, "code_size": 2, "encoder_widths": [512], "decoder_widths": [512]}
    with torch.device("meta"):
        aae, vae = find_kind("aae")(**sizes, discriminator_widths=[512]), find_kind("vae")(**sizes)
    ratio = aae.iteration_flops(None, 128) / vae.iteration_flops(None, 128)
    assert ratio == pytest.approx(1.5, abs=0.01)
