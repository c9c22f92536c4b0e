"""Adversarial autoencoders with reproducible randomness: models, training, metrics and the native ops.

`aae.load` gives a trained model to use. The rest is in the modules; importing the package imports none of them.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

    from aae.trained import TrainedModel


def load(path: "str | PathLike[str]") -> "TrainedModel":
    """The trained model in `path`: a snapshot, or a folder of snapshots, of which it is the last.

    Raises `aae.errors.InputError`, a line, for a path where there is none and for a file that cannot be read.
    """
    from aae.trained import load_trained

    return load_trained(path)
