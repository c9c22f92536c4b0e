"""Checks that the native extension exists and was built from this checkout's sources.

Experiments run in separate checkouts and share one build, so the check compares the content of the sources, not their
dates. setup.py embeds the digest in the build.
"""

from pathlib import Path

from aae.source_digest import source_digest

ROOT = Path(__file__).resolve().parents[1]


def check_extension(root: Path = ROOT) -> None:
    """Raises `aae.errors.InputError` if `aae_native` is missing or was not built from `root`'s sources."""
    from aae.errors import InputError

    try:
        import aae_native
    except ImportError as error:
        raise InputError(f"the native extension cannot be imported ({error}); run `make env`") from error
    if aae_native.build_info()["source_digest"] != source_digest(root):
        raise InputError("the native extension was not built from the present csrc/ and setup.py; run `make env`")
