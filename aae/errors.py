"""The exception for errors that the user can fix, and how a command ends with it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """Bad input. The message is one line that names the file or key, what was found and what is allowed.

    The stages print it and exit with status 1. Any other exception is a bug and keeps its traceback.
    """


class Diverged(InputError):
    """A loss or a weight of a training is not finite."""


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """Ends the process with one line and exit status 1 on bad input, a file system error, too few threads or
    Ctrl-C.
    """
    try:
        yield
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.filename is None:
            raise
        sys.exit(f"error: {error.filename}: {error.strerror}")
    except RuntimeError as error:
        if str(error) != "can't start new thread":  # Python's words
            raise
        sys.exit("error: the system refuses to start more threads; lower OMP_NUM_THREADS, or raise its limits")
    except KeyboardInterrupt:
        sys.exit("error: interrupted")
