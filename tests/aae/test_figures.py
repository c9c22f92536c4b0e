"""The pictures: positions, colours and axes, and that the bytes are always the same."""

import io

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image, ImageSequence

from aae.errors import InputError
from aae.figures import (
    BOTTOM,
    COLOURS,
    LEFT,
    PLOT,
    TOP,
    View,
    animation,
    grid_shape,
    label_colours,
    manifold,
    manifold_codes,
    manifold_reach,
    scatter,
)
from aae.ops import sample_prior
from aae.priors import MixturePrior, NormalPrior, SwissRollPrior, UniformPrior

HEADING = {"title": "AAE encoder", "subtitle": "codes", "epoch": 3}
RANDOM = np.random.default_rng(0)
CODES = RANDOM.standard_normal((10_000, 2))
LABELS = RANDOM.integers(0, 10, 10_000).astype(np.uint8)


def pixels(picture) -> np.ndarray:
    return np.asarray(picture.convert("RGB")).astype(int)


def plot_of(picture) -> np.ndarray:
    """The pixels [PLOT, PLOT, 3] of the square plot."""
    return pixels(picture)[TOP : TOP + PLOT, LEFT : LEFT + PLOT]


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])


def centre_of(plot: np.ndarray, colour: str, limit: float) -> np.ndarray:
    """The mean position, in axis units, of the pixels of exactly this colour."""
    rows, columns = np.nonzero((plot == rgb(colour)).all(axis=-1))
    assert len(rows), f"no pixel is {colour}"
    return np.array([(columns.mean() + 0.5) / PLOT * 2 - 1, 1 - (rows.mean() + 0.5) / PLOT * 2]) * limit


# --- the view -------------------------------------------------------------------------------------


def test_the_axes_hold_the_prior_and_the_codes():
    assert View.of([CODES], 1.0, 10).limit == 4
    assert View.of([0.01 * CODES], 2.0, 10).limit == 8
    wide = View.of([0.01 * CODES, 3 * CODES], 1.0, 10)
    inside = (np.abs(3 * CODES) <= wide.limit).all(axis=1).mean()
    assert 0.995 <= inside < 1


def test_a_wide_snapshot_leaves_the_last_one_half_of_the_axes():
    last = View.of([2 * CODES], 1.0, 10).limit
    assert View.of([50 * CODES, 2 * CODES], 1.0, 10).limit == pytest.approx(2 * last, abs=0.5)


def test_a_few_codes_far_away_do_not_matter():
    codes = CODES.copy()
    codes[:20] *= 1000
    assert View.of([codes], 1.0, 10).limit == 4


def test_codes_that_are_not_finite():
    with pytest.raises(InputError, match="not finite"):
        View.of([CODES, np.array([[np.nan, 0.0]])], 1.0, 10)


def test_the_principal_plane():
    """Five-dimensional codes that vary only in two known directions are shown in the plane of these."""
    directions = np.linalg.qr(RANDOM.standard_normal((5, 2)))[0]
    codes = CODES * [3, 1] @ directions.T + 0.01 * RANDOM.standard_normal((10_000, 5))
    view = View.of([codes], 1.0, 10)
    assert view.basis.T @ view.basis == pytest.approx(np.eye(2), abs=1e-9)
    assert np.abs(view.basis.T @ directions) == pytest.approx(np.eye(2), abs=0.02)
    assert view.basis == pytest.approx(View.of([-codes], 1.0, 10).basis, abs=1e-9), "the signs are fixed"
    grid = manifold_codes(view, (3, 3), 2.0)
    assert grid.shape == (9, 5)
    assert grid[4] == pytest.approx(np.zeros(5), abs=1e-12)
    assert np.linalg.norm(grid[0]) == pytest.approx(2 * 2**0.5)
    assert "principal" in view.note
    assert scatter(codes, LABELS, view, **HEADING).size == scatter(CODES, LABELS, VIEW, **HEADING).size


VIEW = View.of([CODES], 1.0, 10)


# --- the scatter ----------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [(-3, 2), (1, 3.5), (2.5, -1.5)])
def test_a_code_stands_at_its_place_in_its_labels_colour(place):
    around = 0.3 * np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])  # leaves the middle free for the label's digit
    codes = np.concatenate([around + np.array(place), around + np.array([0.5, 0.3])])
    plot = plot_of(scatter(np.tile(codes, (5, 1)), np.tile([1] * 4 + [4] * 4, 5), VIEW, **HEADING))
    assert centre_of(plot, COLOURS[1], VIEW.limit) == pytest.approx(place, abs=0.05)
    assert centre_of(plot, COLOURS[4], VIEW.limit) == pytest.approx((0.5, 0.3), abs=0.05)


def test_the_colour_bar_has_every_label_from_the_bottom_up():
    bar = pixels(scatter(CODES, LABELS, VIEW, **HEADING))[TOP : TOP + PLOT, LEFT + PLOT + 24]
    for label, colour in enumerate(COLOURS):
        assert (bar[round(PLOT * (1 - (label + 0.5) / 10))] == rgb(colour)).all()


def test_codes_outside_are_counted():
    """The note is in the lower right corner, and appears only if codes are outside."""
    corner = (slice(PLOT - 30, PLOT - 3), slice(PLOT // 2, PLOT - 5))
    inside, outside = np.full((5, 2), 0.5), np.full((5, 2), 4.5)
    assert plot_of(scatter(inside, LABELS[:5], VIEW, **HEADING))[corner].min() == 255
    assert plot_of(scatter(outside, LABELS[:5], VIEW, **HEADING))[corner].min() < 100


def test_codes_of_one_dimension_stand_in_strips():
    codes = np.array([[-2.0]] * 40 + [[1.5]] * 40)
    labels = np.array([0] * 40 + [9] * 40)
    view = View.of([codes], 1.0, 10)
    plot = plot_of(scatter(codes, labels, view, **HEADING))
    for label, across in ((0, -2), (9, 1.5)):
        x, y = centre_of(plot, COLOURS[label], 1)
        assert x * view.limit == pytest.approx(across, abs=0.05)
        assert (1 - y) / 2 * 10 == pytest.approx(label + 0.5, abs=0.1)


@pytest.mark.parametrize("classes", [1, 3, 47, 256])
def test_any_number_of_labels(classes):
    labels = np.arange(10_000) % classes
    view = View.of([CODES], 1.0, classes)
    picture = scatter(CODES, labels, view, **HEADING)
    assert picture.size[0] > PLOT
    plot = plot_of(picture).astype(int)
    assert (plot.max(axis=-1) - plot.min(axis=-1)).max() > 50, "there are colours"
    assert len(np.unique(label_colours(classes), axis=0)) == classes


def test_codes_without_labels():
    """All codes have one colour, and there is neither a legend nor a name."""
    for codes in (CODES, CODES[:, :1]):
        picture = scatter(codes, None, View.of([codes], 1.0, 0), **HEADING)
        plot = plot_of(picture)
        assert len(plot[(plot == rgb(COLOURS[0])).all(axis=-1)]) > 1000
        for colour in COLOURS[1:]:
            assert not (plot == rgb(colour)).all(axis=-1).any()
        assert (pixels(picture)[TOP:, LEFT + PLOT + 40 :] == 255).all()


@pytest.mark.parametrize("code_size", [1, 2])
def test_class_names_stand_beside_the_plot(code_size):
    """Short names appear whole. Their text is not interpreted as a formula or markup."""
    codes, labels = CODES[:90, :code_size], np.arange(90) % 3
    view = View.of([codes], 1.0, 3)

    def draw(*names: str) -> Image.Image:
        return scatter(codes, labels, view, class_names=names, **HEADING)

    short, long, longer = draw("0", "1", "2"), draw("cat", "a dog or so", "ant"), draw("cat", "d" * 21, "ant")
    assert pixels(short).shape == pixels(scatter(codes, labels, view, **HEADING)).shape
    assert short.width < long.width < longer.width
    assert longer.width == draw("cat", "d" * 250, "ant").width
    for picture in (short, long, longer):
        assert (pixels(picture)[:, -4:] == 255).all(), "nothing is clipped"
        assert (pixels(picture)[TOP:-BOTTOM, LEFT + PLOT + 4 :] < 128).any()
    formula = draw(r"$\frac{1}{2}$", "$", "<b>|")
    assert formula.width > draw("ab", "$", "<b>|").width


def test_no_label_is_drawn_above_all_others():
    """Even if images are sorted by label: where two labels overlap, each has half of the visible points."""
    codes, labels = np.zeros((2000, 2)), np.arange(2000) // 1000
    codes += np.random.default_rng(0).uniform(-0.3, 0.3, codes.shape)
    plot = plot_of(scatter(codes, labels, View.of([codes], 1.0, 2), **HEADING))[290:390, 290:390]
    first, second = ((abs(plot - rgb(colour)).sum(axis=-1) < 80).sum() for colour in COLOURS[:2])
    assert 0.5 < first / second < 2


# Machado, Oliveira & Fernandes, IEEE TVCG 15(6), 2009, severity 1, for linear RGB.
BLIND = {
    "none": np.eye(3),
    "red": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "green": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "blue": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def oklab(linear: np.ndarray) -> np.ndarray:
    """Ottosson's perceptual colour space, from linear RGB [n, 3]."""
    cones = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    opponents = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    return np.cbrt(linear @ np.transpose(cones)) @ np.transpose(opponents)


@pytest.mark.parametrize("blind", BLIND)
@pytest.mark.parametrize("dark", [False, True])
def test_ten_labels_can_be_told_apart_by_colour_blind_readers(dark, blind):
    colours = label_colours(10, dark)
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    seen = oklab(np.clip(linear @ np.transpose(BLIND[blind]), 0, 1))
    distances = np.linalg.norm(seen[:, None] - seen, axis=-1)[np.triu_indices(10, 1)]
    assert distances.min() > 0.11


# --- the manifold ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prior", "reach"),
    [
        (NormalPrior(2), 3.0),
        (NormalPrior(5, 2.0), 6.0),
        (UniformPrior(2, 1.0), 1.0),
        (UniformPrior(1, 0.5), 0.5),
        (MixturePrior(radius=1.4, radial_std=0.5), 2.4),
        (SwissRollPrior(radius=3.0), 3.0),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_the_manifold_covers_the_priors_bulk(prior, reach):
    """It covers nearly all samples on each axis, and nothing far outside. A number sets the range."""
    assert manifold_reach("auto", prior) == pytest.approx(reach)
    assert manifold_reach(1.25, prior) == 1.25
    sample = sample_prior(prior, 2000, seed=0, step=0).numpy()
    assert 0.95 < (np.abs(sample) <= 1.0001 * reach).mean() <= 1
    assert np.abs(sample).max() > 0.8 * reach


def test_the_manifold_starts_at_the_upper_left():
    codes = manifold_codes(VIEW, (30, 30), 3.0)
    assert codes.shape == (900, 2)
    assert codes[0] == pytest.approx([-3, 3])
    assert codes[29] == pytest.approx([3, 3])
    assert codes[-1] == pytest.approx([3, -3])


def test_an_image_stands_at_its_code():
    """Of 5 x 5 images, only the one at (-1.5, 3) is dark: the second in the first row."""
    codes = manifold_codes(VIEW, (5, 5), 3.0)
    images = np.zeros((25, 4, 4))
    images[np.flatnonzero((codes == [-1.5, 3]).all(axis=1))] = 1
    picture = manifold(images.reshape(5, 5, 4, 4), VIEW, 3.0, **HEADING)
    plot = plot_of(picture)[2:-2, 2:-2]
    edge = 3.0 * 5 / 4
    assert centre_of(plot, "#000000", edge) == pytest.approx([-1.5, 3], abs=0.05)
    assert (plot == 0).all(axis=-1).mean() == pytest.approx(1 / 25, rel=0.05)
    below = np.flatnonzero(pixels(picture)[TOP + PLOT + 2, LEFT : LEFT + PLOT, 0] < 200)
    ticks = np.array([-3, -2, -1, 0, 1, 2, 3]) / edge
    assert below == pytest.approx((ticks + 1) / 2 * PLOT, abs=1.5), "the ticks are in units of the code"


@pytest.mark.parametrize(
    ("size", "image", "grid"),
    [(30, (28, 28), (30, 30)), (30, (12, 20), (30, 18)), (30, (20, 12), (18, 30)), (4, (1, 90), (4, 2))],
)
def test_a_manifold_has_as_many_images_as_make_it_square(size, image, grid):
    assert grid_shape(size, *image) == grid


@pytest.mark.parametrize("shape", [(2, 7), (28, 28), (1, 1), (12, 20), (20, 12)])
def test_images_keep_their_proportions(shape):
    """Only the image in the middle row and column is dark. Its drawn shape has the proportions of its pixels."""
    rows, columns = grid_shape(9, *shape)
    images = np.zeros((rows, columns, *shape))
    images[rows // 2, columns // 2] = 1
    plot = pixels(manifold(images, VIEW, 3.0, **HEADING))[TOP:-BOTTOM, LEFT : LEFT + PLOT]
    dark = (plot < 30).all(axis=-1)[3:-3, 3:-3]
    height, width = (np.ptp(places) + 1 for places in np.nonzero(dark))
    assert dark.sum() == height * width
    assert width / height == pytest.approx(shape[1] / shape[0], rel=0.05)


def test_a_manifold_in_colour():
    """An image keeps its colours exactly in the picture and nearly in the animation."""
    images = np.zeros((3, 3, 4, 4, 3))
    images[1, 0], images[1, 2] = (1, 0.2, 0), (0.2, 0.6, 1)
    picture = manifold(images, VIEW, 3.0, **HEADING)
    plot = plot_of(picture)
    assert plot[PLOT // 2, PLOT // 6].tolist() == [255, 51, 0]
    assert plot[PLOT // 2, PLOT * 5 // 6].tolist() == [51, 153, 255]
    assert plot[PLOT // 2, PLOT // 2].tolist() == [0, 0, 0]


def test_the_manifold_of_one_dimension_is_a_row():
    view = View.of([CODES[:, :1]], 1.0, 10)
    assert manifold_codes(view, (1, 4), 3.0).tolist() == [[-3], [-1], [1], [3]]
    images = np.zeros((1, 4, 6, 3))
    images[0, 3] = 1
    picture = manifold(images, view, 3.0, **HEADING)
    height = picture.height - TOP - BOTTOM
    assert height == PLOT / 4 * 2
    row = pixels(picture)[TOP + height // 2, LEFT : LEFT + PLOT]
    assert row[PLOT * 3 // 4 + 5 : -5].max() < 20
    assert row[5 : PLOT * 3 // 4 - 5].min() > 235


# --- the files ------------------------------------------------------------------------------------


def file_of(picture) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def test_the_same_bytes_whatever_matplotlib_is_set_to():
    images = RANDOM.random((5, 5, 4, 4))

    def draw() -> list[bytes]:
        pictures = scatter(CODES, LABELS, VIEW, **HEADING), manifold(images, VIEW, 3.0, **HEADING)
        return [file_of(picture) for picture in pictures]

    files = draw()
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "pink", "savefig.dpi": 10, "image.cmap": "hot"}):
        assert draw() == files
    assert all(b"tEXt" not in file and b"tIME" not in file for file in files)


def test_the_files_are_modest():
    smooth = np.sin(np.linspace(0, 900, 900 * 28 * 28)).reshape(30, 30, 28, 28) ** 2
    assert len(file_of(scatter(CODES, LABELS, VIEW, **HEADING))) < 120_000
    assert len(file_of(manifold(smooth, VIEW, 3.0, **HEADING))) < 150_000


def test_an_animation_in_colour(tmp_path):
    images = np.zeros((3, 3, 2, 2, 3))
    images[:] = (1, 0.2, 0)
    picture = manifold(images, VIEW, 3.0, **HEADING)
    animation([scatter(CODES, LABELS, VIEW, **HEADING)] * 2, [picture] * 2, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        frame = pixels(gif)
    assert frame[frame.shape[0] // 2, round(frame.shape[1] * 0.7)] == pytest.approx([255, 51, 0], abs=8)
    left = frame[:, : frame.shape[1] // 2].reshape(-1, 3)
    for colour in COLOURS:
        assert abs(left - rgb(colour)).sum(axis=1).min() < 60, "the labels keep their colours"


def test_the_animation(tmp_path):
    scatters, manifolds = [], []
    for epoch in range(3):
        heading = HEADING | {"epoch": 10 * epoch}
        scatters.append(scatter(CODES[: 100 * (epoch + 1)], LABELS[: 100 * (epoch + 1)], VIEW, **heading))
        manifolds.append(manifold(np.full((3, 3, 2, 2), epoch / 2), VIEW, 3.0, **heading))
    for name in ("a.gif", "b.gif"):
        animation(scatters, manifolds, tmp_path / name)
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()

    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.info["loop"] == 0
        frames = [(frame.info["duration"], pixels(frame)) for frame in ImageSequence.Iterator(gif)]
    assert len(frames) == 3
    durations = [duration for duration, _ in frames]
    assert durations[-1] > 3 * durations[0], "it pauses at the last epoch"
    for epoch, (_, frame) in enumerate(frames):
        height, width, _ = frame.shape
        assert width > 1.9 * height, "the two pictures are side by side"
        grey = frame[height // 2, round(width * 0.7)]
        assert grey == pytest.approx(255 - 255 * epoch / 2, abs=10), "the manifold is on the right"


@pytest.mark.parametrize("dark", [False, True])
def test_every_label_is_lighter_or_darker_than_the_ground(dark):
    """Measured as WCAG 2.1's contrast ratio, against white and against the page's dark #1b1b1b."""
    colours = label_colours(10, dark)
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    ground = 0.0109 if dark else 1.0
    contrast = (np.maximum(luminance, ground) + 0.05) / (np.minimum(luminance, ground) + 0.05)
    assert contrast.min() > (3 if dark else 1.5)
