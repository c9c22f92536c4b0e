"""Imports the native extension, and says in one line what is wrong with it, where Python would crash or say less."""

import struct
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

from aae.errors import InputError


def load_extension() -> None:
    """Imports `aae_native`. Raises InputError if it is missing, damaged or not this project's, or if it cannot take the
    number of threads from OMP_NUM_THREADS.
    """
    spec = find_spec("aae_native")
    if spec is not None and spec.origin is not None and spec.origin.endswith(tuple(EXTENSION_SUFFIXES)):
        check_whole(Path(spec.origin))
    try:
        import aae_native
    except ImportError as error:
        raise InputError(f"the native extension cannot be imported ({error}); run `make env`") from error
    if not hasattr(aae_native, "build_info"):
        found = getattr(aae_native, "__file__", None) or "a folder"
        raise InputError(f"the module aae_native is not this project's: found {found}; run `make env`")
    try:
        aae_native.get_threads()
    except ValueError as error:
        raise InputError(str(error)) from error


def check_whole(path: Path) -> None:
    """Raises InputError if the ELF file at `path` is shorter than its header says.

    The system's loader would map the file, and the process would die when it reads what is not there. The table of
    sections is at the end of the file.
    """
    with path.open("rb") as file:
        header = file.read(64)
    size = path.stat().st_size
    if size == 0:
        raise InputError(f"{path}: the native extension is empty; run `make env`")
    if not header.startswith(b"\x7fELF\x02\x01"):  # another format, or not 64 bits, little endian: the loader says so
        return
    if len(header) == 64:
        (begin,), (entry, entries) = struct.unpack_from("<Q", header, 40), struct.unpack_from("<HH", header, 58)
        needed = begin + entry * entries
    else:
        needed = 64
    if size < needed:
        raise InputError(
            f"{path}: the native extension is cut off: {size} bytes, while its header says {needed}; run `make env`"
        )
