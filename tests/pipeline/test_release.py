"""The archive of weights."""

import hashlib
import tarfile
from pathlib import Path

from pipeline import release
from tests.pipeline.tiny_runs import RUNS, failure, run_stages


def test_the_archive_has_the_last_snapshots_and_their_checksums(workspace, capsys):
    run_stages(release)
    archive = Path("dist/aae-weights-unknown.tar.gz")
    first = archive.read_bytes()
    assert capsys.readouterr().out.startswith(f"{archive}: 7 files, ")
    with tarfile.open(archive) as tar:
        found = {entry.name: tar.extractfile(entry).read() for entry in tar}
    top = "aae-weights-unknown"
    snapshots = {f"{run}/{name}" for run in RUNS for name in ("004.safetensors", "config.json")}
    names = {"params.yaml", "scores.json", "SHA256SUMS", *snapshots}
    assert set(found) == {f"{top}/{name}" for name in names}
    for name in snapshots:
        assert found[f"{top}/{name}"] == Path(f"results/snapshots/{name}").read_bytes()
    for line in found[f"{top}/SHA256SUMS"].decode().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256(found[f"{top}/{name}"]).hexdigest() == digest
        names.remove(name)
    assert names == {"SHA256SUMS"}

    archive.unlink()
    run_stages(release)
    assert archive.read_bytes() == first
    archive.unlink()


def test_without_results_it_says_what_is_missing(fresh):
    assert failure(release) == (
        "error: results/scores.json: cannot be read (No such file or directory); `dvc repro summarize` makes it again"
    )
    assert not Path("dist").exists()
