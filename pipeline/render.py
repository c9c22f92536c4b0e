"""Stage `render`: two pictures per snapshot of one run, and an animation of all of them."""

from pipeline.extension import check_extension

from functools import partial

import numpy as np
import torch

from aae.backprop_cpu import forward
from aae.checksums import write_sums
from aae.data import load_dataset
from aae.errors import InputError
from aae.evaluation_samples import PICTURE
from aae.figures import View, animation, grid_shape, manifold, manifold_codes, manifold_reach, save_picture, scatter
from aae.models import to_inputs
from aae.ops import Stream, sample_prior
from aae.priors import NormalPrior, Prior
from aae.snapshots import listed_snapshots, load_snapshot
from pipeline.cli import run_arguments, run_stage
from pipeline.params import load_params
from pipeline.paths import DATA, FIGURES, FIGURES_SUMS, SNAPSHOTS, run_name


def main() -> None:
    params = load_params()
    recipe, seed = run_arguments(params)
    check_extension()
    run = run_name(recipe.name, seed)
    data = load_dataset(DATA, contents=("test_images", "test_labels"))
    test, labels = data.test_images, data.test_labels
    prior = recipe.prior(params.code_size, data.classes)

    models = {epoch: load_snapshot(path) for epoch, path in listed_snapshots(SNAPSHOTS / run).items()}
    images = to_inputs(test)
    codes = {
        epoch: model.pictured_codes(model.outputs(images, encoder=partial(forward, model.encoder))).double().numpy()
        for epoch, model in models.items()
    }
    try:
        view = View.of(list(codes.values()), shown(prior), data.classes)
    except InputError as error:
        raise InputError(f"{SNAPSHOTS / run}: {error}") from None
    size, reach = params.render.manifold_size, manifold_reach(params.render.manifold_range, prior)
    shape = (1, size) if view.is_line else grid_shape(size, *test.shape[1:3])
    grid = torch.from_numpy(manifold_codes(view, shape, reach)).float()

    folder = FIGURES / run
    scatters, manifolds = [], []
    files = [folder / "animation.gif"]
    for epoch, model in models.items():
        subtitle = f"{recipe.pictured.title or 'codes'} of the {len(test):,} test images"
        subtitle += ", coloured by label" if data.classes else ""
        title = f"{recipe.title} encoder"
        picture = scatter(
            codes[epoch], labels, view, class_names=data.class_names, title=title, subtitle=subtitle, epoch=epoch
        )
        scatters.append(picture)
        files.append(folder / f"scatter-{epoch:03d}.png")
        save_picture(picture, files[-1])

        decoded = forward(model.decoder, model.decoder_inputs(grid)).sigmoid().numpy()
        decoded = decoded.reshape(*shape, *data.picture_shape)
        subtitle = f"images decoded from a grid of {len(grid):,} codes"
        title = f"{recipe.title} decoder"
        picture = manifold(decoded, view, reach, title=title, subtitle=subtitle, epoch=epoch)
        manifolds.append(picture)
        files.append(folder / f"manifold-{epoch:03d}.png")
        save_picture(picture, files[-1])
    animation(scatters, manifolds, files[0])
    write_sums(FIGURES_SUMS / f"{run}.sha256", files)


def shown(prior: Prior) -> float | np.ndarray:
    """The prior for `View.of`: the standard deviation of a normal prior, or a fixed set of 4,000 samples."""
    if isinstance(prior, NormalPrior):
        return prior.std
    return sample_prior(prior, 4000, seed=0, step=PICTURE, stream=Stream.EVALUATION).double().numpy()


if __name__ == "__main__":
    run_stage(main)
