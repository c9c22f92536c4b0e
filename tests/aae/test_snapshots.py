"""Snapshots restore the exact model, and one line reports a snapshot that cannot be read."""

import pytest
import torch

from aae.errors import InputError
from aae.models import build_model
from aae.priors import NormalPrior
from aae.snapshots import Metadata, list_snapshots, load_snapshot, load_with_metadata, save_snapshot

METADATA = Metadata(NormalPrior(2, 1.5), (3, 2, 1), ("nought", "één"))


def small(name):
    extra = {"discriminator_widths": [3]} if name == "aae" else {}
    return build_model(name, 0, pixels=6, code_size=2, encoder_widths=[5], decoder_widths=[4], **extra)


@pytest.mark.parametrize("name", ["aae", "vae"])
def test_round_trip(tmp_path, name):
    model = small(name)
    save_snapshot(tmp_path / "run", 7, model, METADATA)
    loaded, metadata = load_with_metadata(tmp_path / "run" / "007.safetensors")
    assert metadata == METADATA
    assert type(loaded) is type(model)
    assert loaded.sizes == model.sizes
    assert not loaded.training
    for key, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], tensor)


def test_same_weights_same_bytes(tmp_path):
    for folder in ("a", "b"):
        save_snapshot(tmp_path / folder, 0, small("aae"), METADATA)
    a, b = ((tmp_path / folder / "000.safetensors").read_bytes() for folder in ("a", "b"))
    assert a == b


def test_listed_by_epoch(tmp_path):
    for epoch in (1000, 20, 0):
        save_snapshot(tmp_path, epoch, small("vae"), METADATA)
    assert list(list_snapshots(tmp_path)) == [0, 20, 1000]


@pytest.mark.parametrize("damage", [lambda c: b"", lambda c: c[:100], lambda c: b"x" * 200, lambda c: c[:-4]])
def test_damaged_files(tmp_path, damage):
    save_snapshot(tmp_path, 0, small("aae"), METADATA)
    path = tmp_path / "000.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=r"000\.safetensors: not a readable snapshot") as error:
        load_snapshot(path)
    assert "\n" not in str(error.value)


def test_a_foreign_safetensors_file(tmp_path):
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(2)}, tmp_path / "000.safetensors")
    with pytest.raises(InputError, match="not a readable snapshot"):
        load_snapshot(tmp_path / "000.safetensors")


def test_missing(tmp_path):
    with pytest.raises(InputError, match="no snapshots"):
        list_snapshots(tmp_path / "nowhere")
    with pytest.raises(InputError, match="not a readable snapshot"):
        load_snapshot(tmp_path / "000.safetensors")
