"""Stage `render`: every snapshot of one run in two pictures, and an animation of them all."""

import torch

from aae.data import load_dataset
from aae.errors import InputError
from aae.figures import View, animation, manifold, manifold_codes, scatter
from aae.models import VAE
from aae.snapshots import list_snapshots, load_snapshot
from pipeline.cli import run_arguments, run_stage
from pipeline.params import load_params, normal_std
from pipeline.paths import DATA, FIGURES, SNAPSHOTS, run_name


def main() -> None:
    name, seed = run_arguments()
    params = load_params()
    std = normal_std(params)
    run = run_name(name, seed)
    snapshots = list_snapshots(SNAPSHOTS / run)
    data = load_dataset(DATA)
    test, labels = data.test_images, data.test_labels
    images = torch.from_numpy(test.reshape(len(test), -1).astype("float32") / 255)
    classes = int(max(data.train_labels.max(), labels.max())) + 1

    codes = {epoch: load_snapshot(path).encode(images).double().numpy() for epoch, path in snapshots.items()}
    try:
        view = View.of(list(codes.values()), std, classes)
    except InputError as error:
        raise InputError(f"{SNAPSHOTS / run}: {error}") from None
    size, reach = params.render.manifold_size, params.render.manifold_range
    grid = torch.from_numpy(manifold_codes(view, size, reach)).float()

    folder = FIGURES / run
    folder.mkdir(parents=True, exist_ok=True)
    scatters, manifolds = [], []
    for epoch, path in snapshots.items():
        model = load_snapshot(path)
        encoded = "means of q(z|x)" if isinstance(model, VAE) else "codes"
        subtitle = f"{encoded} of the {len(test):,} test images, coloured by label"
        heading = {"title": f"{name.upper()} encoder", "subtitle": subtitle, "epoch": epoch}
        scatters.append(scatter(codes[epoch], labels, view, **heading))
        scatters[-1].save(folder / f"scatter-{epoch:03d}.png")

        decoded = model.decode(grid).sigmoid().numpy().reshape(-1, *test.shape[1:])
        subtitle = f"images decoded from a grid of {len(grid):,} codes"
        heading = {"title": f"{name.upper()} decoder", "subtitle": subtitle, "epoch": epoch}
        manifolds.append(manifold(decoded, view, reach, **heading))
        manifolds[-1].save(folder / f"manifold-{epoch:03d}.png")
    animation(scatters, manifolds, folder / "animation.gif")


if __name__ == "__main__":
    run_stage(main)
