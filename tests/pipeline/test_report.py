"""Stage `report` on tiny runs."""

import re
import subprocess
from pathlib import Path

import pytest

from pipeline import report
from tests.pipeline.tiny_runs import ALL, EPOCHS, RUNS, failure, run_stages, write_inputs


def test_the_report_and_its_pictures(workspace):
    names = {f"{run}-{kind}.png" for run in RUNS for kind in ("scatter", "manifold")}
    assert {path.name for path in Path("report").iterdir()} == {"index.html", "report.md"} | names
    markdown = Path("report/report.md").read_text()
    for name in names:
        figure, epoch = Path("results/figures") / name[:5], EPOCHS[-1]
        assert (Path("report") / name).read_bytes() == (figure / f"{name[6:-4]}-{epoch:03d}.png").read_bytes()
        assert f"]({name})" in markdown
    page = Path("report/index.html").read_text()
    assert all(f'id="codes-{run}"' in page and f'id="manifold-{run}-2"' in page for run in RUNS)


def test_the_report_links_to_nothing_and_names_the_files_with_the_numbers(workspace):
    """It can be sent to somebody who does not have the repository."""
    page, markdown = (Path("report", name).read_text() for name in ("index.html", "report.md"))
    assert not re.findall(r'(?:href|src)="(?!data:|#)[^"]*"', page)
    pictures = {path.name for path in Path("report").glob("*.png")}
    assert set(re.findall(r"\]\(([^)]*)\)", markdown)) == pictures
    for text, pattern in ((page, r"<code>(results/[^<]*)</code>"), (markdown, r"`(results/[^`]*)`")):
        named = re.findall(pattern, text)
        assert len(named) == 2 + 2 + 4 * len(RUNS)
        assert all(Path(name).is_file() for name in named)


def test_the_page_tells_the_timing_and_no_other_time(workspace, monkeypatch):
    before = Path("report/index.html").read_text()
    timing = Path("results/timing/aae-0.json")
    content = timing.read_text()
    timing.write_text(content.replace("12.0", "7654.5"))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    run_stages(report)
    after = Path("report/index.html").read_text()
    timing.write_text(content)
    run_stages(report)
    assert Path("report/index.html").read_text() == before
    assert after != before
    assert after.replace("7654.5", "12.0") == before


def test_three_models(three):
    """The claims' texts, the pictures and the table cover each model."""
    markdown, page = Path("report/report.md").read_text(), Path("report/index.html").read_text()
    pictures = {path.name for path in Path("report").glob("*.png")}
    assert pictures == {f"{run}-{kind}.png" for run in (*RUNS, "aae_wide-0") for kind in ("scatter", "manifold")}
    assert "and those of AAE wide " in markdown
    for name in ("AAE", "AAE wide"):
        assert f"### {name} compared with VAE\n" in markdown
        assert f"> {name}, seed 0</label>" in page
    assert "| Measure | Better | AAE | VAE, samples of q(z\\|x) | VAE, means of q(z\\|x) | AAE wide |" in markdown
    assert 'id="decoder-aae_wide-0"' in page
    assert "aae_wide.encoder_widths</dt><dd>12<" in page


@pytest.mark.parametrize("models", [("aae",), ("vae",), ("aae_wide", "aae")])
def test_no_pair_to_compare(tmp_path, monkeypatch, models):
    monkeypatch.chdir(tmp_path)
    write_inputs(models=models)
    run_stages(*ALL)
    markdown, page = Path("report/report.md").read_text(), Path("report/index.html").read_text()
    assert "There are no verdicts on claims: " in markdown
    assert "There are no verdicts on claims: " in page
    assert "compared with" not in markdown
    listed = {name for name in ("aae", "vae", "aae_wide") if f"<dt>{name}.kind</dt>" in page}
    assert listed == set(models), "parameters of models that are not trained are not listed"


def test_the_page_tells_the_commit(fresh):
    run_stages(*ALL)
    assert "<dd>unknown</dd>" in Path("report/index.html").read_text()

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
        done = subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q")
    git("add", "params.yaml")
    git("commit", "-qm", "experiment")
    commit = git("rev-parse", "--short=12", "HEAD")
    run_stages(report)
    assert f"<dd>{commit}</dd>" in Path("report/index.html").read_text(), "changed results are not changed sources"
    with open("params.yaml", "a") as file:
        file.write("# a change\n")
    run_stages(report)
    assert f"<dd>{commit} with changes</dd>" in Path("report/index.html").read_text()


@pytest.mark.parametrize(
    "missing",
    [
        "data/prepared/test_images.npy",
        "results/codes/vae-0.npy",
        "results/curves/vae-0.csv",
        "results/figures/aae-0/manifold-004.png",
        "results/floor/vae.json",
        "results/history/vae-0",
        "results/match/aae-0.csv",
        "results/metrics/aae-0.json",
        "results/snapshots/vae-0",
        "results/summary.json",
        "results/timing/vae-0.json",
        "results/timing_summary.json",
    ],
)
def test_missing_results_are_named(workspace, missing):
    path, aside = Path(missing), Path("aside")
    before = Path("report/index.html").read_bytes()
    path.rename(aside)
    try:
        assert f"error: {missing}" in failure(report)
    finally:
        aside.rename(path)
    assert Path("report/index.html").read_bytes() == before
