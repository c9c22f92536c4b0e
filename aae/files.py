"""Writing files that are complete or absent, even after a crash."""

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Writes `content` to `path`. After a crash or a power cut, the file is the old one, the new one or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    with open(unfinished, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # otherwise the new name may be lost
    finally:
        os.close(folder)
