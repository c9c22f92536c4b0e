"""The exception for errors that the user can fix, and how a command ends with it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class InputError(ValueError):
    """Bad input. The message is one line that names the file or key, what was found and what is allowed.

    The stages print it and exit with status 1. Any other exception is a bug and keeps its traceback.
    """


class Damaged(InputError):
    """A file at `path` that is not what was written. `checked_by` is the list of checksums that says so, if one does.

    The stages add how to make it again (`pipeline.paths.remedy`).
    """

    def __init__(self, path: Path, what: str, checked_by: Path | None = None):
        super().__init__(f"{path}: {' '.join(what.split())}")
        self.path, self.checked_by = path, checked_by


class Diverged(InputError):
    """A loss or a weight of a training is not finite."""


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """Ends the process with one line and exit status 1 on bad input, a file system error or Ctrl-C."""
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
