"""Summary and page of a hundred seeds, and of thousands of epochs: small, right, and made within bounded memory."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from aae.charts import BAND, MOST_POINTS
from aae.page_data import FRAMES, SNAPSHOTS
from aae.results import PICTURED_SEEDS
from pipeline import evaluate, floor, render, report, summarize
from tests.pipeline.many_runs import lengthen_runs, repeat_runs
from tests.pipeline.tiny_runs import failure, load, run_stages, write_inputs

ROOT = Path(__file__).parents[2]
SEEDS = 100


@pytest.fixture(scope="module")
def hundred(tmp_path_factory):
    """A folder with a hundred seeds of two models, in which the last stages have run."""
    folder = tmp_path_factory.mktemp("hundred")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_inputs()
        run_stages(floor, evaluate, render)
        repeat_runs(SEEDS)
        run_stages(summarize, report)
    return folder


@pytest.fixture
def workspace(hundred, monkeypatch):
    """Makes the folder with a hundred seeds the working folder. A test that changes it must restore it."""
    monkeypatch.chdir(hundred)


def measured(column: str) -> np.ndarray:
    """A column of `results/match/aae-<seed>.csv` [seeds, epochs]."""
    tables = [np.genfromtxt(f"results/match/aae-{seed}.csv", delimiter=",", names=True) for seed in range(SEEDS)]
    return np.array([table[column.replace(".", "")] for table in tables])


def test_scores_and_plots_stay_small(workspace):
    assert Path("results/scores.json").stat().st_size < 500
    assert Path("results/summary.json").stat().st_size < 20_000
    with open("results/plots/match.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = {row["run"] for row in rows}
    shares = ("50%", "10%", "90%")
    assert lines == {"prior", *[f"{name} {share}" for name in ("aae", "vae", "vae means") for share in shares]}
    values = measured("codes.sliced_wasserstein")
    for share in (0.1, 0.5, 0.9):
        line = [float(row["sliced_wasserstein"]) for row in rows if row["run"] == f"aae {share:.0%}"]
        assert line == pytest.approx(np.quantile(values, share, axis=0), rel=1e-5)


def test_the_page_shows_quantiles_and_the_pictures_of_a_few_seeds(workspace):
    page = Path("report/index.html").read_text()
    assert len(page) < 10_000_000 / 10, "this is a tiny experiment"
    chart = re.search(r"<strong>Distance from the prior</strong>.*?</figure>", page, re.S).group()
    assert "data-banded" in page
    series = json.loads(re.search(r'<script type="application/json">(.*?)</script>', chart).group(1))
    values = measured("codes.sliced_wasserstein")
    for line, share in zip(series[0], (0.5, *BAND), strict=True):
        expected = np.quantile(values, share, axis=0)
        assert [value for _, value in line] == pytest.approx(expected, rel=1e-3)
    assert chart.count("<polygon") == 3, "one for each kind of codes"
    assert chart.count("<polyline") == 6, "for each kind the median and the first seed"
    assert re.findall(r'id="codes-aae-(\d+)"', page) == [str(seed) for seed in range(PICTURED_SEEDS)]
    assert f"first {PICTURED_SEEDS} of {SEEDS} seeds" in page


def test_runs_are_folded_and_files_named_by_their_folders(workspace):
    page, markdown = (Path("report", name).read_text() for name in ("index.html", "report.md"))
    for text in (page, markdown):
        folded = re.search(r"<summary>All 200 runs</summary>(.*?)</details>", text, re.S).group(1)
        assert "aae-99" in folded
        assert "aae-99" not in text.replace(folded, "")
    assert "<code>results/metrics</code>" in page
    assert "<dt>seeds</dt><dd>0 to 99</dd>" in page
    times = [load(f"results/timing/aae-{seed}.json")["seconds_per_epoch"] for seed in range(SEEDS)]
    summary = f"{np.mean(times):.3g} ± {np.std(times, ddof=1):.3g}"
    assert f"{summary} ({min(times):.3g} to {max(times):.3g})" in markdown
    assert f'{summary} <span class="extremes">' in page


def test_verdicts_count_the_seeds(workspace):
    (reason, *_) = load("results/timing_summary.json")["claims"]["aae"]["time"]["reasons"][1:]
    assert re.search(r"; longer for AAE in \d+ of 100 seeds: for$", reason)


def test_a_hundred_seeds_take_hardly_more_memory_than_one(workspace):
    before = Path("report/index.html").read_bytes()
    base = peak("import aae.report, pipeline.report, pipeline.summarize")
    for stage in ("summarize", "report"):
        used = peak(f"import runpy; runpy.run_module('pipeline.{stage}', run_name='__main__')")
        assert used < base + 150 * 2**20
    assert Path("report/index.html").read_bytes() == before


def peak(code: str) -> int:
    """The bytes of memory that `code` takes at most, with at most 4 GiB of address space."""
    limited = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30,) * 2);"
        f"{code};"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    # Every thread reserves address space.
    variables = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", limited], env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return 1024 * int(done.stdout.splitlines()[-1])


def test_a_run_with_other_epochs_is_named(workspace):
    for folder in ("match", "curves"):
        path = Path(f"results/{folder}/aae-7.csv")
        content = path.read_text()
        rows = content.splitlines(keepends=True)
        path.write_text("".join([*rows[:2], *rows[3:]]))
        try:
            assert failure(summarize).startswith(
                f"error: {path}: has other epochs than aae-0.csv; `dvc repro evaluate@"
            )
        finally:
            path.write_text(content)


def test_thousands_of_epochs(tmp_path, monkeypatch):
    """The page has evenly spaced epochs and snapshots, with the first and the last; peaks remain in the curves."""
    monkeypatch.chdir(tmp_path)
    write_inputs()
    run_stages(floor, evaluate, render)
    epochs, peak = 3002, 1501
    lengthen_runs(epochs)
    path = Path("results/match/aae-0.csv")
    rows = path.read_text().splitlines()
    place = rows[0].split(",").index("codes.sliced_wasserstein")
    cells = rows[1 + peak].split(",")
    cells[place] = "77777"
    rows[1 + peak] = ",".join(cells)
    path.write_text("\n".join(rows) + "\n")
    run_stages(summarize, report)
    page = Path("report/index.html").read_text()
    assert len(page) < 3_000_000
    index = json.loads(re.search(r'<script type="application/json" id="index">(.*?)</script>', page).group(1))
    for shown, most in ((index["epochs"], FRAMES), (index["snapshots"], SNAPSHOTS)):
        assert most / 2 < len(shown) <= most
        assert (shown[0], shown[-1]) == (0, index["lastEpoch"])
        assert len(set(np.diff(shown[:-1]))) == 1
    assert index["lastEpoch"] == epochs
    assert f"[{peak}.0,77780.0]" in page.replace(" ", "")
    with open("results/plots/match.csv", newline="") as file:
        lines = [row["run"] for row in csv.DictReader(file)]
    assert lines.count("aae-0") <= MOST_POINTS
