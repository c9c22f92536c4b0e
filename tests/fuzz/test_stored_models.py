"""Mutated snapshots, checkpoints and params.yaml: read, or refused in one printable line."""

import json
import random
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML

from aae.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from aae.models import build_model, kind_names
from aae.priors import NormalPrior
from aae.snapshots import Metadata, load_with_metadata, save_snapshot
from pipeline.memory import check_memory
from pipeline.params import Params, load_params
from tests.fuzz.mutations import INPUTS, count_refused, mutated, replaced

ROOT = Path(__file__).parents[2]

SIZES = {"pixels": 4, "code_size": 2, "encoder_widths": [3], "decoder_widths": [3]}
DISCRIMINATOR = {"discriminator_widths": [3]}


def split(snapshot: bytes) -> tuple[dict, bytes]:
    """The header of a safetensors file, and the tensors after it."""
    start = 8 + int.from_bytes(snapshot[:8], "little")
    return json.loads(snapshot[8:start]), snapshot[start:]


def joined(header: dict, tensors: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + tensors


@pytest.mark.parametrize(("kind", "sizes"), [("vae", SIZES), ("aae", SIZES | DISCRIMINATOR)])
def test_snapshots(kind, sizes, tmp_path):
    """Half of them have damaged bytes, half a config that is another's."""
    saved = save_snapshot(tmp_path, 0, build_model(kind, 0, **sizes), Metadata(NormalPrior(2), (2, 2, 1), ("a", "b")))
    content, dice, path = saved.read_bytes(), random.Random(0), tmp_path / "001.safetensors"
    header, tensors = split(content)
    config = json.loads(header["__metadata__"]["config"])

    def foreign() -> bytes:
        found = replaced(config, dice)
        if dice.random() < 0.2 and isinstance(found, dict):
            found["kind"] = dice.choice(kind_names())
        return joined(header | {"__metadata__": {"config": json.dumps(found)}}, tensors)

    def read(data: bytes) -> None:
        path.write_bytes(data)
        load_with_metadata(path)

    count = INPUTS // 4  # for each kind, damaged and foreign
    read(content)
    assert count_refused(read, (mutated(content, dice) for _ in range(count))) > count / 4
    assert count_refused(read, (foreign() for _ in range(count))) > count / 4


def test_checkpoints(tmp_path):
    notes, tensors = {"epochs": 3, "spent": 0.5}, {"a": torch.arange(4.0), "b": torch.tensor(1)}
    save_checkpoint(tmp_path, Checkpoint(7, tensors, notes))
    (path,) = tmp_path.glob("*.safetensors")
    content, dice = path.read_bytes(), random.Random(0)
    refused = 0
    for _ in range(INPUTS):
        path.write_bytes(mutated(content, dice))
        found = load_checkpoint(tmp_path)
        if found is None:
            refused += 1
        else:  # only what is as it was written
            assert (found.step, found.notes) == (7, notes)
            assert all(torch.equal(found.tensors[name], tensor) for name, tensor in tensors.items())
    assert refused > INPUTS / 2


def smallest_params() -> dict:
    """The parameters of a single model, which take the least time to parse."""
    content = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
    return {key: value for key, value in content.items() if key not in ("aae", "aae_joint")} | {"models": ["vae"]}


def test_params(tmp_path, monkeypatch):
    """Half of them have damaged bytes, half a hostile value. What is allowed must fit in memory, or is refused, too."""
    schema = Params.model_json_schema()
    monkeypatch.setattr(Params, "model_json_schema", lambda: schema)  # takes milliseconds, and never changes
    content = smallest_params()
    dice, path = random.Random(0), tmp_path / "params.yaml"
    text = json.dumps(content).encode()  # JSON is YAML, and takes less time to parse

    def read(data: bytes) -> None:
        path.write_bytes(data)
        params = load_params(path)
        for recipe in params.recipes:
            check_memory(recipe, params.code_size, dice.choice((1, 784, 2**40)))

    count = INPUTS // 2
    read(text)
    assert count_refused(read, (mutated(text, dice) for _ in range(count))) > count / 4
    assert count_refused(read, (json.dumps(replaced(content, dice)).encode() for _ in range(count))) > count / 4
