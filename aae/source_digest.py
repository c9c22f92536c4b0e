"""A digest of the native extension's sources. setup.py embeds it in the build, and the pipeline compares it."""

import hashlib
from pathlib import Path


def source_digest(root: Path) -> str:
    """SHA-256 over the names and contents of setup.py and the sources in csrc/, as 64 hex digits."""
    sources = [path for path in (root / "csrc").rglob("*") if path.suffix in {".h", ".cpp", ".cu"}]
    digest = hashlib.sha256()
    for path in sorted([root / "setup.py", *sources], key=lambda path: path.relative_to(root).as_posix()):
        name, content = path.relative_to(root).as_posix().encode(), path.read_bytes()
        digest.update(b"%d %s %d\n" % (len(name), name, len(content)))
        digest.update(content)
    return digest.hexdigest()
