"""The table of scores, from output of `dvc exp show --json`. test_experiments.py tests it on real experiments."""

from pipeline.compare import table


def state(rev: str, name: str | None, params: dict, scores: dict, experiments: list | None = None) -> dict:
    data = {"params": {"params.yaml": {"data": params}}, "metrics": {"results/scores.json": {"data": scores}}}
    return {"rev": rev, "name": name, "data": data, "experiments": experiments}


AAE = {"distance": 0.17, "worst": 1.62, "nats": 152.9, "knn": 0.658}
PARAMS = {"epochs": 100, "seeds": [0], "aae": {"prior": {"std": 1.0}}}
WIDE = PARAMS | {"aae": {"prior": {"std": 2.0}}, "seeds": [0, 1]}


def test_every_model_of_every_state_has_a_line():
    failed = {"rev": "deadbeef0", "name": "failed", "data": None, "error": {"msg": "no"}, "experiments": None}
    wide = state("beef", "wide", WIDE, {"aae": AAE, "vae": {"distance": 0.25, "worst": 0.3, "nats": 141.8}})
    experiments = [{"revs": [wide]}, {"revs": [failed]}]
    states = [
        state("workspace", None, PARAMS | {"epochs": 3}, {"aae": AAE}),
        state("0123456789", "main", PARAMS, {"aae": AAE}, experiments),
        state("abcdefabcdef", None, PARAMS, {}),
    ]
    assert table(states).splitlines() == [
        "                        distance     worst      nats       knn",
        "working tree: epochs 100 -> 3",
        "  aae                      0.170     1.620     152.9     65.8%",
        "commit 0123456 (main)",
        "  aae                      0.170     1.620     152.9     65.8%",
        "wide (experiment): aae.prior.std 1.0 -> 2.0, seeds [0] -> [0, 1]",
        "  aae                      0.170     1.620     152.9     65.8%",
        "  vae                      0.250     0.300     141.8          ",
        "failed (experiment)",
        "  no scores",
        "commit abcdefa",
        "  no scores",
    ]
