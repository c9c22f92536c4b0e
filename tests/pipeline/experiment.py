"""What the stages before `report` leave, for tests of the page: real images and networks, trained for seconds."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from aae.data import Dataset, save_dataset
from aae.idx import read_idx_folder
from aae.models import build_model, to_inputs
from aae.snapshots import save_snapshot
from pipeline.paths import (
    CODES,
    CURVES,
    DATA,
    FIGURES,
    FLOOR,
    HISTORY,
    MATCH,
    METRICS,
    SNAPSHOTS,
    SUMMARY,
    TIMING,
    TIMING_SUMMARY,
)

ROOT = Path(__file__).parents[2]
EPOCHS, SNAPSHOT_EVERY = 6, 3
MEASURES = ["sliced_wasserstein", "sliced_wasserstein_centred", "chi2_per_dof", "empty_cells", "ks_max"]
LOSSES = {"aae": ["reconstruction", "discriminator", "generator"], "vae": ["reconstruction", "kl", "loss"]}


def write_experiment(
    seeds: list[int], code_size: int = 2, width: int = 512, edits: dict[str, str] | None = None
) -> None:
    """Writes params.yaml, data and the results of all runs to the working folder.

    The encoders and decoders are trained on `EPOCHS` minibatches of MNIST's test images, so that codes and weights
    are as large as those of a training; the numbers in the tables are made up.
    """
    text = (ROOT / "params.yaml").read_text()
    changes = {
        "epochs: 100 ": f"epochs: {EPOCHS} ",
        "snapshot_every: 10 ": f"snapshot_every: {SNAPSHOT_EVERY} ",
        "seeds: [0]": f"seeds: {seeds}",
        "code_size: 2 ": f"code_size: {code_size} ",
        "manifold_size: 30 ": "manifold_size: 6 ",
    }
    for old, new in (changes | (edits or {})).items():
        assert old in text, old
        text = text.replace(old, new)
    Path("params.yaml").write_text(text)
    mnist = read_idx_folder(ROOT / "data/raw/mnist", classes=10)
    images, labels = mnist.test_images[:500], mnist.test_labels[:500]
    save_dataset(Dataset(images[:20], labels[:20], images, labels), DATA)
    for seed in seeds:
        for model in ("aae", "vae"):
            write_run(model, seed, code_size, width, images)
    floor = {name: {"mean": 0.02, "low": 0.015, "high": 0.03} for name in MEASURES}
    write_json(FLOOR, {"rows": 500, "samples": 10, "aae": floor, "vae": floor})
    match, stability, time = (
        {"verdict": verdict, "reasons": [f"why it is {verdict}: for", "<b>and why not</b>: against"]}
        for verdict in ("mixed", "not supported", "supported")
    )
    write_json(SUMMARY, {"claims": {"match": match, "stability": stability}})
    write_json(TIMING_SUMMARY, {"claims": {"time": time}})


def write_run(name: str, seed: int, code_size: int, width: int, images: np.ndarray) -> None:
    run, x = f"{name}-{seed}", to_inputs(images)
    sizes = {"pixels": x.shape[1], "code_size": code_size, "encoder_widths": [width], "decoder_widths": [width]}
    model = build_model(name, seed, **sizes | ({"discriminator_widths": [8]} if name == "aae" else {}))
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    codes = []
    for epoch in range(EPOCHS + 1):
        with torch.no_grad():
            codes.append(model.encoder(x).numpy().copy())
        if epoch % SNAPSHOT_EVERY == 0:
            save_snapshot(SNAPSHOTS / run, epoch, model)
            for kind in ("scatter", "manifold"):
                path = FIGURES / run / f"{kind}-{epoch:03d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (8, 6), epoch + 100 * (kind == "scatter")).save(path)
        for _ in range(10):
            optimiser.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(model.decode(model.encode(x)), x).backward()
            optimiser.step()
    CODES.mkdir(parents=True, exist_ok=True)
    np.save(CODES / f"{run}.npy", np.stack(codes))

    kinds = ["", "_sampled"] if name == "vae" else [""]
    rows = [{"epoch": epoch} for epoch in range(EPOCHS + 1)]
    for row in rows:
        for kind in kinds:
            row |= {f"codes{kind}.{key}": 0.1 * (j + 1) / (row["epoch"] + 1) for j, key in enumerate(MEASURES)}
    write_csv(MATCH / f"{run}.csv", rows)
    snapshots = rows[::SNAPSHOT_EVERY]
    for row in snapshots:
        row |= {f"reconstruction{kind}.nats": 150.0 - row["epoch"] for kind in kinds}
    write_csv(CURVES / f"{run}.csv", snapshots)
    metrics = {"epoch": EPOCHS}
    for kind in kinds:
        metrics[f"codes{kind}"] = {key: snapshots[-1][f"codes{kind}.{key}"] for key in MEASURES}
        metrics[f"reconstruction{kind}"] = {"nats": 144.0 + seed, "mse": 0.04}
    write_json(METRICS / f"{run}.json", metrics)
    for loss in LOSSES[name]:
        path = HISTORY / run / f"plots/metrics/{loss}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{epoch}\t{10 / epoch}" for epoch in range(1, EPOCHS + 1)]
        path.write_text("\n".join([f"step\t{loss}", *lines]) + "\n")
    timing = {"seconds": 12.5 + seed, "seconds_per_epoch": 2.0 + seed, "device": "a processor", "threads": 2}
    write_json(TIMING / f"{run}.json", timing)


def write_json(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_csv(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join(map(str, row.values())) for row in rows]
    path.write_text("\n".join([",".join(rows[0]), *lines]) + "\n")
