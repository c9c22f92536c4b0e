"""The exception for errors that the user can fix, and how a command ends with it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

OUT_OF_MEMORY = "error: out of memory; lower batch_size or the widths in params.yaml, or use a smaller dataset"


class InputError(ValueError):
    """Bad input. The message is one line that names the file or key, what was found and what is allowed.

    The stages print it and exit with status 1. Any other exception is a bug and keeps its traceback.
    """


class Diverged(InputError):
    """A loss or a weight of a training is not finite."""


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """Ends the process with one line and status 1 on bad input, a file system error, too little memory or Ctrl-C."""
    try:
        yield
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.filename is None:
            raise
        sys.exit(f"error: {error.filename}: {error.strerror}")
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)
    except RuntimeError as error:  # PyTorch's, on the GPU a class of its own; PyTorch is not imported for its name
        if type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error):
            sys.exit(OUT_OF_MEMORY)
        raise
    except KeyboardInterrupt:
        sys.exit("error: interrupted")
