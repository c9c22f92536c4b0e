"""Checks that the native extension works and was built from this checkout's sources.

Every stage imports this module first: pyproject.toml sorts it before all others. Without the extension, the imports
after it would fail. So importing it ends the process with one line if the extension is missing or damaged.

Experiments run in separate checkouts and share one build, so `check_extension` compares the content of the sources, not
their dates. setup.py embeds the digest in the build.
"""

import os
from pathlib import Path

from aae.errors import InputError, told_in_one_line
from aae.extension import load_extension
from aae.source_digest import source_digest

ROOT = Path(__file__).resolve().parents[1]

with told_in_one_line():
    load_extension()


def check_extension(root: Path = ROOT) -> None:
    """Raises `aae.errors.InputError` if `aae_native` was not built from `root`'s sources, or if the system refuses the
    threads that OMP_NUM_THREADS asks for.
    """
    import aae_native

    if aae_native.build_info()["source_digest"] != source_digest(root):
        raise InputError("the native extension was not built from the present csrc/ and setup.py; run `make env`")
    if os.environ.get("OMP_NUM_THREADS"):
        try:
            aae_native.set_threads(aae_native.get_threads())
        except RuntimeError as error:
            raise InputError(str(error).replace("set_threads", "OMP_NUM_THREADS")) from error
