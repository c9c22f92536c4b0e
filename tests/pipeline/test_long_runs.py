"""The cost of an epoch does not depend on the number of epochs before it, and results have the same bytes."""

import gc
import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from pipeline import device, resume, train
from tests.pipeline.tiny_runs import in_process, load, load_rows, write_inputs


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="this system does not count written bytes")
@pytest.mark.parametrize("epochs", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_a_long_training(tmp_path, monkeypatch, epochs):
    """Epochs of one iteration, with a checkpoint every 100 epochs."""
    monkeypatch.chdir(tmp_path)
    write_inputs(
        models=("aae",),
        changes={"batch_size: 128 ": "batch_size: 20 ", "epochs: 100 ": f"epochs: {epochs} "}
        | {"snapshot_every: 10 ": "snapshot_every: 100 "},
    )
    Path("data/raw/mnist").mkdir(parents=True)
    save, sizes, written, memory = resume.save_checkpoint, [], [], []

    def measured_save(folder, checkpoint):
        save(folder, checkpoint)
        sizes.append(max(folder.glob("*.safetensors")).stat().st_size)
        written.append(int(Path("/proc/self/io").read_text().split()[3]))
        gc.collect()
        memory.append(tracemalloc.get_traced_memory()[0])

    monkeypatch.setattr(resume, "save_checkpoint", measured_save)
    in_process(device)
    tracemalloc.start()
    try:
        in_process(train)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(sizes) == epochs // 100
    assert max(sizes) - min(sizes) < 100, "a few digits"
    of_hundred_epochs = np.diff(written)
    assert of_hundred_epochs.max() - of_hundred_epochs.min() < 10_000, "digits, and progress bars"
    assert max(memory) - memory[1] < 100_000, "less than a float for each of 10,000 epochs"
    codes = Path("results/codes/aae-0.npy")
    # A file is hashed in parts of 256 KiB. For the median, a float for each epoch is in memory.
    assert most - memory[1] < 200_000 + 2**18 + 40 * epochs

    array, expected = np.load(codes), io.BytesIO()
    assert (array.shape, array.dtype) == ((epochs + 1, 40, 2), np.float32)
    np.save(expected, array)
    assert codes.read_bytes() == expected.getvalue()
    assert np.isfinite(array).all()
    assert len(np.unique(array[:, 0, 0])) > 0.9 * epochs, "every epoch has its own"
    rows = load_rows("results/history/aae-0/plots/metrics/generator.tsv", "\t")
    assert [row["step"] for row in rows] == list(range(1, epochs + 1))
    assert load("results/timing/aae-0.json")["seconds"] > 0
