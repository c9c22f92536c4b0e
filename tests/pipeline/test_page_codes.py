"""The page in a real browser, with other code sizes, other priors, images that are not square, and class names."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from aae.data import Dataset
from aae.snapshots import load_snapshot
from tests.pipeline.browser import (
    EPOCHS,
    NEEDS_BROWSER,
    SNAPSHOT_EVERY,
    By,
    Keys,
    check_nothing_went_wrong,
    coloured,
    drawing,
    grey_pixels,
    make_experiment,
    mnist,
    narrow,
    open_page,
    set_epoch,
    start_chromium,
)

pytestmark = NEEDS_BROWSER
PAIR = {"models: [aae, aae_joint, vae]": "models: [aae, vae]"}
NORMAL = "  prior:\n    kind: normal\n    std: 1.0\n  labels: false "  # the AAE's
UNIFORM = {NORMAL: "  prior: {kind: uniform, bound: 1.0}\n  labels: false "}
NAMES = ("Ankle <boot>", "T-shirt & top", "</script>")
SIDEWAYS = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"


def crops(data: Dataset) -> Dataset:
    """The digits 0, 1 and 2 in 12 x 20 pixels, under other names."""
    arrays = {}
    for part in ("train", "test"):
        images, labels = getattr(data, f"{part}_images"), getattr(data, f"{part}_labels")
        arrays[f"{part}_images"] = np.ascontiguousarray(images[labels < len(NAMES), 8:20, 4:24])
        arrays[f"{part}_labels"] = labels[labels < len(NAMES)]
    return replace(data, **arrays, class_names=NAMES)


@pytest.fixture(scope="module")
def chromium():
    driver = start_chromium()
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def long_codes(tmp_path_factory) -> Path:
    """Four-dimensional codes; the AAE's prior is uniform, the VAE's is normal."""
    folder = tmp_path_factory.mktemp("long")
    make_experiment(folder, mnist(), PAIR | UNIFORM | {"code_size: 2 ": "code_size: 4 "})
    return folder


@pytest.fixture(scope="module")
def short_codes(tmp_path_factory) -> Path:
    """One-dimensional codes."""
    folder = tmp_path_factory.mktemp("short")
    make_experiment(folder, mnist(), PAIR | {"code_size: 2 ": "code_size: 1 "})
    return folder


@pytest.fixture(scope="module")
def wide_images(tmp_path_factory) -> Path:
    """Images of 12 x 20 pixels in three named classes; the AAE's prior is uniform."""
    folder = tmp_path_factory.mktemp("wide")
    make_experiment(folder, crops(mnist()), PAIR | UNIFORM | {"batch_size: 128 ": "batch_size: 16 "})
    return folder


@pytest.fixture
def long_page(chromium, long_codes):
    open_page(chromium, long_codes, "document.getElementById('decoded').dataset.code !== undefined", theme="dark")
    yield chromium
    check_nothing_went_wrong(chromium)


@pytest.fixture
def short_page(chromium, short_codes):
    open_page(chromium, short_codes, "'point' in plane.dataset")
    yield chromium
    check_nothing_went_wrong(chromium)


@pytest.fixture
def wide_page(chromium, wide_images):
    open_page(chromium, wide_images, "'point' in plane.dataset")
    yield chromium
    check_nothing_went_wrong(chromium)


def sliders(driver) -> list:
    return driver.find_elements(By.CSS_SELECTOR, "#axes input")


def decoded_image(driver, folder: Path, run: str) -> None:
    """Asserts that the canvas shows PyTorch's image of the code that the sliders set."""
    code = json.loads(driver.find_element(By.ID, "decoded").get_attribute("data-code"))
    model = load_snapshot(folder / f"results/snapshots/{run}/{EPOCHS:03d}.safetensors")
    true = model.decode(torch.tensor([code], dtype=torch.float32)).sigmoid().numpy()[0]
    assert np.abs(grey_pixels(driver, "decoded") / 255 - true).max() <= 1.5 / 255


# --- codes of more than two dimensions -----------------------------------------------------------


def test_long_codes_have_pictures_of_every_snapshot(long_page):
    """The slider changes samples and traversals, and their captions name the snapshot."""
    assert (
        "A code has 4 dimensions, so a scatter plot shows a projection"
        in long_page.find_element(By.TAG_NAME, "body").text
    )
    names = [f"epoch-{kind}-{model}" for kind in ("scatter", "samples", "traversals") for model in ("aae", "vae")]
    seen = {name: [] for name in names}
    for epoch in range(EPOCHS + 1):
        set_epoch(long_page, epoch)
        for name in names:
            seen[name].append(drawing(long_page, name))
        picture = long_page.find_element(By.ID, "epoch-samples-aae")
        shown = int(picture.get_attribute("data-epoch"))
        assert abs(shown - epoch) <= SNAPSHOT_EVERY / 2
        assert picture.find_element(By.XPATH, "ancestor::figure/figcaption").text.startswith(f"Decoder, epoch {shown}:")
    for name in names:
        assert len(set(seen[name])) == (EPOCHS + 1 if "scatter" in name else EPOCHS // SNAPSHOT_EVERY + 1), name
    for model in ("aae", "vae"):
        assert coloured(long_page, f"final-scatter-{model}") > 100


def test_the_pictures_of_long_codes_have_the_ground_of_the_theme(long_page):
    """The dark page shows white strokes, not white pictures."""
    for picture in long_page.find_elements(By.CSS_SELECTOR, ".sheet img"):
        assert picture.value_of_css_property("filter") == "none"
        assert picture.value_of_css_property("mix-blend-mode") == "screen"
        assert picture.size["height"] > 30


def test_another_plane_is_chosen_for_all_scatters(long_page, long_codes):
    """Both selectors agree, and the points are at the codes' coordinates on the chosen axes."""
    canvases = ["final-scatter-aae", "epoch-scatter-vae"]
    before = [drawing(long_page, name) for name in canvases]
    first, second = long_page.find_elements(By.CLASS_NAME, "plane-choice")
    options = [option.text for option in first.find_elements(By.TAG_NAME, "option")]
    assert len(options) == 1 + 6, "the principal components and every pair of four axes"
    second.find_elements(By.TAG_NAME, "option")[5].click()
    assert first.get_attribute("value") == second.get_attribute("value") == options[5] == "z₁ and z₃"
    assert {name.text for name in long_page.find_elements(By.CLASS_NAME, "plane-name")} == {options[5]}
    assert all(a != b for a, b in zip(before, [drawing(long_page, name) for name in canvases], strict=True))
    codes = np.load(long_codes / "results/codes/aae-0.npy")[EPOCHS]
    order = np.random.default_rng(0).permutation(len(codes))
    limit = long_page.execute_script("return index.limit")
    shown = long_page.execute_script(
        "return [...codesAt('aae-0', index.lastEpoch, 5)].map((x) => (isNaN(x) ? null : x))"
    )
    shown, true = np.array(shown, dtype=float).reshape(-1, 2), codes[order][:, [1, 3]]
    inside = ~np.isnan(shown).any(axis=1)
    assert (inside == (np.abs(true) <= limit).all(axis=1)).all()
    assert np.abs(shown - true)[inside].max() <= limit / 254 * 1.001


def test_sliders_decode_long_codes(long_page, long_codes):
    """They decode like PyTorch, by keyboard, for both models."""
    axes = sliders(long_page)
    assert len(axes) == 4
    decoded_image(long_page, long_codes, "aae-0")
    before = drawing(long_page, "decoded")
    axes[2].send_keys(Keys.END)
    assert json.loads(long_page.find_element(By.ID, "decoded").get_attribute("data-code"))[2] == pytest.approx(
        long_page.execute_script("return index.limit")
    )
    assert drawing(long_page, "decoded") != before
    decoded_image(long_page, long_codes, "aae-0")
    long_page.find_element(By.CSS_SELECTOR, "[name=decoder][value=vae-0]").click()
    decoded_image(long_page, long_codes, "vae-0")
    long_page.find_element(By.ID, "origin").click()
    assert json.loads(long_page.find_element(By.ID, "decoded").get_attribute("data-code")) == [0, 0, 0, 0]
    assert [float(axis.get_attribute("value")) for axis in axes] == [0, 0, 0, 0]


def test_samples_of_the_prior_are_taken_one_after_the_other(long_page, long_codes):
    """They come from the model's own prior: all samples of a uniform prior are within its support."""
    seen = []
    for _ in range(5):
        long_page.find_element(By.ID, "next-sample").click()
        code = json.loads(long_page.find_element(By.ID, "decoded").get_attribute("data-code"))
        assert [float(axis.get_attribute("value")) for axis in sliders(long_page)] == pytest.approx(code, abs=1e-6)
        seen.append(code)
        decoded_image(long_page, long_codes, "aae-0")
    assert len({tuple(code) for code in seen}) == 5
    assert 0.5 < np.abs(seen).max() <= 1


@pytest.mark.parametrize("width", [320, 390])
def test_long_codes_on_a_phone(long_page, width):
    narrow(long_page, width)
    assert long_page.execute_script(SIDEWAYS) == 0
    for element in long_page.find_elements(By.CSS_SELECTOR, "canvas, img, button, input, select"):
        assert element.rect["x"] + element.rect["width"] <= width + 1


# --- codes of one dimension ----------------------------------------------------------------------


def test_short_codes_stand_in_strips(short_page, short_codes):
    """The horizontal position is the code; the vertical position is within the label's strip."""
    shown, labels, limit = short_page.execute_script(
        "return [[...codesAt('aae-0', index.lastEpoch)].map((x) => (isNaN(x) ? null : x)), [...labels], index.limit]"
    )
    shown, labels = np.array(shown, dtype=float).reshape(-1, 2), np.array(labels)
    codes = np.load(short_codes / "results/codes/aae-0.npy")[EPOCHS][:, 0]
    true = codes[np.random.default_rng(0).permutation(len(codes))]
    inside = ~np.isnan(shown).any(axis=1)
    assert np.abs(shown[inside, 0] - true[inside]).max() <= limit / 254 * 1.001
    assert (np.floor((1 - shown[inside, 1] / limit) / 2 * 10) == labels[inside]).all()
    assert coloured(short_page, "final-scatter-aae") > 100


def test_short_codes_have_a_slider_and_an_explorer(short_page, short_codes):
    seen = set()
    for epoch in (0, SNAPSHOT_EVERY, EPOCHS):
        set_epoch(short_page, epoch)
        seen.add(drawing(short_page, "epoch-manifold-vae"))
    assert len(seen) == 3
    plane = short_page.find_element(By.ID, "plane")
    plane.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_UP)
    (point,) = json.loads(plane.get_attribute("data-point"))
    assert point == pytest.approx(0.05 * short_page.execute_script("return index.limit"))
    model = load_snapshot(short_codes / f"results/snapshots/aae-0/{EPOCHS:03d}.safetensors")
    true = model.decode(torch.tensor([[point]], dtype=torch.float32)).sigmoid().numpy()[0]
    assert np.abs(grey_pixels(short_page, "decoded") / 255 - true).max() <= 1.5 / 255
    assert len(short_page.find_elements(By.CSS_SELECTOR, "#nearest figure")) == 5


# --- other images, classes and priors ------------------------------------------------------------


def test_images_keep_their_proportions_on_the_page(wide_page):
    """Images of 12 x 20 pixels fill a nearly square picture with more rows than columns."""
    sheet = wide_page.find_element(By.ID, "final-manifold-aae")
    width, height = wide_page.execute_script("return [arguments[0].naturalWidth, arguments[0].naturalHeight]", sheet)
    assert (width, height) == (4 * 20, 6 * 12)
    assert sheet.size["width"] / sheet.size["height"] == pytest.approx(width / height, rel=0.02)
    image = wide_page.find_element(By.ID, "decoded")
    assert image.size["width"] / image.size["height"] == pytest.approx(20 / 12, rel=0.02)


def test_class_names_stand_in_the_legends_and_beside_images(wide_page):
    """They appear as plain text, whatever characters they contain."""
    legends = wide_page.find_elements(By.CLASS_NAME, "labels")
    assert len(legends) == 2
    for legend in legends:
        assert [button.text for button in legend.find_elements(By.CLASS_NAME, "label")] == list(NAMES)
    names = [name.text for name in wide_page.find_elements(By.CSS_SELECTOR, "#nearest b")]
    assert len(names) == 5
    assert set(names) <= set(NAMES)
    assert "can tell the 3 colours apart" in wide_page.find_element(By.ID, "over-the-epochs").text


def test_each_manifold_covers_its_models_prior(wide_page):
    captions = {
        model: wide_page.find_element(By.ID, f"final-manifold-{model}").find_element(By.XPATH, "ancestor::figure").text
        for model in ("aae", "vae")
    }
    assert "[\u22121, 1]²" in captions["aae"]
    assert "[\u22123, 3]²" in captions["vae"]
