"""The page in a real browser: Debian's chromium and chromium-driver, without a window."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from aae.data import ARRAYS, Dataset, save_dataset
from aae.idx import read_idx_folder
from aae.models import Recipe, build_model, kind_name, to_inputs
from aae.snapshots import Metadata, load_snapshot, save_snapshot
from pipeline.params import load_params
from pipeline.paths import CODES, DATA, HISTORY, SNAPSHOTS, TIMING, run_name
from tests.pipeline.tiny_runs import ALL, WIDE, run_stages

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.xdist_group("page"),  # one worker makes the page and starts the browser
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver (Debian's chromium-driver)"),
]
ROOT = Path(__file__).parents[2]
N, EPOCHS, SNAPSHOT_EVERY = 300, 6, 3
SEEDS = (0, 1)
CHANGES = {
    "epochs: 100 ": f"epochs: {EPOCHS} ",
    "snapshot_every: 10 ": f"snapshot_every: {SNAPSHOT_EVERY} ",
    "seeds: [0]": "seeds: [0, 1]",
    "models: [aae, aae_joint, vae]": "models: [aae, vae, aae_wide]",
    "floor_samples: 100 ": "floor_samples: 5 ",
    "projections: 128 ": "projections: 16 ",
    "manifold_size: 30 ": "manifold_size: 6 ",
}
MODELS = ("aae", "vae", "aae_wide")
PICTURES = [f"epoch-scatter-{model}" for model in MODELS]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> Path:
    """A folder with a small experiment of two seeds, all stages after the training done."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        text = (ROOT / "params.yaml").read_text()
        for old, new in CHANGES.items():
            assert old in text
            text = text.replace(old, new)
        Path("params.yaml").write_text(text + WIDE.replace("[12]", "[64]"))
        mnist = read_idx_folder(ROOT / "data/raw/mnist", classes=10)
        cut = {name: getattr(mnist, name)[:N] for name in ARRAYS}
        data = replace(mnist, **cut)
        save_dataset(data, DATA)
        for recipe in load_params().recipes:
            for seed in SEEDS:
                train(recipe, seed, data)
        run_stages(*ALL)
    return folder


def train(recipe: Recipe, seed: int, data: Dataset) -> None:
    """Snapshots, codes, history and timing of a short training on the test images, after which codes and weights are
    of a training's size: the networks are those of the default experiment."""
    x, run = to_inputs(data.test_images), run_name(recipe.name, seed)
    model = build_model(kind_name(recipe.kind), seed, **recipe.sizes(data.pixels, 2, data.classes))
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    codes = []
    for epoch in range(EPOCHS + 1):
        codes.append(model.encoder(x).detach().numpy().copy())
        if epoch % SNAPSHOT_EVERY == 0:
            metadata = Metadata(recipe.prior(2, data.classes), data.shape, data.class_names)
            save_snapshot(SNAPSHOTS / run, epoch, model, metadata)
        for _ in range(10):
            optimiser.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(model.decode(model.encode(x)), x).backward()
            optimiser.step()
    CODES.mkdir(parents=True, exist_ok=True)
    np.save(CODES / f"{run}.npy", np.stack(codes))
    for loss in (loss for chart in recipe.kind.loss_charts for loss in chart.lines):
        path = HISTORY / run / f"plots/metrics/{loss}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join([f"step\t{loss}\n", *[f"{epoch}\t{10 / epoch}\n" for epoch in range(1, EPOCHS + 1)]]))
    TIMING.mkdir(exist_ok=True)
    timing = {"seconds": 12.5, "seconds_per_epoch": 2.0, "device": "a processor"}
    (TIMING / f"{run}.json").write_text(json.dumps(timing))


@pytest.fixture(scope="module")
def chromium(experiment):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(flag)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's sandbox refuses root
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(chromium, experiment):
    """The page, just opened in a wide window of the light theme; afterwards nothing may have gone wrong in it."""
    emulate(chromium, "light")
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.set_window_size(1300, 900)
    for kind in ("browser", "performance"):
        chromium.get_log(kind)
    chromium.get((experiment / "report/index.html").as_uri())
    WebDriverWait(chromium, 20).until(lambda driver: driver.execute_script("return 'point' in plane.dataset"))
    yield chromium
    # Tests read canvases more often than Chromium thinks well of.
    assert [entry for entry in chromium.get_log("browser") if "will-read-frequently" not in entry["message"]] == []
    assert outside_requests(chromium) == []


def emulate(driver, theme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": theme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def outside_requests(driver) -> list[str]:
    """What the browser asked for since the log was read, but the page's own file and what it holds itself."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    ]
    return [url for url in urls if not url.startswith("data:") and not url.endswith("/report/index.html")]


def drawing(driver, name: str) -> str:
    """What a canvas shows or a picture's source is."""
    return driver.execute_script(
        "const e = document.getElementById(arguments[0]); return e.toDataURL ? e.toDataURL() : e.src", name
    )


def set_epoch(driver, epoch: int) -> None:
    slider = driver.find_element(By.ID, "epoch")
    slider.send_keys(Keys.HOME, *[Keys.ARROW_RIGHT] * epoch)


def decoded(driver) -> tuple[list[float], np.ndarray]:
    """The explorer's point and the bytes of the image that it shows."""
    point = json.loads(driver.find_element(By.ID, "plane").get_attribute("data-point"))
    pixels = driver.execute_script(
        "const c = document.getElementById('decoded');"
        "return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter((_, i) => i % 4 === 0)"
    )
    return point, np.array(pixels, dtype=float)


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


def coloured(driver, name: str) -> int:
    """How many of a canvas's pixels are neither white, nor grey, nor black."""
    return driver.execute_script(
        "const c = document.getElementById(arguments[0]);"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0;"
        "for (let i = 0; i < d.length; i += 4)"
        "  n += Math.max(d[i], d[i + 1], d[i + 2]) - Math.min(d[i], d[i + 1], d[i + 2]) > 40;"
        "return n",
        name,
    )


def test_the_slider_moves_scatter_and_manifold(page):
    names = [f"epoch-{kind}-{model}" for kind in ("scatter", "manifold") for model in MODELS]
    seen = {name: [drawing(page, name)] for name in names}
    assert page.find_element(By.ID, "epoch-text").text == f"epoch {EPOCHS}"
    for epoch in range(EPOCHS):
        set_epoch(page, epoch)
        assert page.find_element(By.ID, "epoch-text").text == f"epoch {epoch}"
        for name in names:
            seen[name].append(drawing(page, name))
        shown = int(page.find_element(By.ID, "epoch-manifold-aae").get_attribute("data-epoch"))
        assert abs(shown - epoch) <= SNAPSHOT_EVERY / 2
    for name in names:
        assert len(set(seen[name])) == (EPOCHS + 1 if "scatter" in name else EPOCHS // SNAPSHOT_EVERY + 1), name


def test_codes_stand_where_they_are(page, experiment):
    """To the width of one of 254 cells."""
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


def test_the_legend_switches_labels(page):
    before = coloured(page, "epoch-scatter-aae")
    whole = drawing(page, "epoch-scatter-aae")
    button = page.find_element(By.CSS_SELECTOR, "[data-label='3']")
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert 0 < coloured(page, "epoch-scatter-aae") < before
    button.send_keys(Keys.SPACE)
    assert button.get_attribute("aria-pressed") == "true"
    assert drawing(page, "epoch-scatter-aae") == whole
    page.find_element(By.ID, "all-labels").click()
    assert coloured(page, "epoch-scatter-aae") == coloured(page, "final-scatter-vae") == 0
    page.find_element(By.ID, "all-labels").click()
    assert drawing(page, "epoch-scatter-aae") == whole


def test_the_decoder_agrees_with_pytorch(page, experiment):
    """All over the plane, within 1/255 a pixel."""
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
        assert np.ptp(true) > 0.9, "a decoder that has learnt something"
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
    assert decoded(page)[0][0] == -limit, "not out of the plane"
    plane.send_keys(Keys.HOME)
    assert decoded(page)[0] == [0, 0]


def test_the_nearest_test_images(page, experiment):
    """They are the nearest by the run's last codes, and the pictures are theirs."""
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
    """The mean over the seeds, at the epoch of the arrow keys."""
    chart = page.find_element(By.CSS_SELECTOR, ".chart > svg")
    chart.send_keys(Keys.ARROW_LEFT)
    outputs = [output.text for output in page.find_elements(By.CSS_SELECTOR, ".chart:first-child output")]
    tables = [np.genfromtxt(experiment / f"results/match/aae-{seed}.csv", delimiter=",", names=True) for seed in (0, 1)]
    mean = np.mean([table["codessliced_wasserstein"][EPOCHS - 1] for table in tables])
    value, epoch = outputs[0].split(" at ")
    assert float(value) == pytest.approx(mean, rel=0.006)  # three digits
    assert int(epoch) == EPOCHS - 1
    assert len(outputs) == 4
    assert page.find_element(By.CSS_SELECTOR, ".cursor").is_displayed()


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
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    assert page.execute_script("return document.documentElement.scrollWidth") == width
    for element in page.find_elements(By.CSS_SELECTOR, "canvas, img, button, input"):
        assert element.rect["x"] + element.rect["width"] <= width + 1


def test_it_prints_in_the_light_theme(page):
    emulate(page, "dark")
    theme = "return document.documentElement.dataset.theme"
    WebDriverWait(page, 20).until(lambda driver: driver.execute_script(theme) == "dark")  # the page hears of it later
    page.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert page.execute_script(theme) == "light"
    page.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert page.execute_script(theme) == "dark"


def test_what_can_be_seen_can_be_read(page):
    """Every picture has a text, every control a name, and the keyboard reaches what the mouse does."""
    page.find_element(By.TAG_NAME, "summary").click()
    for element in page.find_elements(By.CSS_SELECTOR, "img, canvas[role=img]"):
        assert element.get_attribute("alt") or element.get_attribute("aria-label")
    for element in page.find_elements(By.CSS_SELECTOR, "button, input, select, a, [tabindex='0']"):
        assert element.accessible_name
        assert page.execute_script("return arguments[0].tabIndex", element) == 0
