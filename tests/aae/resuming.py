"""What every trainer must do after it was restored."""

import torch

from aae.trainer import Trainer, train_epoch


def assert_resumes(whole: Trainer, other: Trainer) -> None:
    """`other`, restored to the state of `whole` after one epoch, goes on with the same bits."""
    train_epoch(whole, 1, 5)
    state = {name: tensor.clone() for name, tensor in whole.state().items()}
    losses = train_epoch(whole, 2, 5)
    other.restore(5, state)
    assert train_epoch(other, 2, 5) == losses
    theirs = other.state()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in whole.state().items())
