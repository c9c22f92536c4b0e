"""The page: one file that needs no other, says what the numbers say, and is the same for the same results."""

import base64
import io
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from aae.report import Run, linear_ticks, log_ticks, render_report

EPOCHS = [0, 10, 20]
PARAMETERS = {
    "epochs": 20,
    "code_size": 2,
    "prior": {"name": "normal", "normal": {"std": 1.0}},
    "evaluation": {"cells": 20, "projections": 128},
    "aae": {"discriminator": {"betas": [0.9, 0.999]}, "note": "<b>& co</b>"},
}


def picture(kind: str, shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 6), shade % 256).save(buffer, kind)
    return buffer.getvalue()


def codes(distance: float) -> dict:
    return {
        "sliced_wasserstein": distance,
        "empty_cells": 0.125,
        "chi2_per_dof": 20 * distance,
        "ks_max": distance / 3,
    }


def run(model: str, seed: int = 0, distance: float = 0.2, nats: float = 140.0) -> Run:
    """Results as the stages write them; the VAE's means are nearer to the prior than its samples."""
    metrics = {"epoch": 20, "reconstruction": {"nats": nats, "mse": 0.04}, "codes": codes(distance)}
    if model == "vae":
        metrics["reconstruction_sampled"] = {"nats": nats + 5, "mse": 0.05}
        metrics["codes_sampled"] = codes(distance + 0.01)
    columns = {
        f"{part}.{key}": value for part, values in metrics.items() if part != "epoch" for key, value in values.items()
    }
    curves = [
        {"epoch": float(epoch)} | {key: value * (1 + 20 - epoch) for key, value in columns.items()} for epoch in EPOCHS
    ]
    losses = ["discriminator", "generator"] if model == "aae" else ["kl", "loss"]
    history = {key: [(epoch, 1 / epoch) for epoch in range(1, 21)] for key in ["reconstruction", *losses]}
    shade = 100 * (model == "vae") + 10 * seed
    pictures = {
        f"{kind}-{epoch:03d}.png": picture("PNG", shade + epoch) for kind in ("scatter", "manifold") for epoch in EPOCHS
    }
    return Run(
        model,
        seed,
        metrics | {"prior_sample": codes(0.02)},
        curves,
        history,
        pictures | {"animation.gif": picture("GIF", shade)},
    )


RUNS = [run("aae", distance=0.1, nats=137.06), run("vae", distance=0.3, nats=150.0)]


VOID = {"meta", "img", "br"}  # elements that have no end tag


class Page(HTMLParser):
    """What a test asks of a page: text, elements, and that every one that opens is closed again."""

    def __init__(self, html: str):
        super().__init__()
        self.html, self.elements, self.open, self.words = html, [], [], []
        self.feed(html)
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
        if "style" not in self.open:
            self.words.append(data)

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render_report(RUNS, PARAMETERS))


def test_it_is_well_formed(page):
    assert page.open == []
    assert page.html.startswith("<!doctype html>")
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        assert attributes.get("aria-labelledby", ids[0]) in ids


def test_it_needs_no_other_file(page):
    for tag, attributes in page.elements:
        assert tag not in ("script", "link", "iframe", "object")
        for name in ("src", "href", "srcset", "data"):
            assert attributes.get(name, "data:").startswith("data:")
    assert not re.search(r"url\(|@import|https?:", page.html)


def test_it_is_the_same_for_the_same_results(page):
    assert render_report(RUNS, PARAMETERS) == page.html


def test_every_picture_is_there_with_a_text_of_its_own(page):
    images = page.all("img")
    texts = [image["alt"] for image in images]
    for run_ in RUNS:
        for name, content in run_.pictures.items():
            source = base64.b64encode(content).decode()
            assert any(image["src"].endswith(source) for image in images), name
        for epoch in EPOCHS:
            assert sum(f"epoch {epoch} " in text and run_.model.upper() in text for text in texts) >= 2
    assert all((image["width"], image["height"]) == ("8", "6") for image in images)


def test_it_opens_with_the_last_pictures_of_both_models(page):
    last = [
        base64.b64encode(run_.pictures[f"{kind}-020.png"]).decode() for run_ in RUNS for kind in ("scatter", "manifold")
    ]
    assert [image["src"].split(",")[1] for image in page.all("img")[:4]] == last
    assert page.html.index("<img") < page.html.index("<table")


def test_it_opens_with_the_answer(page):
    """For the VAE that is the distance of the samples of q(z|x), whatever that of the means."""
    lead = page.text[: page.text.index("In numbers")]
    assert "After 20 epochs" in lead
    assert "adversarial autoencoder lie 0.100 from the prior" in lead
    assert "variational autoencoder 0.310 :" in lead
    assert re.search("the AAE.s are nearer", lead)
    assert "samples of the prior itself lie 0.020" in lead
    assert "the AAE 137.1 nats and the VAE 155.0" in lead


def test_the_answer_follows_the_numbers():
    html = render_report([run("aae", distance=0.4), run("vae", distance=0.3)], PARAMETERS)
    assert re.search("the VAE.s are nearer", html)


def cells(html: str, measure: str) -> list[str]:
    row = re.search(rf'<tr><th scope="row">{re.escape(measure)}</th>(.*?)</tr>', html).group(1)
    return re.findall(r"<td>(.*?)</td>", row)


def test_the_table(page):
    assert cells(page.html, "Sliced Wasserstein distance") == [
        "lower",
        "<b>0.100</b>",
        "0.310",
        "0.300",
        "0.020",
    ]
    assert cells(page.html, "Chi² per degree of freedom") == ["near 1", "<b>2.00</b>", "6.20", "6.00", "0.40"]
    assert cells(page.html, "Empty cells") == ["lower", "<b>12.5%</b>", "<b>12.5%</b>", "12.5%", "12.5%"]
    assert cells(page.html, "Squared error a pixel") == [
        "lower",
        "<b>0.0400</b>",
        "0.0500",
        "0.0400",
        "\u2013",
    ]
    assert len(re.findall(r'<th scope="col"', page.html)) == 6


def test_chi2_below_one_is_not_better_than_one():
    html = render_report([run("aae", distance=0.01), run("vae", distance=0.05)], PARAMETERS)
    assert cells(html, "Chi² per degree of freedom")[1:3] == ["0.20", "<b>1.20</b>"]


def test_several_seeds():
    """Mean and standard deviation of 0.1, 0.2 and 0.3; all pictures of the first seed, the others' last."""
    runs = [run(model, seed, distance) for model in ("aae", "vae") for seed, distance in ((7, 0.1), (8, 0.2), (9, 0.3))]
    page = Page(render_report(runs, PARAMETERS))
    assert cells(page.html, "Sliced Wasserstein distance")[1] == "<b>0.200 ± 0.100</b>"
    assert "over 3 seeds; pictures are of seed 7" in page.text
    one_seed = Page(render_report([runs[0], runs[3]], PARAMETERS))
    assert len(page.all("img")) == len(one_seed.all("img")) + 2 * 2 * 2
    assert "seeds" not in one_seed.text
    assert len(page.all("polyline")) == 3 * len(one_seed.all("polyline"))


def test_the_charts_say_in_words_what_they_show(page):
    labels = [svg["aria-label"] for svg in page.all("svg") if svg.get("role") == "img"]
    assert len(labels) == 6
    assert "AAE: 2.1 at epoch 0, 0.1 at epoch 20" in labels[0]
    assert "VAE, samples of q(z|x): 6.51 at epoch 0, 0.31 at epoch 20" in labels[0]


def test_the_charts_lines_stay_inside_and_fall_where_the_values_fall(page):
    width, height = (float(x) for x in page.all("svg")[0]["viewbox"].split()[2:])
    for line in page.all("polyline"):
        points = [tuple(map(float, point.split(","))) for point in line["points"].split()]
        assert all(0 < x < width and 0 < y < height for x, y in points)
        assert [x for x, _ in points] == sorted({x for x, _ in points})
        assert [y for _, y in points] == sorted(y for _, y in points), "downwards, all these values fall"


def test_values_of_zero_have_no_logarithm():
    """A distance can be 0 to the last digit; its chart is then linear."""
    zero = run("aae")
    zero.curves[-1]["codes.sliced_wasserstein"] = 0.0
    page = Page(render_report([zero, RUNS[1]], PARAMETERS))
    assert "sliced Wasserstein, logarithmic" not in page.text
    assert "chi² per degree of freedom, logarithmic" in page.text


def test_a_single_epoch_draws_charts():
    def short(run_: Run) -> Run:
        return replace(run_, curves=run_.curves[:2], history={key: line[:1] for key, line in run_.history.items()})

    lines = Page(render_report([short(run_) for run_ in RUNS], PARAMETERS)).all("polyline")
    assert len(lines) == 14
    assert all(len(line["points"].split()) >= 2 for line in lines), "one point alone would not be drawn"


def test_the_parameters(page):
    assert "aae.discriminator.betas 0.9, 0.999" in page.text
    assert "evaluation.cells 20" in page.text
    assert "&lt;b&gt;&amp; co&lt;/b&gt;" in page.html


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_linear_ticks(low, span):
    ticks = linear_ticks(low, low + span)
    assert 2 <= len({f"{tick:g}" for tick in ticks}) == len(ticks) <= 8
    slack = 1e-9 * max(abs(low), span)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= low + span - slack
    steps = [b - a for a, b in pairwise(ticks)]
    assert min(steps) > 0
    assert max(steps) == pytest.approx(min(steps), rel=1e-3, abs=slack)


@given(st.floats(1e-9, 1e6), st.floats(1, 1e6))
def test_log_ticks(low, ratio):
    ticks = log_ticks(low, low * ratio)
    assert ticks == sorted(set(ticks))
    assert 2 <= len(ticks) <= 9
    assert ticks[0] <= low
    assert ticks[-1] >= low * ratio
    assert all(f"{tick:e}"[0] in "125" and math.isclose(tick, float(f"{tick:.0e}")) for tick in ticks)
