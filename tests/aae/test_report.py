"""The report presents the given numbers, and is the same for the same results."""

import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from aae.kinds.aae import AAESettings
from aae.kinds.vae import VAESettings
from aae.models import Recipe, build_model, find_kind
from aae.report import PAGE, listed, render_markdown, render_page, tallied
from aae.results import COLOURS, Results, Run
from aae.settings import AdamSettings, NormalSettings, SwissRollSettings, UniformSettings
from aae.snapshots import Metadata, save_snapshot
from tests.aae.test_figures import BLIND, oklab

EPOCHS = [0, 10, 20]
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 6, 5, 1)).astype(np.uint8)
LABELS = (np.arange(40) % 10).astype(np.uint8)
PARAMETERS = {
    "epochs": 20,
    "evaluation": {"cells": 20, "projections": 128},
    "aae": {"discriminator": {"betas": [0.9, 0.999]}, "note": "<b>& co</b>"},
}
SIZES = {"encoder_widths": [4], "decoder_widths": [4]}
ADAM = AdamSettings(0.001, [0.9, 0.999])


def aae_recipe(name: str = "aae", prior=None) -> Recipe:
    """A recipe of the kind aae. Its prior is normal unless one is given."""
    networks = SIZES | {"discriminator_widths": [4], "autoencoder": ADAM, "discriminator": ADAM, "generator": ADAM}
    return Recipe(name, find_kind("aae"), AAESettings(prior=prior or NormalSettings(), labels=False, **networks))


AAE, WIDE, THIRD = aae_recipe(), aae_recipe("aae_wide"), aae_recipe("aae_third")
VAE = Recipe("vae", find_kind("vae"), VAESettings(prior=NormalSettings(), autoencoder=ADAM, **SIZES))
FLOOR = {
    "codes": {"sliced_wasserstein": {"mean": 0.02, "low": 0.015, "high": 0.027}},
    "train": {"codes": {"sliced_wasserstein": {"mean": 0.01, "low": 0.008, "high": 0.012}}},
}
CLAIMS = {
    name: {"verdict": verdict, "note": f"A note on {name}.", "reasons": [f"numbers of {name}: AAE 1, VAE 2: undecided"]}
    for name, verdict in (("match", "mixed"), ("time", "supported"), ("stability", "not supported"))
}


def codes(distance: float) -> dict:
    return {
        "sliced_wasserstein": distance,
        "sliced_wasserstein_centred": distance / 2,
        "empty_cells": 0.125,
        "chi2_per_dof": 20 * distance,
        "ks_max": distance / 3,
        "energy_distance": None,  # not defined for some codes
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A function that returns results as the stages write them. The VAE's means are nearer than its samples."""

    def make(recipe: Recipe, seed: int = 0, distance: float = 0.2, nats: float = 140.0, code_size: int = 2) -> Run:
        metrics = {"epoch": 20, "reconstruction": {"nats": nats, "mse": 0.04}, "codes": codes(distance)}
        metrics["labels"] = {"knn_accuracy": 0.5 + distance}
        metrics["train"] = {"codes": {"sliced_wasserstein": distance / 4}}
        if recipe is VAE:
            metrics["train"]["codes_sampled"] = {"sliced_wasserstein": distance / 5}
            metrics["reconstruction_sampled"] = {"nats": nats + 5, "mse": 0.05}
            metrics["codes_sampled"] = codes(distance + 0.01)
            metrics["labels_sampled"] = metrics["labels"]
        flat = {
            f"{part}.{key}": value
            for part, values in metrics.items()
            if part not in ("epoch", "train")
            for key, value in values.items()
            if value is not None
        }
        curves = [{"epoch": e} | {key: value * (21 - e) for key, value in flat.items()} for e in EPOCHS]
        of_codes = {key: value for key, value in flat.items() if key.startswith("codes")}
        match = [{"epoch": e} | {key: value * (21 - e) for key, value in of_codes.items()} for e in range(21)]
        losses = ["kl", "loss"] if recipe is VAE else ["discriminator", "generator"]
        kind, sizes = "vae" if recipe is VAE else "aae", recipe.sizes(30, code_size, 10)
        outputs = 2 * code_size if recipe is VAE else code_size
        folder = tmp_path_factory.mktemp("snapshots")
        metadata = Metadata(recipe.prior(code_size, 10), (6, 5, 1), tuple("0123456789"))
        picture = io.BytesIO()
        Image.new("L", (8, 6)).save(picture, "PNG")
        return Run(
            recipe,
            seed,
            metrics,
            curves,
            match,
            history={key: [(e, 1 / e) for e in range(1, 21)] for key in ["reconstruction", *losses]},
            timing={"seconds": 100.0 + seed, "device": "a processor", "torch": "2.13"},
            codes=np.random.default_rng(seed).standard_normal((21, 40, outputs)).astype("float32"),
            snapshots={e: save_snapshot(folder, e, build_model(kind, seed + e, **sizes), metadata) for e in EPOCHS},
            figures=dict.fromkeys(("scatter", "manifold"), picture.getvalue()),
        )

    return make


def results(*runs: Run, **other) -> Results:
    names = {run.recipe.name for run in runs}
    settings = {"code_size": 2, "class_names": tuple("0123456789"), "cells": 20, "projections": 128}
    settings |= {"manifold_size": 3, "manifold_range": 3.0, "parameters": PARAMETERS}
    settings |= {"floor": dict.fromkeys(names, FLOOR), "claims": dict.fromkeys(names - {"vae"}, CLAIMS)}
    return Results(list(runs), **settings | other)


@pytest.fixture(scope="module")
def two(run) -> Results:
    return results(run(AAE, distance=0.1, nats=137.06), run(VAE, distance=0.3, nats=150.0), files=["results/a.json"])


VOID = {"meta", "img", "br", "link", "input"}  # elements that have no end tag


class Page(HTMLParser):
    """A page's text and elements. It checks that every element that opens is closed."""

    def __init__(self, given: Results):
        super().__init__()
        self.html = render_page(given, IMAGES, LABELS)
        self.elements, self.open, self.words = [], [], []
        self.feed(self.html)
        self.close()
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(two) -> Page:
    return Page(two)


def test_it_is_well_formed(page):
    assert page.open == []
    assert page.html.startswith("<!doctype html>")
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        assert attributes.get("aria-labelledby", ids[0]) in ids


def test_it_needs_no_other_file(page):
    for tag, attributes in page.elements:
        assert tag not in ("iframe", "object")
        assert "src" not in attributes or attributes["src"].startswith("data:")
        assert tag != "link" or attributes["href"] == "data:,"
    assert not re.search(r"url\(|@import|https?:|fetch\(", page.html)


def test_it_is_the_same_for_the_same_results(page, two):
    assert render_page(two, IMAGES, LABELS) == page.html


def test_it_opens_with_the_answer(page):
    """For the VAE, the answer is the distance of the samples of q(z|x), not of the means."""
    lead = page.text[: page.text.index("In numbers")]
    assert "After 20 epochs" in lead
    assert (
        "the codes of the adversarial autoencoder (AAE) lie 0.100 from the prior and those of the variational "
        "autoencoder (VAE) 0.310 : AAE is nearer. Equally many true prior samples score 0.020 (best achievable). "
        "Reconstructing a test image costs 137.1 nats with AAE and 155.0 with VAE."
    ) in lead
    assert "The prior is N(0, I) in 2 dimensions." in lead


@pytest.mark.parametrize(
    ("recipes", "words"),
    [
        ([AAE], "codes of the adversarial autoencoder (AAE) lie 0.100 from the prior."),
        ([WIDE], "codes of the adversarial autoencoder (AAE wide) lie 0.100 from the prior."),
        (
            [VAE, AAE],
            "(VAE) lie 0.110 from the prior and those of the adversarial autoencoder (AAE) 0.200: VAE is nearer.",
        ),
        (
            [AAE, VAE, WIDE, THIRD],
            "codes of the adversarial autoencoder (AAE) lie 0.100 from the prior, those of the variational autoencoder "
            "(VAE) 0.210, those of AAE wide 0.300 and those of AAE third 0.400: AAE is nearest.",
        ),
    ],
    ids=lambda value: "-".join(recipe.name for recipe in value) if isinstance(value, list) else "",
)
def test_the_answer_for_any_number_of_models(run, recipes, words):
    given = results(*[run(recipe, distance=(i + 1) / 10) for i, recipe in enumerate(recipes)])
    assert words in " ".join(render_markdown(given).split())
    assert words in re.sub(" ([:.,])", r"\1", Page(given).text)


def test_models_that_are_alike_have_no_nearest(run):
    assert "(AAE) lie 0.200 from the prior and those of AAE wide 0.200.\n" in render_markdown(
        results(run(AAE), run(WIDE))
    )


def test_the_answer_follows_the_numbers(run):
    given = results(run(AAE, distance=0.4), run(VAE, distance=0.3))
    assert ": VAE is nearer" in Page(given).text
    assert ": VAE is nearer" in render_markdown(given)


def test_the_verdicts_with_their_reasons(page, two):
    verdicts = [attributes["data-verdict"] for attributes in page.all("article")]
    assert verdicts == ["mixed", "supported", "not supported"]
    for name in CLAIMS:
        assert f"A note on {name}. undecided Numbers of {name}: AAE 1, VAE 2" in page.text
    markdown = render_markdown(two)
    assert "takes longer to train: supported.** A note on time.\n" in markdown
    assert "- *undecided*: Numbers of stability: AAE 1, VAE 2\n" in markdown


def test_every_model_that_can_be_is_judged(run):
    given = results(run(AAE), run(VAE), run(WIDE))
    page, markdown = Page(given), render_markdown(given)
    assert len(page.all("article")) == 6
    for model in ("AAE", "AAE wide"):
        assert f"{model} compared with VAE" in page.text
        assert f"### {model} compared with VAE\n" in markdown


@pytest.mark.parametrize(
    ("recipes", "reason"),
    [
        ([AAE, WIDE], "the claims compare the AAE with the VAE, which is not among these models."),
        ([VAE], "the claims do not apply to these models."),
    ],
)
def test_without_models_to_compare_the_report_says_so(run, recipes, reason):
    given = results(*map(run, recipes))
    page = Page(given)
    assert page.all("article") == []
    for text in (page.text, render_markdown(given)):
        assert f"There are no verdicts on claims: {reason}" in text
        assert "Three claims" not in text


def cells(html: str, measure: str) -> list[str]:
    row = re.search(rf'<tr><th scope="row">{re.escape(measure)}</th>(.*?)</tr>', html).group(1)
    return re.findall(r"<td[^>]*>(.*?)</td>", row)


def test_the_table(page):
    floor = '0.020 <span class="range">0.015 to 0.027</span>'
    assert cells(page.html, "Sliced Wasserstein distance") == ["lower", "<b>0.100</b>", "0.310", "0.300", floor]
    assert cells(page.html, "Chi² per degree of freedom") == ["near 1", "<b>2.00</b>", "6.20", "6.00", "\u2013"]
    assert cells(page.html, "Empty cells") == ["lower", "<b>12.5%</b>", "<b>12.5%</b>", "12.5%", "\u2013"]
    assert cells(page.html, "10-nearest-neighbour accuracy") == ["higher", "60.0%", "<b>80.0%</b>", "80.0%", "\u2013"]
    assert "Energy distance</th>" not in page.html, "a measure that a run lacks has no row"
    floor = '0.010 <span class="range">0.008 to 0.012</span>'
    assert cells(page.html, "… of the training images") == ["lower", "<b>0.025</b>", "0.060", "0.075", floor]
    assert "VAE, means of q(z|x) : one code per image, its average. The pictures show these." in page.text


def test_one_model_is_not_the_best(run):
    assert cells(Page(results(run(AAE))).html, "Empty cells") == ["lower", "12.5%", "\u2013"]


def test_the_table_in_markdown(two):
    rows = [line.split(" | ") for line in render_markdown(two).splitlines() if line.startswith("|")]
    row = next(row for row in rows if row[0] == "| Sliced Wasserstein distance")
    assert row[1:] == ["lower", "**0.100**", "0.310", "0.300", "0.020 (0.015 to 0.027) |"]
    for part in render_markdown(two).split("\n\n"):
        if part.startswith("|"):
            widths = {len(re.split(r"(?<!\\)\|", line)) for line in part.strip().splitlines()}
            assert len(widths) == 1, f"a table with rows of different length:\n{part}"


def test_models_with_different_priors_have_a_floor_each(run):
    other = {"codes": {"sliced_wasserstein": {"mean": 0.03, "low": 0.025, "high": 0.037}}}
    rolled = aae_recipe(prior=SwissRollSettings())
    floor = {"aae": other, "vae": FLOOR, "aae_wide": FLOOR}
    made = results(run(rolled, distance=0.1), run(VAE), run(WIDE), floor=floor)
    page = Page(made)
    assert "is nearest" not in page.text, "their distances are from different targets"
    assert not any("<b>" in cell for cell in cells(page.html, "Sliced Wasserstein distance"))
    assert any("<b>" in cell for cell in cells(page.html, "Cross-entropy, nats per image"))
    assert cells(page.html, "Sliced Wasserstein distance")[-2][:5] == "0.030"
    assert cells(page.html, "Sliced Wasserstein distance")[-1][:5] == "0.020"
    assert "The priors are a swiss roll (AAE) and N(0, I) (VAE, AAE wide), in 2 dimensions." in page.text
    assert "true prior samples score 0.030 for a swiss roll and 0.020 for N(0, I) (best achievable)" in page.text
    assert "True prior samples, a swiss roll:" in page.text
    assert page.html.count('class="band"') == 2, "models with the same prior share a floor"


def test_chi2_below_one_is_not_better_than_one(run):
    html = Page(results(run(AAE, distance=0.01), run(VAE, distance=0.05))).html
    assert cells(html, "Chi² per degree of freedom")[1:3] == ["0.20", "<b>1.20</b>"]


def test_several_seeds(run, page):
    """It shows the mean and standard deviation of 0.1, 0.2 and 0.3, and one line per run."""
    runs = [run(model, seed, distance) for model in (AAE, VAE) for seed, distance in ((7, 0.1), (8, 0.2), (9, 0.3))]
    several = Page(results(*runs))
    assert cells(several.html, "Sliced Wasserstein distance")[1] == "<b>0.200 ± 0.100</b>"
    assert "over 3 seeds; the first pictures are of seed 7" in several.text
    assert "seeds" not in page.text
    assert len(several.all("polyline")) == 3 * len(page.all("polyline"))


def test_the_charts_say_in_words_what_they_show(page):
    labels = [svg["aria-label"] for svg in page.all("svg") if svg.get("role") == "img"]
    assert len(labels) == 7
    assert "AAE: 2.1 at epoch 0, 0.1 at epoch 20" in labels[0]
    assert "VAE, samples of q(z|x): 6.51 at epoch 0, 0.31 at epoch 20" in labels[0]


def test_models_share_the_charts_of_losses(run):
    """A line whose name several models use gets the model's title."""
    page = Page(results(run(AAE), run(VAE), run(WIDE)))
    labels = [svg["aria-label"] for svg in page.all("svg") if svg.get("role") == "img"]
    assert len(labels) == 7
    names = [re.findall(r"; (.*?): ", label) for label in labels]
    assert names[4] == ["AAE", "VAE", "AAE wide"]
    assert names[5] == ["AAE discriminator", "AAE encoder", "AAE wide discriminator", "AAE wide encoder"]
    assert names[6] == ["VAE"]


def test_lines_have_the_colours_of_their_models(run):
    page = Page(results(run(AAE), run(VAE), run(WIDE)))
    classes = [line["class"] for line in page.all("polyline")]
    assert classes[:4] == ["line model-0", "line model-1", "line model-1 dashed", "line model-2"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_six_models_can_be_told_apart_and_read(theme):
    """Colour-blind readers can tell them apart too. 4.5 is WCAG's contrast ratio for text."""
    style = (PAGE / "style.css").read_text()
    scope = r'\[data-theme="dark"\] ' if theme == "dark" else "\n"
    found = re.findall(scope + r"\.model-(\d) \{ --model: (#\w{6}); \}", style)
    assert [int(place) for place, _ in found] == list(range(COLOURS))
    paper = re.findall(r"--paper: (#\w{6}); --panel: (#\w{6});", style)[theme == "dark"]
    colours = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in (*paper, *(c for _, c in found))]) / 255
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    light = linear @ [0.2126, 0.7152, 0.0722] + 0.05
    for ground in light[:2]:
        assert (np.maximum(light[2:], ground) / np.minimum(light[2:], ground)).min() >= 4.5
    for name, blind in BLIND.items():
        seen = oklab(np.clip(linear[2:] @ np.transpose(blind), 0, 1))
        distances = np.linalg.norm(seen[:, None] - seen, axis=-1)[np.triu_indices(COLOURS, 1)]
        assert distances.min() > (0.17 if name == "none" else 0.08)


def test_curves_have_a_point_an_epoch_where_that_is_known(page):
    lengths = [len(line["points"].split()) for line in page.all("polyline")]
    assert lengths[:3] == [21] * 3, "curves of the codes"
    assert 2 in lengths, "the reconstruction has the snapshots 10 and 20"


def test_a_single_epoch_draws_charts(two):
    short = [
        replace(
            run,
            curves=run.curves[:2],
            match=run.match[:2],
            history={key: line[:1] for key, line in run.history.items()},
        )
        for run in two.runs
    ]
    lines = Page(replace(two, runs=short)).all("polyline")
    assert lines
    assert all(len(line["points"].split()) >= 2 for line in lines), "a line of a single point would not be drawn"


def test_decoders_that_do_not_fit_are_named(run, monkeypatch):
    """Each decoder takes 528 bytes."""
    made = results(run(AAE), run(VAE), run(WIDE))
    monkeypatch.setattr("aae.page_data.DECODER_BYTES", 600)
    page = Page(made)
    assert [choice["value"] for choice in page.all("input") if choice.get("name") == "decoder"] == ["aae-0"]
    assert "The file has no room for the decoders of VAE and AAE wide." in page.text
    monkeypatch.setattr("aae.page_data.DECODER_BYTES", 100)
    assert "no room for the decoders of AAE, VAE and AAE wide." in Page(made).text
    monkeypatch.undo()
    assert "no room for" not in Page(made).text


def test_the_runs_and_the_parameters(page, two):
    assert "aae.discriminator.betas 0.9, 0.999" in page.text
    assert "evaluation.cells 20" in page.text
    assert "&lt;b&gt;&amp; co&lt;/b&gt;" in page.html
    assert "aae-0 100.0" in page.text
    assert "device a processor" in page.text, "values that all runs share appear once"
    assert page.text.count("a processor") == 1
    assert "Raw numbers, in the repository: results/a.json" in page.text
    assert not page.all("a"), "a link to a file breaks when the page is shared"
    assert "Commit unknown; device a processor; torch 2.13." in render_markdown(two)


@pytest.mark.parametrize("code_size", [1, 3, 20])
def test_codes_of_other_sizes(run, code_size):
    """The page says what it shows of them. It has no code plane if codes have more than two dimensions."""
    made = results(run(AAE, code_size=code_size), run(VAE, code_size=code_size), code_size=code_size)
    page = Page(made)
    ids = [attributes.get("id") for _, attributes in page.elements]
    for kind in ["manifold"] if code_size == 1 else ["samples", "traversals"]:
        assert {f"{prefix}-{kind}-{model}" for prefix in ("final", "epoch") for model in ("aae", "vae")} <= set(ids)
    assert ("plane" in ids) == (code_size == 1)
    sliders = [attributes for attributes in page.all("input") if attributes["type"] == "range"]
    assert len(sliders) == 1 + {1: 0, 3: 3, 20: 16}[code_size], "the epoch and the axes"
    if code_size == 1:
        assert "A code is a single number." in page.text
        assert "images of 6 codes from \u22123 to 3, row by row" in page.text
        return
    assert f"A code has {code_size} dimensions" in page.text
    assert "images of 6 samples of the prior" in page.text
    assert (
        f"one row per axis from z₀ to {'z₂' if code_size == 3 else 'z₁₅'}: that axis goes from \u22123 to 3"
        in page.text
    )
    assert ("onto a pair of axes of the first 16" in page.text) == (code_size == 20)


def test_the_manifolds_range_is_that_of_each_models_prior(run):
    uniform = aae_recipe("aae_third", prior=UniformSettings(bound=0.5))
    page = Page(results(run(AAE), run(uniform), manifold_range="auto"))
    assert page.text.count("a grid of codes over [\u22123, 3]²") == 2
    assert page.text.count("a grid of codes over [\u22120.5, 0.5]²") == 2
    fixed = Page(results(run(AAE), run(uniform), manifold_range=1.5))
    assert fixed.text.count("a grid of codes over [\u22121.5, 1.5]²") == 4


def test_both_legends_have_the_names_of_the_classes(run):
    """The names are escaped, and the text about the colours uses them."""
    names = ("Ankle boot", "<i>&", "T-shirt")
    page = Page(results(run(AAE), class_names=names))
    assert [button["data-label"] for button in page.all("button") if "data-label" in button] == ["0", "1", "2"] * 2
    for name in names:
        assert page.text.count(f" {name} ") == 2
    assert "<i>&amp;" not in page.html
    assert page.html.count("&lt;i&gt;&amp;") == 4, "in the texts and the names of the buttons"
    assert "can tell the 3 colours apart" in page.text
    assert "tell the" not in Page(results(run(AAE), class_names=[str(label) for label in range(11)])).text


def test_tables_have_captions_and_cells_the_names_of_their_columns(page):
    assert len(page.all("table")) == len(page.all("caption")) == 2
    cells = [cell["data-column"] for cell in page.all("td")]
    assert cells[:5] == ["Better", "AAE", "VAE, samples of q(z|x)", "VAE, means of q(z|x)", "True prior samples"]
    assert cells[-1] == "seconds"


def test_many_values_are_told_in_a_few_words():
    assert tallied(["x"] * 60) == "x"
    assert tallied(["y"] * 40 + ["x"] * 60) == "x (60), y (40)"
    assert tallied(range(60)) == "60 different values"
    assert listed(range(3, 90)) == "3 to 89"
    assert listed([5, 3, *range(60, 70)]) == "5, 3, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69"
    assert listed([512, 512]) == "512, 512"
