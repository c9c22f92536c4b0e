"""The page in a real browser: Debian's chromium and chromium-driver, headless."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from aae.snapshots import load_snapshot
from tests.pipeline.browser import (
    EPOCHS,
    NEEDS_BROWSER,
    SNAPSHOT_EVERY,
    ActionChains,
    By,
    Keys,
    WebDriverWait,
    check_nothing_went_wrong,
    coloured,
    drawing,
    emulate,
    grey_pixels,
    make_experiment,
    mnist,
    narrow,
    open_page,
    set_epoch,
    start_chromium,
)

pytestmark = NEEDS_BROWSER
MODELS = ("aae", "vae", "aae_wide")
CHANGES = {"seeds: [0]": "seeds: [0, 1]", "models: [aae, aae_joint, vae]": f"models: [{', '.join(MODELS)}]"}
PICTURES = [f"epoch-scatter-{model}" for model in MODELS]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> Path:
    """A folder with a small experiment of two seeds, in which all stages have run."""
    folder = tmp_path_factory.mktemp("page")
    make_experiment(folder, mnist(), CHANGES)
    return folder


@pytest.fixture(scope="module")
def chromium(experiment):
    driver = start_chromium()
    yield driver
    driver.quit()


@pytest.fixture
def page(chromium, experiment):
    """The page, just opened in a wide window with the light theme. After the test, it must not show any error."""
    open_page(chromium, experiment, "'point' in plane.dataset")
    yield chromium
    check_nothing_went_wrong(chromium)


def decoded(driver) -> tuple[list[float], np.ndarray]:
    """The explorer's point, and the bytes of the displayed image."""
    point = json.loads(driver.find_element(By.ID, "plane").get_attribute("data-point"))
    return point, grey_pixels(driver, "decoded")


def expected(experiment: Path, run: str, codes: list) -> np.ndarray:
    """PyTorch's images [n, pixels] in [0, 1]."""
    model = load_snapshot(experiment / f"results/snapshots/{run}/{EPOCHS:03d}.safetensors")
    return model.decode(torch.tensor(codes, dtype=torch.float32).reshape(-1, 2)).sigmoid().numpy()


def test_it_opens_with_the_last_epoch_and_the_verdicts(page, experiment):
    assert f"After {EPOCHS} epochs" in page.find_element(By.TAG_NAME, "body").text
    summary, timing = (
        json.loads((experiment / f"results/{name}.json").read_text()) for name in ("summary", "timing_summary")
    )
    claims = [summary["claims"][name] | timing["claims"][name] for name in ("aae", "aae_wide")]
    verdicts = [element.text.lower() for element in page.find_elements(By.CLASS_NAME, "verdict")]
    assert verdicts == [of_model[name]["verdict"] for of_model in claims for name in ("match", "time", "stability")]
    for model in MODELS:
        assert page.find_element(By.ID, f"final-manifold-{model}").get_attribute("data-epoch") == str(EPOCHS)
        assert coloured(page, f"final-scatter-{model}") > 100
    assert drawing(page, "final-scatter-aae") != drawing(page, "final-scatter-vae")


def test_the_slider_moves_scatter_and_manifold(page):
    names = [f"epoch-{kind}-{model}" for kind in ("scatter", "manifold") for model in MODELS]
    seen = {name: [drawing(page, name)] for name in names}
    assert page.find_element(By.ID, "epoch-text").text == f"epoch {EPOCHS}"
    for epoch in range(EPOCHS):
        set_epoch(page, epoch)
        assert page.find_element(By.ID, "epoch-text").text == f"epoch {epoch}"
        for name in names:
            seen[name].append(drawing(page, name))
        picture = page.find_element(By.ID, "epoch-manifold-aae")
        shown = int(picture.get_attribute("data-epoch"))
        assert abs(shown - epoch) <= SNAPSHOT_EVERY / 2
        caption = picture.find_element(By.XPATH, "ancestor::figure/figcaption").text
        assert caption.startswith(f"Decoder, epoch {shown}:"), "the caption has the displayed epoch"
    for name in names:
        assert len(set(seen[name])) == (EPOCHS + 1 if "scatter" in name else EPOCHS // SNAPSHOT_EVERY + 1), name


def test_codes_stand_where_they_are(page, experiment):
    """The tolerance is the width of one of 254 cells."""
    codes = np.load(experiment / "results/codes/vae-1.npy")[..., :2]
    n, limit, labels = page.execute_script("return [index.images, index.limit, [...labels]]")
    assert n == codes.shape[1]
    test_labels = np.load(experiment / "data/prepared/test_labels.npy")
    order = np.random.default_rng(0).permutation(n)
    assert labels == test_labels[order].tolist()
    for frame in (0, EPOCHS):
        shown = page.execute_script(
            "return [...codesAt('vae-1', arguments[0])].map((x) => (isNaN(x) ? null : x))", frame
        )
        shown = np.array(shown, dtype=float).reshape(n, 2)
        true = codes[frame][order]
        inside = (np.abs(true) <= limit).all(axis=1)
        assert (np.isnan(shown).all(axis=1) == ~inside).all()
        assert np.abs(shown - true)[inside].max() <= limit / 254 * 1.001


def test_the_seeds_have_pictures_of_their_own(page):
    before = [drawing(page, name) for name in PICTURES]
    page.find_element(By.CSS_SELECTOR, "#seed option:nth-child(2)").click()
    after = [drawing(page, name) for name in PICTURES]
    assert all(a != b for a, b in zip(before, after, strict=True))


def test_play_goes_on_to_the_end(page):
    set_epoch(page, 0)
    page.find_element(By.ID, "play").click()
    WebDriverWait(page, 20).until(lambda driver: driver.find_element(By.ID, "epoch-text").text == f"epoch {EPOCHS}")
    assert page.find_element(By.ID, "play").text == "Play"


def test_the_legends_switch_labels(page):
    """One is above the first pictures, one above the pictures of every epoch. Both switch the same labels."""
    before = coloured(page, "epoch-scatter-aae")
    whole = drawing(page, "epoch-scatter-aae")
    first, second = page.find_elements(By.CSS_SELECTOR, "[data-label='3']")
    assert first.location["y"] < page.find_element(By.ID, "final-scatter-aae").location["y"]
    first.click()
    assert first.get_attribute("aria-pressed") == second.get_attribute("aria-pressed") == "false"
    assert 0 < coloured(page, "epoch-scatter-aae") < before
    second.send_keys(Keys.SPACE)
    assert first.get_attribute("aria-pressed") == second.get_attribute("aria-pressed") == "true"
    assert drawing(page, "epoch-scatter-aae") == whole
    first, second = page.find_elements(By.CLASS_NAME, "all-labels")
    first.click()
    assert coloured(page, "epoch-scatter-aae") == coloured(page, "final-scatter-vae") == 0
    assert second.text == "Show all"
    second.click()
    assert drawing(page, "epoch-scatter-aae") == whole


def test_the_legend_has_the_scatters_colours(page):
    for theme in ("light", "dark"):
        emulate(page, theme)
        WebDriverWait(page, 20).until(
            lambda driver, theme=theme: driver.execute_script("return document.documentElement.dataset.theme") == theme
        )
        dots = page.find_elements(By.CSS_SELECTOR, "[data-label='7'] i")
        shown = {dot.value_of_css_property("background-color") for dot in dots}
        colour = page.execute_script("return colours()[7]")
        assert shown == {f"rgba({', '.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))}, 1)"}


def test_the_decoder_agrees_with_pytorch(page, experiment):
    """Everywhere on the plane, within 1/255 per pixel."""
    limit = page.execute_script("return index.limit")
    line = np.linspace(-limit, limit, 9)
    codes = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2).tolist()
    for run in ("aae-0", "vae-0", "aae_wide-0"):
        images = page.execute_script(
            "const layers = loadDecoder(arguments[0]); return arguments[1].map((z) => [...decode(layers, z)])",
            run,
            codes,
        )
        true = expected(experiment, run, codes)
        assert np.ptp(true) > 0.9, "the decoder has learnt something"
        assert np.abs(np.array(images) - true).max() <= 1 / 255


def test_hovering_decodes_the_point_under_the_pointer(page, experiment):
    plane = page.find_element(By.ID, "plane")
    page.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", plane)
    limit = page.execute_script("return index.limit")
    images = []
    for across, up in ((0.25, -0.2), (-0.3, 0.1)):
        side = plane.size["width"]
        ActionChains(page).move_to_element_with_offset(plane, round(across * side), round(-up * side)).perform()
        point, image = decoded(page)
        assert point == pytest.approx([2 * across * limit, 2 * up * limit], abs=3 * limit / side)  # to a pixel or so
        assert np.abs(image / 255 - expected(experiment, "aae-0", point)).max() <= 1.5 / 255  # half for 8 bits
        images.append(image)
    assert (images[0] != images[1]).any()


def test_the_explorer_by_keyboard_and_for_the_other_model(page, experiment):
    plane = page.find_element(By.ID, "plane")
    plane.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_UP)
    point, _ = decoded(page)
    limit = page.execute_script("return index.limit")
    assert point == pytest.approx([0.05 * limit, 0.025 * limit])
    page.find_element(By.CSS_SELECTOR, "[name=decoder][value=vae-0]").click()
    same, image = decoded(page)
    assert same == point
    assert np.abs(image / 255 - expected(experiment, "vae-0", point)).max() <= 1.5 / 255
    plane.send_keys(*[Keys.ARROW_LEFT] * 100)
    assert decoded(page)[0][0] == -limit, "the point stays in the plane"
    plane.send_keys(Keys.HOME)
    assert decoded(page)[0] == [0, 0]


def test_the_nearest_test_images(page, experiment):
    """They are nearest according to the run's last codes, and their own pictures are shown."""
    plane = page.find_element(By.ID, "plane")
    plane.send_keys(Keys.ARROW_UP)
    (x, y), _ = decoded(page)
    codes = np.load(experiment / "results/codes/aae-0.npy")[-1]
    order = np.random.default_rng(0).permutation(len(codes))
    distances = np.sort(np.hypot(*(codes - [x, y]).T))
    figures = page.find_elements(By.CSS_SELECTOR, "#nearest figure")
    assert len(figures) == 5
    shown = [float(figure.text.split("\n")[1]) for figure in figures]
    limit = page.execute_script("return index.limit")
    assert shown == pytest.approx(distances[:5].tolist(), abs=1.5 * limit / 254 + 0.005)
    images = np.load(experiment / "data/prepared/test_images.npy").reshape(len(order), -1)
    labels = np.load(experiment / "data/prepared/test_labels.npy")
    for figure in figures:
        pixels = page.execute_script(
            "const c = arguments[0].querySelector('canvas');"
            "return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter((_, i) => i % 4 === 0)",
            figure,
        )
        found = np.flatnonzero((images == np.array(pixels)).all(axis=1))
        assert len(found) >= 1
        assert figure.text.split("\n")[0] in {str(labels[i]) for i in found}


def test_touch_decodes(page, experiment):
    page.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    plane = page.find_element(By.ID, "plane")
    page.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", plane)
    box = page.execute_script("const b = plane.getBoundingClientRect(); return [b.left, b.top, b.width]")
    where = {"x": box[0] + 0.7 * box[2], "y": box[1] + 0.4 * box[2]}
    page.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [where]})
    page.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
    limit = page.execute_script("return index.limit")
    assert decoded(page)[0] == pytest.approx([0.4 * limit, 0.2 * limit], abs=0.01 * limit)


def test_curves_tell_their_values(page, experiment):
    """The value is the mean over the seeds at the epoch that the arrow keys select."""
    chart = page.find_element(By.CSS_SELECTOR, ".chart > svg")
    chart.send_keys(Keys.ARROW_LEFT)
    outputs = [output.text for output in page.find_elements(By.CSS_SELECTOR, ".chart:first-child output")]
    tables = [np.genfromtxt(experiment / f"results/match/aae-{seed}.csv", delimiter=",", names=True) for seed in (0, 1)]
    mean = np.mean([table["codessliced_wasserstein"][EPOCHS - 1] for table in tables])
    value, epoch = outputs[0].split(" at epoch ")
    assert float(value) == pytest.approx(mean, rel=0.006)  # three digits
    assert int(epoch) == EPOCHS - 1
    assert len(outputs) == 4
    assert page.find_element(By.CSS_SELECTOR, ".cursor").is_displayed()


def test_curves_of_snapshots_name_the_snapshots_epoch(page, experiment):
    """Between two snapshots, the curve shows the nearest one's value, and the cursor is there."""
    page.find_element(By.CSS_SELECTOR, ".chart > svg").send_keys(Keys.ARROW_LEFT)
    chart = next(
        figure for figure in page.find_elements(By.CLASS_NAME, "chart") if figure.text.startswith("Reconstruction of")
    )
    value, epoch = chart.find_element(By.TAG_NAME, "output").text.split(" at epoch ")
    assert int(epoch) == EPOCHS
    files = [experiment / f"results/curves/aae-{seed}.csv" for seed in (0, 1)]
    finals = [np.genfromtxt(file, delimiter=",", names=True)["reconstructionnats"][-1] for file in files]
    assert float(value) == pytest.approx(np.mean(finals), rel=0.006)
    right = page.execute_script("return Number(document.querySelector('.charts').dataset.right)")
    cursor = chart.find_element(By.CLASS_NAME, "cursor")
    place = "return arguments[0].getBBox().x + arguments[0].transform.baseVal.consolidate().matrix.e"
    assert page.execute_script(place, cursor) == pytest.approx(right, abs=0.5)


@pytest.mark.parametrize("first", ["light", "dark"])
def test_the_themes(page, first):
    def lightness() -> float:
        colour = page.execute_script("return getComputedStyle(document.body).backgroundColor")
        return sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(","))) / (3 * 255)

    emulate(page, first)
    page.refresh()
    WebDriverWait(page, 20).until(lambda driver: driver.execute_script("return 'point' in plane.dataset"))
    before, picture = lightness(), drawing(page, "epoch-scatter-aae")
    assert (before > 0.5) == (first == "light")
    page.find_element(By.ID, "theme").click()
    assert (lightness() > 0.5) == (first == "dark")
    assert drawing(page, "epoch-scatter-aae") != picture, "the labels have other colours"


@pytest.mark.parametrize("width", [320, 390, 768])
def test_narrow_screens_need_no_sideways_scrolling(page, width):
    narrow(page, width)
    assert page.execute_script("return document.documentElement.scrollWidth") == width
    for element in page.find_elements(By.CSS_SELECTOR, "canvas, img, button, input"):
        assert element.rect["x"] + element.rect["width"] <= width + 1


@pytest.mark.parametrize("width", [320, 390])
def test_tables_stack_their_rows_on_a_phone(page, width):
    """Each number is on the screen, after the name of its column. Nothing needs scrolling."""
    narrow(page, width)
    for box in page.find_elements(By.CLASS_NAME, "scroll"):
        assert page.execute_script("return arguments[0].scrollWidth <= arguments[0].clientWidth", box)
    row = page.find_element(By.CSS_SELECTOR, "table.stacked tbody tr")
    cells = row.find_elements(By.TAG_NAME, "td")
    tops = [cell.rect["y"] for cell in cells]
    assert tops == sorted(set(tops)), "one below another"
    for cell in cells:
        assert cell.rect["x"] + cell.rect["width"] <= width
        name = page.execute_script("return getComputedStyle(arguments[0], '::before').content", cell)
        assert name.strip('"') == cell.get_attribute("data-column") != ""
    assert page.find_element(By.TAG_NAME, "caption").is_displayed()


def test_tables_are_tables_on_a_wide_screen(page):
    row = page.find_element(By.CSS_SELECTOR, "table.stacked tbody tr")
    assert len({cell.rect["y"] for cell in row.find_elements(By.TAG_NAME, "td")}) == 1
    assert page.find_element(By.TAG_NAME, "thead").is_displayed()


def test_it_prints_in_the_light_theme(page):
    emulate(page, "dark")
    theme = "return document.documentElement.dataset.theme"
    WebDriverWait(page, 20).until(lambda driver: driver.execute_script(theme) == "dark")  # the page is notified later
    page.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert page.execute_script(theme) == "light"
    page.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert page.execute_script(theme) == "dark"


def test_what_can_be_seen_can_be_read(page):
    """Every picture has a text, every control has a name, and the keyboard reaches whatever the mouse reaches."""
    page.find_element(By.TAG_NAME, "summary").click()
    for element in page.find_elements(By.CSS_SELECTOR, "img, canvas[role=img]"):
        assert element.get_attribute("alt") or element.get_attribute("aria-label")
    for element in page.find_elements(By.CSS_SELECTOR, "button, input, select, a, [tabindex='0']"):
        assert element.accessible_name
        assert page.execute_script("return arguments[0].tabIndex", element) == 0
