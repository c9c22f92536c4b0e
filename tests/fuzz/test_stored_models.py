"""Mutated snapshots, checkpoints and params.yaml: read, or refused in one printable line. FUZZ=n tries n of each."""

import json
import random
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import load, save

from aae.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from aae.errors import InputError
from aae.models import build_model
from aae.priors import NormalPrior
from aae.snapshots import Metadata, load_with_metadata, save_snapshot
from pipeline.params import load_params
from tests.fuzz.test_readers import INPUTS, mutated

ROOT = Path(__file__).parents[2]
NUMBERS = [None, True, -1, 0, 2**63, 10**40, 1e308, float("inf"), float("nan")]
HOSTILE = [*NUMBERS, "", "0", "\x1b[31m", "a\nb", [], {}, [[]]]


def replaced(value, dice: random.Random):
    """A copy of JSON data in which one entry, at any depth, is a hostile value, missing or nested very deeply."""
    if isinstance(value, (dict, list)) and value and dice.random() < 0.8:
        copy = value.copy()
        key = dice.choice(list(copy)) if isinstance(copy, dict) else dice.randrange(len(copy))
        if dice.random() < 0.1:
            del copy[key]
        else:
            copy[key] = replaced(copy[key], dice)
        return copy
    return dice.choice(HOSTILE)


def lines_of(read, inputs) -> list[str]:
    """The messages of the inputs that are refused."""
    messages = []
    for each in inputs:
        try:
            read(each)
        except InputError as error:
            messages.append(str(error))
    return messages


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory) -> Path:
    sizes = {"pixels": 4, "code_size": 2, "encoder_widths": [3], "decoder_widths": [3], "discriminator_widths": [3]}
    model = build_model("aae", 0, **sizes)
    folder = tmp_path_factory.mktemp("snapshot")
    return save_snapshot(folder, 0, model, Metadata(NormalPrior(2), (2, 2, 1), ("a", "b")))


def test_snapshots(snapshot, tmp_path):
    content, dice, path = snapshot.read_bytes(), random.Random(0), tmp_path / "000.safetensors"
    tensors = load(content)
    config = json.loads(json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["config"])

    def read(data: bytes) -> None:
        path.write_bytes(data)
        load_with_metadata(path)

    damaged = (mutated(content, dice) for _ in range(INPUTS))
    foreign = (save(tensors, {"config": json.dumps(replaced(config, dice))}) for _ in range(INPUTS))
    messages = lines_of(read, damaged) + lines_of(read, foreign)
    assert len(messages) > INPUTS / 2
    assert [message for message in messages if not message.isprintable()] == []


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


def test_params(tmp_path):
    yaml = YAML(typ="safe", pure=True)
    content = yaml.load((ROOT / "params.yaml").read_text())
    dice, path = random.Random(0), tmp_path / "params.yaml"
    text = json.dumps(content, indent=1).encode()  # JSON is YAML, and shorter to parse than the commented file

    def read(data: bytes) -> None:
        path.write_bytes(data)
        load_params(path)

    count = max(INPUTS // 10, 20)  # parsing takes milliseconds
    messages = lines_of(read, (mutated(text, dice) for _ in range(count)))
    messages += lines_of(read, (json.dumps(replaced(content, dice)).encode() for _ in range(count)))
    assert len(messages) > count / 2
    assert [message for message in messages if not message.isprintable()] == []
    assert max(map(len, messages)) < 2000
