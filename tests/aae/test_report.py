"""What the report says: of the numbers that it is given, and the same for the same results."""

import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from aae.models import build_model
from aae.report import Results, Run, render_markdown, render_page
from aae.snapshots import save_snapshot

EPOCHS = [0, 10, 20]
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 6, 5)).astype(np.uint8)
LABELS = (np.arange(40) % 10).astype(np.uint8)
PARAMETERS = {
    "epochs": 20,
    "code_size": 2,
    "data": {"classes": 10},
    "prior": {"name": "normal", "normal": {"std": 1.0}, "swiss_roll": {"radius": 3.0, "turns": 2.0}},
    "evaluation": {"cells": 20, "projections": 128},
    "render": {"manifold_size": 3, "manifold_range": 3.0},
    "aae": {"discriminator": {"betas": [0.9, 0.999]}, "note": "<b>& co</b>"},
}
FLOOR = {"sliced_wasserstein": {"mean": 0.02, "low": 0.015, "high": 0.027}}
CLAIMS = {
    name: {"verdict": verdict, "reasons": [f"numbers of {name}: AAE 1, VAE 2: undecided"]}
    for name, verdict in (("match", "mixed"), ("time", "supported"), ("stability", "not supported"))
}


def codes(distance: float) -> dict:
    return {
        "sliced_wasserstein": distance,
        "sliced_wasserstein_centred": distance / 2,
        "empty_cells": 0.125,
        "chi2_per_dof": 20 * distance,
        "ks_max": distance / 3,
        "energy_distance": None,  # of some codes it is not defined
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A function that gives results as the stages write them; the VAE's means are nearer than its samples."""

    def make(model: str, seed: int = 0, distance: float = 0.2, nats: float = 140.0) -> Run:
        metrics = {"epoch": 20, "reconstruction": {"nats": nats, "mse": 0.04}, "codes": codes(distance)}
        metrics["labels"] = {"knn_accuracy": 0.5 + distance}
        if model == "vae":
            metrics["reconstruction_sampled"] = {"nats": nats + 5, "mse": 0.05}
            metrics["codes_sampled"] = codes(distance + 0.01)
            metrics["labels_sampled"] = metrics["labels"]
        flat = {
            f"{part}.{key}": value
            for part, values in metrics.items()
            if part != "epoch"
            for key, value in values.items()
            if value is not None
        }
        curves = [{"epoch": e} | {key: value * (21 - e) for key, value in flat.items()} for e in EPOCHS]
        of_codes = {key: value for key, value in flat.items() if key.startswith("codes")}
        match = [{"epoch": e} | {key: value * (21 - e) for key, value in of_codes.items()} for e in range(21)]
        losses = ["discriminator", "generator"] if model == "aae" else ["kl", "loss"]
        sizes = {"pixels": 30, "code_size": 2, "encoder_widths": [4], "decoder_widths": [4]}
        sizes |= {"discriminator_widths": [4]} if model == "aae" else {}
        folder = tmp_path_factory.mktemp("snapshots")
        picture = io.BytesIO()
        Image.new("L", (8, 6)).save(picture, "PNG")
        return Run(
            model,
            seed,
            metrics,
            curves,
            match,
            history={key: [(e, 1 / e) for e in range(1, 21)] for key in ["reconstruction", *losses]},
            timing={"seconds": 100.0 + seed, "device": "a processor", "torch": "2.13"},
            codes=np.random.default_rng(seed).standard_normal((21, 40, 4 if model == "vae" else 2)).astype("float32"),
            snapshots={e: save_snapshot(folder, e, build_model(model, seed + e, **sizes)) for e in EPOCHS},
            figures=dict.fromkeys(("scatter", "manifold"), picture.getvalue()),
        )

    return make


def results(*runs: Run, **other) -> Results:
    return Results(
        list(runs), **{"parameters": PARAMETERS, "floor": {"aae": FLOOR, "vae": FLOOR}, "claims": CLAIMS} | other
    )


@pytest.fixture(scope="module")
def two(run) -> Results:
    return results(run("aae", distance=0.1, nats=137.06), run("vae", distance=0.3, nats=150.0), links=["../a.json"])


VOID = {"meta", "img", "br", "link", "input"}  # elements that have no end tag


class Page(HTMLParser):
    """What a test asks of a page: text, elements, and that every one that opens is closed again."""

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
    """For the VAE that is the distance of the samples of q(z|x), whatever that of the means."""
    lead = page.text[: page.text.index("In numbers")]
    assert "After 20 epochs" in lead
    assert "adversarial autoencoder lie 0.100 from the prior" in lead
    assert "variational autoencoder 0.310 :" in lead
    assert re.search("the AAE.s are nearer", lead)
    assert "samples of the prior itself lie 0.020" in lead
    assert "the AAE 137.1 nats and the VAE 155.0" in lead


def test_the_answer_follows_the_numbers(run):
    given = results(run("aae", distance=0.4), run("vae", distance=0.3))
    assert re.search("the VAE.s are nearer", Page(given).text)
    assert re.search("the VAE.s are nearer", render_markdown(given))


def test_the_verdicts_with_their_reasons(page, two):
    verdicts = [attributes["data-verdict"] for attributes in page.all("article")]
    assert verdicts == ["mixed", "supported", "not supported"]
    for name in CLAIMS:
        assert f"undecided Numbers of {name}: AAE 1, VAE 2" in page.text
    markdown = render_markdown(two)
    assert "takes longer to train: supported.**" in markdown
    assert "- *undecided*: Numbers of stability: AAE 1, VAE 2\n" in markdown


def cells(html: str, measure: str) -> list[str]:
    row = re.search(rf'<tr><th scope="row">{re.escape(measure)}</th>(.*?)</tr>', html).group(1)
    return re.findall(r"<td>(.*?)</td>", row)


def test_the_table(page):
    floor = '0.020 <span class="range">0.015 to 0.027</span>'
    assert cells(page.html, "Sliced Wasserstein distance") == ["lower", "<b>0.100</b>", "0.310", "0.300", floor]
    assert cells(page.html, "Chi² per degree of freedom") == ["near 1", "<b>2.00</b>", "6.20", "6.00", "\u2013"]
    assert cells(page.html, "Empty cells") == ["lower", "<b>12.5%</b>", "<b>12.5%</b>", "12.5%", "\u2013"]
    assert cells(page.html, "10-nearest-neighbour accuracy") == ["higher", "60.0%", "<b>80.0%</b>", "80.0%", "\u2013"]
    assert "Energy distance</th>" not in page.html, "what a run lacks has no row"


def test_the_table_in_markdown(two):
    rows = [line.split(" | ") for line in render_markdown(two).splitlines() if line.startswith("|")]
    row = next(row for row in rows if row[0] == "| Sliced Wasserstein distance")
    assert row[1:] == ["lower", "**0.100**", "0.310", "0.300", "0.020 (0.015 to 0.027) |"]
    for part in render_markdown(two).split("\n\n"):
        if part.startswith("|"):
            widths = {len(re.split(r"(?<!\\)\|", line)) for line in part.strip().splitlines()}
            assert len(widths) == 1, f"a table with rows of different length:\n{part}"


def test_models_with_different_priors_have_a_floor_each(run):
    """The VAE's prior is always the normal one."""
    parameters = PARAMETERS | {"prior": PARAMETERS["prior"] | {"name": "swiss_roll"}}
    other = {"sliced_wasserstein": {"mean": 0.03, "low": 0.025, "high": 0.037}}
    made = results(run("aae"), run("vae"), parameters=parameters, floor={"aae": other, "vae": FLOOR})
    page = Page(made)
    assert cells(page.html, "Sliced Wasserstein distance")[-2][:5] == "0.030"
    assert cells(page.html, "Sliced Wasserstein distance")[-1][:5] == "0.020"
    assert "prior is a swiss roll, the VAE\u2019s N(0, I)" in page.text
    assert "Samples of the AAE's prior" in page.text
    assert page.html.count('class="band"') == 2


def test_chi2_below_one_is_not_better_than_one(run):
    html = Page(results(run("aae", distance=0.01), run("vae", distance=0.05))).html
    assert cells(html, "Chi² per degree of freedom")[1:3] == ["0.20", "<b>1.20</b>"]


def test_several_seeds(run, page):
    """Mean and standard deviation of 0.1, 0.2 and 0.3; a line a run."""
    runs = [run(model, seed, distance) for model in ("aae", "vae") for seed, distance in ((7, 0.1), (8, 0.2), (9, 0.3))]
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


def test_curves_have_a_point_an_epoch_where_that_is_known(page):
    lengths = [len(line["points"].split()) for line in page.all("polyline")]
    assert lengths[:3] == [21] * 3, "of the codes"
    assert 2 in lengths, "reconstruction of the snapshots 10 and 20"


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
    assert all(len(line["points"].split()) >= 2 for line in lines), "one point alone would not be drawn"


def test_the_runs_and_the_parameters(page, two):
    assert "aae.discriminator.betas 0.9, 0.999" in page.text
    assert "evaluation.cells 20" in page.text
    assert "&lt;b&gt;&amp; co&lt;/b&gt;" in page.html
    assert "aae-0 100.0" in page.text
    assert "device a processor" in page.text, "what all runs share stands once"
    assert page.text.count("a processor") == 1
    assert {"href": "../a.json"} in page.all("a")
    assert "Commit unknown; device a processor; torch 2.13." in render_markdown(two)


def test_codes_of_other_sizes_have_pictures_instead(two):
    """Nothing that only a plane can show."""
    page = Page(replace(two, parameters=PARAMETERS | {"code_size": 3}))
    assert len(page.all("img")) == 4
    assert page.all("canvas") == []
    assert "explorer" not in [attributes.get("id") for _, attributes in page.elements]
    assert "in 3 dimensions" in page.text
