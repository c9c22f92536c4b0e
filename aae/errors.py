"""The one exception that is the user's to fix, and how a command ends with it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """Bad input: its message is one line that names the file or key, what was found and what is allowed.

    The stages print it and exit with status 1; anything else that is raised is a bug and keeps its traceback.
    """


class Diverged(InputError):
    """A training whose losses or weights are no longer finite numbers."""


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """Bad input, a file that the system refuses, or Ctrl-C ends the process with one line and exit status 1."""
    try:
        yield
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.filename is None:
            raise
        sys.exit(f"error: {error.filename}: {error.strerror}")
    except KeyboardInterrupt:
        sys.exit("error: interrupted")
