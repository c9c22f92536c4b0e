"""A checkpoint restores what was saved, and a damaged one is never loaded."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from aae.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from aae.files import GrowingFile


def checkpoint(step: int) -> Checkpoint:
    tensors = {
        "weights": torch.arange(6.0).reshape(2, 3) + step,
        "steps": torch.tensor(step),
        "none": torch.empty(0, 3),
    }
    return Checkpoint(step, tensors, {"history": [{"loss": 0.125 * step}], "seconds": [1.5], "partial": 0.25})


def same(first: Checkpoint, second: Checkpoint) -> bool:
    return (
        (first.step, first.notes, first.tensors.keys()) == (second.step, second.notes, second.tensors.keys())
        and all(torch.equal(first.tensors[name], second.tensors[name]) for name in first.tensors)
        and all(first.tensors[name].dtype == second.tensors[name].dtype for name in first.tensors)
    )


@pytest.fixture
def folder(tmp_path) -> Path:
    save_checkpoint(tmp_path, checkpoint(7))
    save_checkpoint(tmp_path, checkpoint(12))
    return tmp_path


def test_the_newest_comes_back(folder):
    assert same(load_checkpoint(folder), checkpoint(12))


def test_no_more_than_two_are_kept(folder):
    save_checkpoint(folder, checkpoint(20))
    assert sorted(path.stem for path in folder.iterdir()) == ["000000000012", "000000000020"]


def test_there_may_be_none(tmp_path):
    assert load_checkpoint(tmp_path) is None


def test_later_ones_that_are_damaged_make_room(folder):
    """A training that had to continue from an earlier one keeps two that it can use."""
    (folder / "000000000012.safetensors").write_bytes(b"")
    for step in (8, 9):
        save_checkpoint(folder, checkpoint(step))
    assert sorted(path.stem for path in folder.iterdir()) == ["000000000008", "000000000009"]


def test_a_file_that_belongs_to_it_is_verified(folder):
    """Content that was added later does not matter; if content is damaged, the checkpoint before is used."""
    log = GrowingFile(folder / "log")
    for step in (20, 30):
        log.append(f"{step}\n".encode())
        save_checkpoint(folder, replace(checkpoint(step), files={"log": log.mark()}))
    log.append(b"torn li")
    assert load_checkpoint(folder).step == 30
    assert load_checkpoint(folder).files == {"log": (6, hashlib.sha256(b"20\n30\n").hexdigest())}
    log.path.write_bytes(b"20\n3")
    assert load_checkpoint(folder).step == 20
    log.path.write_bytes(b"21\n30\n")
    assert load_checkpoint(folder) is None
    log.path.unlink()
    assert load_checkpoint(folder) is None


def changes(byte: int) -> set[int]:
    """Other values for a byte. A digit is replaced by digits and a letter by letters, so the header stays valid."""
    return {byte ^ 1, byte ^ 0x20, byte ^ 0x80} | ({48 + (byte - 47) % 10} if chr(byte).isdigit() else set())


def test_a_byte_that_changed_is_noticed_wherever_it_is(folder):
    """In digits, names, shapes and tensors: after a change, the previous checkpoint is used or the content is equal."""
    path = folder / "000000000012.safetensors"
    whole = path.read_bytes()
    taken = []
    for i in range(len(whole)):
        for changed in changes(whole[i]):
            path.write_bytes(whole[:i] + bytes([changed]) + whole[i + 1 :])
            found = load_checkpoint(folder)
            assert same(found, checkpoint(7)) or same(found, checkpoint(12)), (i, changed)
            taken.append(found.step)
    assert taken.count(7) > 0.9 * len(taken), "only changes of spaces and the like may pass"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'step\\": 12,', b'step\\": 13,'),
        (b'loss\\": 1.5}', b'loss\\": 1.6}'),
        (b'seconds\\": [1.5]', b'seconds\\": [2.5]'),
        (b'"weights"', b'"heights"'),
        (b'"shape":[2,3]', b'"shape":[3,2]'),
        (b'"dtype":"F32"', b'"dtype":"I32"'),
    ],
)
def test_a_header_that_changed_and_can_still_be_read_is_noticed(folder, old, new):
    path = folder / "000000000012.safetensors"
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    assert same(load_checkpoint(folder), checkpoint(7))


def test_a_file_with_the_name_of_another_step_is_passed_over(folder):
    (folder / "000000000012.safetensors").rename(folder / "000000000013.safetensors")
    assert same(load_checkpoint(folder), checkpoint(7))


def test_two_tensors_that_changed_places_are_noticed(tmp_path):
    first = Checkpoint(3, {"a": torch.zeros(2), "b": torch.ones(2)}, {})
    save_checkpoint(tmp_path, first)
    path = tmp_path / f"{3:012d}.safetensors"
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["a"], header["b"] = header["b"], header["a"]
    text = json.dumps(header, separators=(",", ":")).encode().ljust(length)
    path.write_bytes(content[:8] + text + content[8 + length :])
    assert load_checkpoint(tmp_path) is None
