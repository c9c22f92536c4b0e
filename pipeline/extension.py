"""Whether the native extension is there and was built from this checkout's sources.

Experiments run in checkouts of their own and share one build, so what counts is the content of the sources
and not their dates. setup.py embeds the same digest that this module compares with.
"""

from pathlib import Path

from aae.source_digest import source_digest

ROOT = Path(__file__).resolve().parents[1]


def check_extension(root: Path = ROOT) -> None:
    """Raises `aae.errors.InputError` where `aae_native` is missing or was not built from `root`'s sources."""
    from aae.errors import InputError

    try:
        import aae_native
    except ImportError as error:
        raise InputError(f"the native extension cannot be imported ({error}); run `make env`") from error
    if aae_native.build_info()["source_digest"] != source_digest(root):
        raise InputError("the native extension was built from other sources than csrc/ and setup.py; run `make env`")
