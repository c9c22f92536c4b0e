"""Results of runs that params.yaml does not name, and files that a killed process left."""

from pathlib import Path

from pipeline import leftovers
from tests.pipeline.tiny_runs import outputs, run_stages


def test_results_of_other_runs_go_and_all_else_stays(workspace, capsys):
    before = outputs()
    notes = [Path("results/curves/notes.csv"), Path("results/metrics/aae-0-old.json"), Path("results/my-1.txt")]
    kinds = {"curves": ".csv", "match": ".csv", "metrics": ".json", "timing": ".json", "codes": ".npy"}
    files = [Path(f"results/{kind}/vae-7{suffix}") for kind, suffix in kinds.items()]
    files += [Path("results/codes/vae-7.npy.sha256"), Path("results/figures_sums/vae-7.sha256")]
    folders = [Path(f"results/{name}/gone_model-0") for name in ("figures", "history", "snapshots")]
    for folder in folders:
        folder.mkdir()
    for path in (*notes, *files, Path("results/floor/gone_model.json"), *(folder / "file" for folder in folders)):
        path.write_text("content")
    run_stages(leftovers)
    after = outputs()
    assert set(after) - set(before) == set(map(str, notes))
    assert {path: after[path] for path in before} == before
    assert capsys.readouterr().out == (
        "removed the results of gone_model, gone_model-0, vae-7: params.yaml does not name them "
        "(DVC's cache keeps them)\n"
    )
    for path in notes:
        path.unlink()
    run_stages(leftovers)
    assert capsys.readouterr().out == ""


def test_unfinished_files_of_stages_and_of_dvc_go(workspace):
    before = outputs()
    for name in (
        "results/match/aae-0.csv.unfinished",
        "results/match/.AbCdEfGhIjKlMnOpQrSt_-.tmp",
        "results/figures/aae-0/scatter-002.png.AbCdEfGhIjKlMnOpQrSt_-.tmp",
        "data/prepared/test_images.npy.unfinished",
        "report/index.html.unfinished",
    ):
        Path(name).touch()
    run_stages(leftovers)
    assert outputs() == before
    assert not list(Path("data/prepared").glob("*.unfinished"))
