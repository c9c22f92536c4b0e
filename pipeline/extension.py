"""Whether the native extension is there and was built from this checkout's sources.

Experiments run in checkouts of their own and share one build, so what counts is the content of the sources
and not their dates. setup.py embeds the same digest that this module compares with.
"""

import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def source_digest(root: Path = ROOT) -> str:
    """SHA-256 over the names and contents of setup.py and the sources in csrc/, as 64 hex digits."""
    sources = [path for path in (root / "csrc").rglob("*") if path.suffix in {".h", ".cpp", ".cu"}]
    digest = hashlib.sha256()
    for path in sorted([root / "setup.py", *sources], key=lambda path: path.relative_to(root).as_posix()):
        name, content = path.relative_to(root).as_posix().encode(), path.read_bytes()
        digest.update(b"%d %s %d\n" % (len(name), name, len(content)))
        digest.update(content)
    return digest.hexdigest()


def check_extension(root: Path = ROOT) -> None:
    """Raises `aae.errors.InputError` where `aae_native` is missing or was not built from `root`'s sources."""
    from aae.errors import InputError

    try:
        import aae_native
    except ImportError as error:
        raise InputError(f"the native extension cannot be imported ({error}); run `make env`") from error
    if aae_native.build_info()["source_digest"] != source_digest(root):
        raise InputError("the native extension was built from other sources than csrc/ and setup.py; run `make env`")
