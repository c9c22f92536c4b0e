"""Adversarial autoencoders with reproducible randomness: models, training, metrics and the native ops.

`aae.load` loads a trained model. Everything else is in the modules; importing the package imports none of them.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

    from aae.trained import TrainedModel


def load(path: "str | PathLike[str]") -> "TrainedModel":
    """Loads the trained model in `path`: a snapshot, or the last snapshot of a folder.

    Raises `aae.errors.InputError`, with one line, if there is no snapshot at `path` or the file cannot be read.
    """
    from aae.trained import load_trained

    return load_trained(path)
