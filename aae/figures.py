"""The pictures of a run: the encoder's codes as a scatter, the decoder's images as a manifold, an animation.

All pictures of a run share one `View`, so that they can be compared by eye. Two-dimensional codes are shown as they
are, one-dimensional codes in one strip per label. Longer codes are projected onto a plane through the prior's mean,
spanned by the first two principal components of the last snapshot's codes. A normal prior looks the same in every such
plane and is drawn as circles at its standard deviations. Any other prior is drawn as samples.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from matplotlib.style import context
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator
from PIL import Image

from aae.errors import InputError
from aae.files import write_whole
from aae.priors import Prior

DPI = 100
PLOT, LEFT, RIGHT, TOP, BOTTOM = 680, 52, 68, 58, 46  # pixels: side of the square plot, and its margins
LEGEND, LEGEND_FONT = 50, 10  # pixels right of the plot without the labels' names, and the names' size in points
LINE_HEIGHT = 14  # pixels of text
LONGEST_NAME = 20  # characters of a label's name
TICKS = 8  # at most so many steps on the manifold's axes, so that their numbers have few digits
LABEL_PAD = -2  # points between an axis's numbers and its name; negative, so that both fit the margin
ANIMATION_SCALE = 0.7
INK, FAINT, LINE = "#222222", "#666666", "#aaaaaa"
WHITE = 15  # in every palette
HALO = [withStroke(linewidth=2.5, foreground="white")]
# Ten colours that stay apart for normal, red-, green- and blue-blind eyes: the nearest two differ by 0.13 in
# Oklab in the simulation of Machado et al. (IEEE TVCG 15(6), 2009), where tab10 comes down to 0.01.
COLOURS = [
    *("#2664ca", "#e28a18", "#861614", "#28bb95", "#63287d"),
    *("#a486fe", "#85647e", "#e5ce2b", "#c93d0e", "#8fd4fa"),
]
# The same for a dark background: none of them is dark.
DARK_COLOURS = [
    *("#46d1fd", "#e47902", "#ad8698", "#b2c099", "#bafdff"),
    *("#8f5582", "#6957d2", "#f9e766", "#c23602", "#4f99f4"),
]
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": FAINT,
    "axes.linewidth": 0.8,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": FAINT,
    "ytick.labelcolor": FAINT,
}


@dataclass(frozen=True)
class View:
    """What all pictures of a run share."""

    basis: np.ndarray  # [code_size, 1 or 2], orthonormal columns: the pictures' axes
    limit: float  # the scatter spans [-limit, limit]
    prior: float | np.ndarray  # a normal prior's standard deviation, or another's samples [m, 1 or 2] on these axes
    classes: int  # the number of labels, 0 without any

    @classmethod
    def of(cls, codes: Sequence[np.ndarray], prior: float | np.ndarray, classes: int) -> "View":
        """The view for the `codes` [n, code_size] of a run's snapshots, in order of epoch.

        `prior` is the standard deviation of a normal prior, or samples [m, code_size] of another. The scatter spans at
        least four standard deviations, or 1.25 times the samples' extent. It also spans 99.5 % of each snapshot's
        codes, unless the last snapshot's codes would then fill less than half of the width. Raises InputError for codes
        that are NaN or infinite.
        """
        if not all(np.isfinite(z).all() for z in codes):
            raise InputError("some codes are not finite: the training diverged")
        basis = principal_axes(codes[-1])
        extents = [np.quantile(np.abs(z @ basis).max(axis=1), 0.995) for z in codes]
        if isinstance(prior, np.ndarray):
            prior = prior @ basis
            unit = 1.25 / 4 * float(np.abs(prior).max())
        else:
            unit = prior
        limit = max(4 * unit, min(max(extents), 2 * extents[-1]))
        return cls(basis, float(np.ceil(2 * limit / unit) / 2 * unit), prior, classes)

    @property
    def is_line(self) -> bool:
        return self.basis.shape[1] == 1

    @property
    def names(self) -> list[str]:
        """The axes' names."""
        if len(self.basis) <= 2:
            return [f"$z_{j}$" for j in range(len(self.basis))]
        return ["first principal component", "second principal component"]

    @property
    def note(self) -> str:
        """A note for the end of the subtitle if the axes are not the code's own."""
        return "" if len(self.basis) <= 2 else ", in the plane of the principal components"

    @property
    def prior_note(self) -> str:
        """A note for the end of the subtitle if the prior is drawn as samples."""
        return ", prior in grey" if isinstance(self.prior, np.ndarray) else ""


def principal_axes(codes: np.ndarray) -> np.ndarray:
    """[code_size, 2]: the first two principal components of `codes`; codes of one or two dimensions keep their axes."""
    if codes.shape[1] <= 2:
        return np.eye(codes.shape[1])
    vectors = np.linalg.eigh(np.cov(codes, rowvar=False)).eigenvectors[:, :-3:-1]
    # An eigenvector's sign is arbitrary. Fixing it keeps another LAPACK from mirroring the pictures.
    return vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), [0, 1]])


def manifold_reach(setting: float | Literal["auto"], prior: Prior) -> float:
    """How far a manifold reaches from the origin along each axis, in units of the code.

    This is `setting`, or for "auto" the extent of the prior's outline: three standard deviations of a normal prior, the
    support of a uniform one.
    """
    if setting == "auto":
        return max(float(np.abs(points).max()) for _, points in prior.outline())
    return setting


def grid_shape(size: int, height: int, width: int) -> tuple[int, int]:
    """(rows, columns) of a nearly square picture of images of `height` x `width` pixels.

    The images keep their proportions, so a side has `size` images or fewer, but at least two.
    """
    longer = max(height, width)
    return max(2, round(size * width / longer)), max(2, round(size * height / longer))


def manifold_codes(view: View, shape: tuple[int, int], reach: float) -> np.ndarray:
    """Codes [rows * columns, code_size] on a grid over [-reach, reach]² of the view, row by row from its upper left.

    For codes of one dimension there is one row, and the codes are [columns, 1].
    """
    rows, columns = shape
    across = np.linspace(-reach, reach, columns)
    if view.is_line:
        return across[:, None]
    up, across = np.meshgrid(np.linspace(-reach, reach, rows)[::-1], across, indexing="ij")
    return np.stack([across.ravel(), up.ravel()], axis=1) @ view.basis.T


@context(["default", STYLE])
def scatter(
    codes: np.ndarray,
    labels: np.ndarray | None,
    view: View,
    *,
    class_names: Sequence[str] | None = None,
    title: str,
    subtitle: str,
    epoch: int,
) -> Image.Image:
    """The `codes` [n, code_size] in the colours of their `labels` [n], and the prior.

    Without labels, all codes have one colour. `class_names` are the labels' names, by default their numbers.
    """
    names = [shortened(name) for name in class_names or map(str, range(view.classes))]
    right = max(RIGHT, LEGEND + max(map(text_width, names), default=0))
    figure, axes = new_plot(title, subtitle + view.prior_note + view.note, epoch, right=right)
    points = codes @ view.basis
    outside = int((np.abs(points) > view.limit).any(axis=1).sum())
    rows = np.zeros(len(codes), int) if labels is None else np.asarray(labels)
    if view.is_line:
        points = np.column_stack([points, rows + strip_offsets(len(rows))])
        draw_strips(axes, view, names)
    else:
        draw_plane(axes, view)
        if labels is not None:
            draw_colour_bar(figure, names)
            draw_label_centres(axes, points, labels, names, pixel=2 * view.limit / PLOT)
    axes.set(xlim=(-view.limit, view.limit), xlabel=view.names[0])
    # Images may be sorted by label; a random order keeps one label from being drawn on top of another.
    order = np.random.default_rng(0).permutation(len(points))
    colours = label_colours(max(view.classes, 1))
    across, up = points[order].T
    axes.scatter(across, up, c=colours[rows[order]], s=5, alpha=0.8, linewidths=0)
    if outside:
        note = f"{outside:,} of {len(codes):,} codes lie outside"
        axes.text(0.985, 0.015, note, ha="right", transform=axes.transAxes, path_effects=HALO)
    return to_image(figure, colours)


@context(["default", STYLE])
def manifold(images: np.ndarray, view: View, reach: float, *, title: str, subtitle: str, epoch: int) -> Image.Image:
    """The decoded `images` in [0, 1] of `manifold_codes`, each at its code.

    They are [rows, columns, height, width], drawn black on white, or in colour [rows, columns, height, width, 3]. The
    images' proportions determine the height of the plot.
    """
    rows, columns, height, width, *channels = images.shape
    sheet = images.swapaxes(1, 2).reshape(rows * height, columns * width, *channels)
    plot_height = min(round(PLOT * sheet.shape[0] / sheet.shape[1]), 2 * PLOT)
    figure, axes = new_plot(title, subtitle + view.note, epoch, plot_height)
    # The outermost images have their centres at the reach.
    across, up = (reach * count / max(count - 1, 1) for count in (columns, rows))
    axes.imshow(sheet, cmap="gray_r", vmin=0, vmax=1, extent=(-across, across, -up, up), aspect="auto")
    axes.xaxis.set_major_locator(MaxNLocator(TICKS, steps=[1, 2, 5, 10]))
    axes.set_xlabel(view.names[0])
    if view.is_line:
        axes.set_yticks([])
    else:
        axes.yaxis.set_major_locator(MaxNLocator(TICKS, steps=[1, 2, 5, 10]))
        axes.set_ylabel(view.names[1], labelpad=LABEL_PAD)
    return to_image(figure, None if channels else np.empty((0, 3)))


def animation(scatters: Sequence[Image.Image], manifolds: Sequence[Image.Image], path: Path) -> None:
    """Writes a GIF of the two series of pictures side by side, one frame per epoch; the last frame stays longer."""
    frames = [beside(scaled(left), scaled(right)) for left, right in zip(scatters, manifolds, strict=True)]
    durations = [700] * (len(frames) - 1) + [3500]  # ms
    content = io.BytesIO()
    frames[0].save(content, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    write_whole(path, content.getvalue())


def save_picture(picture: Image.Image, path: Path) -> None:
    """Writes a picture as PNG."""
    content = io.BytesIO()
    picture.save(content, "PNG")
    write_whole(path, content.getvalue())


# --- parts of a plot ------------------------------------------------------------------------------


def new_plot(title: str, subtitle: str, epoch: int, height: int = PLOT, right: int = RIGHT) -> tuple[Figure, Axes]:
    """A figure with a heading and axes of PLOT x `height` pixels, and a margin of `right` pixels."""
    across, up = LEFT + PLOT + right, BOTTOM + height + TOP
    figure = Figure(figsize=(across / DPI, up / DPI), dpi=DPI)
    top = BOTTOM + height
    figure.text(LEFT / across, (top + 34) / up, title, fontsize=12, fontweight="bold")
    figure.text((LEFT + PLOT) / across, (top + 34) / up, f"epoch {epoch}", fontsize=12, ha="right")
    figure.text(LEFT / across, (top + 13) / up, subtitle, color=FAINT)
    return figure, pixel_axes(figure, LEFT, BOTTOM, PLOT, height)


def pixel_axes(figure: Figure, left: int, bottom: int, width: int, height: int) -> Axes:
    """Axes at a rectangle in pixels from the figure's lower left corner."""
    across, up = figure.get_size_inches() * DPI
    return figure.add_axes((left / across, bottom / up, width / across, height / up))


def draw_plane(axes: Axes, view: View) -> None:
    """The prior's 1, 2 and 3 standard deviations around its mean, or its samples."""
    axes.set(ylim=(-view.limit, view.limit))
    axes.set_ylabel(view.names[1], labelpad=LABEL_PAD)
    if isinstance(view.prior, np.ndarray):
        axes.scatter(view.prior[:, 0], view.prior[:, 1], color=LINE, s=5, linewidths=0)
        return
    for k in (1, 2, 3):
        radius = k * view.prior
        axes.add_patch(Circle((0, 0), radius, fill=False, color=INK, alpha=0.45, linewidth=0.8, zorder=2))
        axes.text(0, radius, rf"{k}$\sigma$", fontsize=8, ha="center", va="center", path_effects=HALO)


def draw_strips(axes: Axes, view: View, names: Sequence[str]) -> None:
    """One strip per label, with lines at the prior's standard deviations, or over the range of its samples."""
    axes.set(ylim=(max(view.classes, 1) - 0.5, -0.5), ylabel="label" if names else "")
    ticks = legend_ticks(view.classes)
    axes.set_yticks(ticks, [names[i] for i in ticks], parse_math=False)
    axes.yaxis.tick_right()
    if isinstance(view.prior, np.ndarray):
        axes.axvspan(view.prior.min(), view.prior.max(), color=LINE, alpha=0.4, linewidth=0)
        return
    for k in range(-3, 4):
        axes.axvline(k * view.prior, color=INK, alpha=0.35, linewidth=0.8)
        axes.text(k * view.prior, -0.5, rf"{k}$\sigma$", fontsize=8, ha="center", va="center", path_effects=HALO)


def draw_colour_bar(figure: Figure, names: Sequence[str]) -> None:
    """The labels' colours and `names`, to the right of the plot."""
    classes, ticks = len(names), legend_ticks(len(names))
    steps = BoundaryNorm(np.arange(classes + 1) - 0.5, classes)
    axes = pixel_axes(figure, LEFT + PLOT + 16, BOTTOM, 16, PLOT)
    bar = figure.colorbar(ScalarMappable(steps, ListedColormap(label_colours(classes))), cax=axes)
    bar.set_ticks(ticks, labels=[names[i] for i in ticks], parse_math=False)
    bar.minorticks_off()
    bar.outline.set_visible(False)
    axes.tick_params(length=0, labelcolor=INK, labelsize=LEGEND_FONT)


def legend_ticks(classes: int) -> list[int]:
    """The labels that are named beside a plot: all, or about twenty."""
    return list(range(0, classes, -(-classes // 20) or 1))


def shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def text_width(text: str) -> int:
    """Pixels that `text` takes in the legend."""
    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=LEGEND_FONT), ismath=False)
    return round(width * DPI / 72)


def draw_label_centres(axes: Axes, points: np.ndarray, labels: np.ndarray, names: Sequence[str], pixel: float) -> None:
    """Writes each label's name at the median of its points [n, 2], unless it would touch another name.

    `pixel` is the side of a pixel in units of the code.
    """
    centres = {label: np.median(points[labels == label], axis=0) / pixel for label in np.unique(labels)}
    widths = {label: max(text_width(names[label]), LINE_HEIGHT) for label in centres}

    def touch(label: int, other: int) -> bool:
        across, up = np.abs(centres[label] - centres[other])
        return across < (widths[label] + widths[other]) / 2 and up < LINE_HEIGHT

    for label, centre in centres.items():
        if not any(touch(label, other) for other in centres if other != label):
            across, up = centre * pixel
            axes.text(
                across,
                up,
                names[label],
                fontsize=12 if len(names[label]) <= 2 else 9,
                fontweight="bold",
                ha="center",
                va="center",
                parse_math=False,
                clip_on=True,
                path_effects=HALO,
            )


def strip_offsets(n: int) -> np.ndarray:
    """Offsets [n] in [-0.4, 0.4] that spread points evenly across a strip: multiples of the golden ratio."""
    return 0.8 * (np.arange(n) * (5**0.5 - 1) / 2 % 1) - 0.4


def label_colours(classes: int, dark: bool = False) -> np.ndarray:
    """RGB [classes, 3] in [0, 1]: COLOURS (or DARK_COLOURS), or steps of a rainbow if there are more labels."""
    if classes <= len(COLOURS):
        return to_rgba_array((DARK_COLOURS if dark else COLOURS)[:classes])[:, :3]
    return colormaps["turbo"](np.linspace(0, 1, classes))[:, :3]


# --- from a figure to a file ----------------------------------------------------------------------


def to_image(figure: Figure, colours: np.ndarray | None) -> Image.Image:
    """The drawn `figure` with a palette of greys and `colours` [n, 3], which takes half the bytes and looks the same.

    Without `colours` it keeps all its colours, for images in colour.
    """
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    if colours is None:
        return pixels
    return pixels.quantize(palette=palette(colours), dither=Image.Dither.NONE)


def palette(colours: np.ndarray) -> Image.Image:
    """An image that carries a palette: 16 greys first, then `colours` [n, 3] in steps towards white."""
    greys = np.repeat(np.linspace(0, 1, 16), 3).reshape(16, 3)
    colours = colours[:240]  # the palette has no room for more; the rest get the nearest of these
    steps = np.linspace(1, 0, min(6, 240 // max(len(colours), 1)), endpoint=False)
    tints = 1 - steps[:, None, None] * (1 - colours)
    image = Image.new("P", (1, 1))
    image.putpalette((255 * np.concatenate([greys, tints.reshape(-1, 3)])).round().astype(np.uint8).tobytes())
    return image


def scaled(picture: Image.Image) -> Image.Image:
    """The picture at ANIMATION_SCALE, in its own palette if it has one."""
    size = [round(side * ANIMATION_SCALE) for side in picture.size]
    resized = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    if picture.mode == "RGB":
        return resized
    return resized.quantize(palette=picture, dither=Image.Dither.NONE)


def beside(left: Image.Image, right: Image.Image) -> Image.Image:
    """Two pictures in one, with the palette of the left one, which begins with the right one's colours.

    If the right one is in colour and has no palette, they share 256 colours chosen for both.
    """
    size = (left.width + right.width, max(left.height, right.height))
    if right.mode == "RGB":
        joined = Image.new("RGB", size, "white")
        joined.paste(left.convert("RGB"), (0, 0))
        joined.paste(right, (left.width, 0))
        return joined.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    joined = Image.new("P", size, WHITE)
    colours = left.getpalette()
    assert colours is not None
    joined.putpalette(colours)
    joined.paste(left, (0, 0))
    joined.paste(right, (left.width, 0))
    return joined
