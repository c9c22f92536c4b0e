"""The exception for errors that the user can fix, and how a command ends with it."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EPIPE)

OUT_OF_MEMORY = (
    "error: out of memory; lower batch_size, the widths, evaluation.projections or evaluation.floor_samples in "
    "params.yaml, or use a smaller dataset"
)


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
    """Ends the process with one line and exit status 1 on bad input, a file system error, too little memory, too few
    threads or Ctrl-C.
    """
    try:
        with standard_output():
            yield
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.filename is None:
            raise
        sys.exit(f"error: {error.filename}: {error.strerror}")
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)
    except RuntimeError as error:
        if str(error) == "can't start new thread":  # Python's words
            sys.exit("error: the system refuses to start more threads; lower OMP_NUM_THREADS, or raise its limits")
        # PyTorch's error, on a GPU of a class of its own. PyTorch is not imported for its name.
        if type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error):
            sys.exit(OUT_OF_MEMORY)
        raise
    except KeyboardInterrupt:
        sys.exit("error: interrupted")


@contextmanager
def standard_output() -> Iterator[None]:
    """Writes what the block prints before it ends, not at Python's exit, which would report an error in its own way.

    Errors name standard output: files that the block writes have a name (`aae.files`). If the reader stopped early, as
    `head` does, the process ends with status 1.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        if error.filename is not None or error.errno not in OF_WRITING:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that Python's flush at exit does not fail
        if error.errno == errno.EPIPE:
            sys.exit(1)
        raise OSError(error.errno, error.strerror, "standard output") from None
