"""Stage `render` on tiny runs."""

from pathlib import Path

from PIL import Image

from tests.pipeline.tiny_runs import EPOCHS, RUNS


def test_pictures_of_every_snapshot_and_an_animation(workspace):
    for run in RUNS:
        folder = Path("results/figures") / run
        names = {f"{kind}-{epoch:03d}.png" for kind in ("scatter", "manifold") for epoch in EPOCHS}
        assert {path.name for path in folder.iterdir()} == names | {"animation.gif"}
        sizes = {Image.open(folder / name).size for name in names}
        assert sizes == {(800, 784)}
        plots = {Image.open(folder / name).convert("L").crop((60, 70, 730, 730)).tobytes() for name in names}
        assert len(plots) == len(names), "each snapshot's own, not only its heading"
        with Image.open(folder / "animation.gif") as gif:
            assert gif.n_frames == len(EPOCHS)
