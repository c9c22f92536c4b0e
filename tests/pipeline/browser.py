"""Helpers for tests of the page: Debian's headless chromium, and small experiments with trained decoders."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from aae.data import ARRAYS, Dataset, save_dataset
from aae.models import Recipe, build_model, kind_name, to_inputs
from aae.readers.idx import read_idx_folder
from aae.snapshots import Metadata, save_snapshot
from pipeline.params import load_params
from pipeline.paths import CODES, DATA, HISTORY, SNAPSHOTS, TIMING, run_name
from tests.pipeline.tiny_runs import ALL, WIDE, list_sums, run_stages

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402, F401
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
NEEDS_BROWSER = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver (Debian's chromium-driver)"
)
ROOT = Path(__file__).parents[2]
N, EPOCHS, SNAPSHOT_EVERY = 300, 6, 3
CHANGES = {
    "epochs: 100 ": f"epochs: {EPOCHS} ",
    "snapshot_every: 10 ": f"snapshot_every: {SNAPSHOT_EVERY} ",
    "floor_samples: 100 ": "floor_samples: 5 ",
    "projections: 128 ": "projections: 16 ",
    "manifold_size: 30 ": "manifold_size: 6 ",
}


def mnist() -> Dataset:
    """The first N images of each of MNIST's sets."""
    whole = read_idx_folder(ROOT / "data/raw/mnist", classes=10)
    return replace(whole, **{name: getattr(whole, name)[:N] for name in ARRAYS})


def make_experiment(folder: Path, data: Dataset, changes: dict[str, str]) -> None:
    """A small experiment on `data` in `folder`, in which all stages have run. `changes` edit params.yaml."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        text = (ROOT / "params.yaml").read_text()
        for old, new in (CHANGES | changes).items():
            assert old in text
            text = text.replace(old, new)
        Path("params.yaml").write_text(text + WIDE.replace("[12]", "[64]"))
        save_dataset(data, DATA)
        params = load_params()
        for recipe in params.recipes:
            for seed in params.seeds:
                train(recipe, seed, data, params.code_size)
        run_stages(*ALL)


def train(recipe: Recipe, seed: int, data: Dataset, code_size: int) -> None:
    """Writes snapshots, codes, history and timing of a short training on the test images. The networks are those of the
    default experiment, and their codes and weights reach the size that a real training gives them."""
    x, run = to_inputs(data.test_images), run_name(recipe.name, seed)
    model = build_model(kind_name(recipe.kind), seed, **recipe.sizes(data.pixels, code_size, data.classes))
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    metadata = Metadata(recipe.prior(code_size, data.classes), data.shape, data.class_names)
    codes = []
    for epoch in range(EPOCHS + 1):
        codes.append(model.encoder(x).detach().numpy().copy())
        if epoch % SNAPSHOT_EVERY == 0:
            save_snapshot(SNAPSHOTS / run, epoch, model, metadata)
        for _ in range(10):
            optimiser.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(model.decode(model.encode(x)), x).backward()
            optimiser.step()
    CODES.mkdir(parents=True, exist_ok=True)
    np.save(CODES / f"{run}.npy", np.stack(codes))
    list_sums(run)
    for loss in (loss for chart in recipe.kind.loss_charts for loss in chart.lines):
        path = HISTORY / run / f"plots/metrics/{loss}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join([f"step\t{loss}\n", *[f"{epoch}\t{10 / epoch}\n" for epoch in range(1, EPOCHS + 1)]]))
    TIMING.mkdir(exist_ok=True)
    timing = {"seconds": 12.5, "seconds_per_epoch": 2.0, "device": "a processor"}
    (TIMING / f"{run}.json").write_text(json.dumps(timing))


def start_chromium():
    """Returns a driver. The caller must quit it."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(flag)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's sandbox does not run as root
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options, webdriver.ChromeService(DRIVER))


def open_page(driver, folder: Path, ready: str, theme: str = "light") -> None:
    """Opens the page of the experiment in `folder` in a wide window, and waits until the JavaScript `ready` is true."""
    emulate(driver, theme)
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    driver.set_window_size(1300, 900)
    for kind in ("browser", "performance"):
        driver.get_log(kind)
    driver.get((folder / "report/index.html").as_uri())
    WebDriverWait(driver, 20).until(lambda driver: driver.execute_script(f"return {ready}"))


def check_nothing_went_wrong(driver) -> None:
    """Checks that the console has no message and that the browser has requested only the page's file."""
    # Chromium warns when canvases are read as often as these tests do.
    assert [entry for entry in driver.get_log("browser") if "will-read-frequently" not in entry["message"]] == []
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in urls if not url.startswith("data:") and not url.endswith("/report/index.html")] == []


def emulate(driver, theme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": theme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def narrow(driver, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def drawing(driver, name: str) -> str:
    """The content of a canvas or the source of a picture."""
    return driver.execute_script(
        "const e = document.getElementById(arguments[0]); return e.toDataURL ? e.toDataURL() : e.src", name
    )


def coloured(driver, name: str) -> int:
    """The number of a canvas's pixels that are neither white, grey nor black."""
    return driver.execute_script(
        "const c = document.getElementById(arguments[0]);"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0;"
        "for (let i = 0; i < d.length; i += 4)"
        "  n += Math.max(d[i], d[i + 1], d[i + 2]) - Math.min(d[i], d[i + 1], d[i + 2]) > 40;"
        "return n",
        name,
    )


def grey_pixels(driver, name: str) -> np.ndarray:
    """The pixels of a grey canvas, float [pixels] in [0, 255]."""
    pixels = driver.execute_script(
        "const c = document.getElementById(arguments[0]);"
        "return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter((_, i) => i % 4 === 0)",
        name,
    )
    return np.array(pixels, dtype=float)


def set_epoch(driver, epoch: int) -> None:
    slider = driver.find_element(By.ID, "epoch")
    slider.send_keys(Keys.HOME, *[Keys.ARROW_RIGHT] * epoch)
