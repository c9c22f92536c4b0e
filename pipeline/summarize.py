"""Stage `summarize`: all runs together, the verdicts on the post's claims, and tables for `dvc plots`."""

from aae.claims import match_claim, stability_claim, time_claim
from aae.data import load_dataset
from aae.errors import InputError
from aae.flops import iteration_flops
from aae.summary import AGGREGATED, RunResult, first_match, over_seeds, summarize_model
from pipeline.cli import run_stage
from pipeline.params import MODELS, Params, load_params
from pipeline.paths import (
    CURVES,
    DATA,
    FLOOR,
    MATCH,
    PLOTS,
    SUMMARY,
    TIMING,
    TIMING_SUMMARY,
    run_name,
)
from pipeline.tables import read_csv, read_json, write_csv, write_json

PLOTTED_MATCH = ["sliced_wasserstein", "sliced_wasserstein_centred", "chi2_per_dof", "empty_cells", "ks_max"]
PLOTTED_CURVES = {
    "nats": "reconstruction{}.nats",
    "mse": "reconstruction{}.mse",
    "energy_distance": "codes{}.energy_distance",
    "knn_accuracy": "labels{}.knn_accuracy",
    "probe_accuracy": "labels{}.probe_accuracy",
}


def main() -> None:
    params = load_params()
    runs = {model: [load_run(model, seed) for seed in params.seeds] for model in MODELS}
    floor = read_json(FLOOR)
    level = params.evaluation.match_level
    flops = {model: flops_per_epoch(model, params) for model in MODELS}

    models = {model: summarize_model(runs[model], AGGREGATED[model]) for model in MODELS}
    for model in MODELS:
        epochs = [first_match(run, level) for run in runs[model]]
        models[model] |= {
            "flops_per_epoch": flops[model],
            "epochs_to_match": None if None in epochs else over_seeds(epochs),
        }
    models["vae_means"] = summarize_model(runs["vae"], "")
    claims = {
        "match": match_claim(runs["aae"], runs["vae"], floor),
        "stability": stability_claim(runs["aae"], runs["vae"]),
    }
    counts = {"seeds": len(params.seeds), "epochs": int(runs["aae"][0].final["epoch"])}
    write_json(SUMMARY, counts | models | {"claims": claims})

    timing = {model: [read_json(TIMING / f"{run_name(model, seed)}.json") for seed in params.seeds] for model in MODELS}
    seconds = {model: [each["seconds_per_epoch"] for each in timing[model]] for model in MODELS}
    times = {
        model: {
            "seconds_per_epoch": over_seeds(seconds[model]),
            "seconds": over_seeds([each["seconds"] for each in timing[model]]),
        }
        for model in MODELS
    }
    claim = time_claim(runs["aae"], runs["vae"], flops_per_epoch=flops, seconds_per_epoch=seconds, match_level=level)
    write_json(TIMING_SUMMARY, times | {"claims": {"time": claim}})
    write_plots(runs, floor)


def load_run(model: str, seed: int) -> RunResult:
    """What was measured of run (model, seed)."""
    run = run_name(model, seed)
    match, curves = read_csv(MATCH / f"{run}.csv"), read_csv(CURVES / f"{run}.csv")
    if match[-1]["epoch"] != curves[-1]["epoch"]:
        raise InputError(
            f"{MATCH / f'{run}.csv'}: ends with epoch {match[-1]['epoch']:g}, the snapshots with "
            f"{curves[-1]['epoch']:g}; `dvc repro` makes both"
        )
    return RunResult(model, seed, match, curves)


def flops_per_epoch(model: str, params: Params) -> int:
    """FLOPs of an epoch of training, see `aae.flops`."""
    images = load_dataset(DATA).train_images
    settings = params.aae if model == "aae" else params.vae
    sizes = {name: value for name, value in settings.model_dump().items() if name.endswith("_widths")}
    if model == "aae" and params.prior.labels:
        sizes["label_classes"] = params.data.classes
    flops = iteration_flops(
        model,
        batch_size=params.batch_size,
        pixels=images[0].size,
        code_size=params.code_size,
        **sizes,
    )
    return len(images) // params.batch_size * flops


def write_plots(runs: dict[str, list[RunResult]], floor: dict) -> None:
    """Two tables in the long form, with a line's name in the column `run`: of every epoch, and of every snapshot."""
    match, curves = [], []
    for model, of_model in runs.items():
        suffixes = {"": " means", "_sampled": ""} if model == "vae" else {"": ""}
        for run in of_model:
            for suffix, label in suffixes.items():
                name = {"run": run_name(model, run.seed) + label}
                for row in run.match:
                    values = {measure: row[f"codes{suffix}.{measure}"] for measure in PLOTTED_MATCH}
                    match.append({"epoch": int(row["epoch"])} | name | values)
                for row in run.curves:
                    values = {key: row[column.format(suffix)] for key, column in PLOTTED_CURVES.items()}
                    curves.append({"epoch": int(row["epoch"])} | name | values)
    for epoch in (0, match[-1]["epoch"]):
        values = {measure: floor["aae"][measure]["mean"] for measure in PLOTTED_MATCH}
        match.append({"epoch": epoch, "run": "prior"} | values)
    write_csv(PLOTS / "match.csv", match)
    write_csv(PLOTS / "snapshots.csv", curves)


if __name__ == "__main__":
    run_stage(main)
