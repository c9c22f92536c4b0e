"""`make release`: packs the last snapshots into one archive for publication.

`dist/aae-weights-<commit>.tar.gz` holds a folder with the same name. It contains one folder per run with its last
snapshot and its `config.json`, `params.yaml`, `results/scores.json`, and `SHA256SUMS`, which `sha256sum -c` checks. The
same weights and commit give the same bytes.
"""

import gzip
import hashlib
import io
import tarfile

from aae.checksums import LIST, Sums, line_of
from aae.files import write_whole
from aae.snapshots import listed_snapshots
from pipeline.cli import run_stage
from pipeline.params import load_params
from pipeline.paths import DIST, PARAMS, SCORES, SNAPSHOTS, run_name
from pipeline.report import commit
from pipeline.tables import read


def main() -> None:
    params = load_params()
    files = {PARAMS.name: read(PARAMS), SCORES.name: read(SCORES)}
    for run in (run_name(model, seed) for model in params.models for seed in params.seeds):
        snapshots, sums = listed_snapshots(SNAPSHOTS / run), Sums(SNAPSHOTS / run / LIST)
        last = snapshots[max(snapshots)]
        for path in (last, last.with_name("config.json")):
            files[f"{run}/{path.name}"] = sums.read(path)
    lines = [line_of(hashlib.sha256(content).hexdigest(), name) for name, content in sorted(files.items())]
    files[LIST] = b"".join(lines)
    name = f"aae-weights-{commit().replace(' ', '-')}"
    archive = DIST / f"{name}.tar.gz"
    write_whole(archive, packed(name, files))
    print(f"{archive}: {len(files)} files, {archive.stat().st_size / 1e6:.1f} MB")


def packed(folder: str, files: dict[str, bytes]) -> bytes:
    """A .tar.gz of `files`, sorted by name, without times and owners."""
    content = io.BytesIO()
    with gzip.GzipFile(fileobj=content, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for name, each in sorted(files.items()):
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size = len(each)
            tar.addfile(entry, io.BytesIO(each))
    return content.getvalue()


if __name__ == "__main__":
    run_stage(main)
