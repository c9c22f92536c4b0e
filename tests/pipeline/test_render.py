"""Stage `render` on tiny runs."""

from pathlib import Path

from PIL import Image

from tests.pipeline.tiny_runs import EPOCHS, RUNS


def test_pictures_of_every_snapshot_and_an_animation(workspace):
    for run in RUNS:
        folder = Path("results/figures") / run
        names = {f"{kind}-{epoch:03d}.png" for kind in ("scatter", "manifold") for epoch in EPOCHS}
        assert {path.name for path in folder.iterdir()} == names | {"animation.gif"}
        sizes, plots = {}, set()
        for name in names:
            with Image.open(folder / name) as picture:
                sizes[name.partition("-")[0]] = picture.size
                plots.add(picture.convert("L").crop((60, 70, 730, 600)).tobytes())
        # Images are 5 high and 3 wide, so the height of 2 rows of 4 images is 10/12 of their width.
        assert sizes == {"scatter": (800, 784), "manifold": (800, 784 - 680 + 567)}
        assert len(plots) == len(names), "each snapshot has its own plot, not only its own heading"
        with Image.open(folder / "animation.gif") as gif:
            assert gif.n_frames == len(EPOCHS)
