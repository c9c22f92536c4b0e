"""params.yaml: the committed file is valid, and whatever is wrong with another is said in one line."""

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from aae.errors import InputError
from aae.priors import MixturePrior, NormalPrior, SwissRollPrior, UniformPrior
from pipeline.params import MODELS, json_schema, load_params
from pipeline.prior import build_prior, prior_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def edit(tmp_path):
    """Returns a function that writes params.yaml with replacements, old and new in turn, and loads it."""

    def load_with(*replacements: str):
        text = (ROOT / "params.yaml").read_text()
        for old, new in zip(replacements[::2], replacements[1::2], strict=True):
            assert text.count(old) >= 1
            text = text.replace(old, new, 1)
        path = tmp_path / "params.yaml"
        path.write_text(text)
        return load_params(path)

    return load_with


def test_the_default_experiment_is_the_posts():
    params = load_params(ROOT / "params.yaml")
    assert (params.epochs, params.batch_size, params.code_size) == (100, 128, 2)
    assert params.aae.encoder_widths == params.aae.decoder_widths == params.aae.discriminator_widths == [512]
    for optimizer in (
        params.aae.autoencoder,
        params.aae.discriminator,
        params.aae.generator,
        params.vae.autoencoder,
    ):
        assert optimizer.learning_rate == 0.001
    assert (params.render.manifold_size, params.render.manifold_range) == (30, 3.0)
    assert all(hasattr(params, model) for model in MODELS)


def test_the_committed_schema_is_the_readers():
    assert (ROOT / "params.schema.json").read_text() == json_schema(), "run `python -m pipeline.params`"


def test_every_key_has_a_comment_or_a_comment_above():
    lines = (ROOT / "params.yaml").read_text().splitlines()
    keys = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    bare = [line for line in keys if "#" not in line and not line.rstrip().endswith(":")]
    # Below the models' sections the comment stands once above, with the terms it explains.
    assert {line.split(":")[0].strip() for line in bare} <= {
        "encoder_widths", "decoder_widths", "discriminator_widths", "learning_rate", "betas",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("epochs: 100", "epochs: 0", "epochs: input should be greater than or equal to 1; found 0"),
        ("epochs: 100", "epochs: ten", "epochs: input should be a valid integer; found 'ten'"),
        ("epochs: 100", "epochs: 1.5", "epochs: input should be a valid integer; found 1.5"),
        ("epochs: 100", "epochs: true", "epochs: input should be a valid integer; found True"),
        ("epochs: 100", "epoch: 100", "epoch: unknown key (did you mean epochs?)"),
        (
            "epochs: 100",
            "epochs: 100\nsnapshot_evry: 1",
            "snapshot_evry: unknown key (did you mean snapshot_every?)",
        ),
        ("batch_size: 128", "batch_size: 127", "batch_size: input should be a multiple of 2; found 127"),
        ("seeds: [0]", "seeds: []", "seeds: list should have at least 1 item"),
        ("seeds: [0]", "seeds: [-1]", "seeds.0: input should be greater than or equal to 0; found -1"),
        ("seeds: [0]", "seeds: [3, 3]", "seeds: 3 stands there twice"),
        ("device: auto", "device: gpu", "device: input should be 'auto', 'cpu' or 'cuda'; found 'gpu'"),
        (
            "precision: float32",
            "precision: float16",
            "precision: input should be 'float32', 'tf32' or 'bfloat16'; found 'float16'",
        ),
        ("cuda_graph: true", "cuda_graph: 36", "cuda_graph: input should be a valid boolean; found 36"),
        (
            "name: normal",
            "name: gauss",
            "prior.name: input should be 'normal', 'mixture', 'swiss_roll' or 'uniform'; found 'gauss'",
        ),
        ("std: 1.0", "std: .nan", "prior.normal.std: input should be"),
        (
            "turns: 2.0",
            "turns: 0.0",
            "prior.swiss_roll.turns: input should be greater than or equal to 0.001",
        ),
        ("labels: false", "labels: 1", "prior.labels: input should be a valid boolean; found 1"),
        ("labels: false", "labels: true", "prior.labels: prior normal has no classes; allowed here: false"),
        (
            "betas: [0.9, 0.999]",
            "betas: [0.9, 1.0]",
            "aae.autoencoder.betas.1: input should be less than 1; found 1.0",
        ),
        ("learning_rate: 0.001", "learning_rte: 0.001", "learning_rte: unknown key (did you mean learning_rate?)"),
        ("epochs: 100", "epochs: 100\nepochs: 3", "not valid YAML"),
        ("epochs: 100", "epochs: [", "not valid YAML"),
        ("epochs: 100", "epochs: 2024-13-45", "not valid YAML"),
        ("threads: auto", "threads: 0", "threads: input should be 'auto' or an integer from 1 to 1024; found 0"),
        ("threads: auto", "threads: all", "threads: input should be 'auto' or an integer from 1 to 1024; found 'all'"),
        ("threads: auto", "threads: 5000000000", "threads: input should be 'auto' or an integer from 1 to 1024"),
        ("code_size: 2", "code_size: 257", "code_size: input should be less than or equal to 256; found 257"),
    ],
)
def test_bad_values_are_named_in_one_line(edit, old, new, message):
    with pytest.raises(InputError) as error:
        edit(old, new)
    line = str(error.value)
    assert message in line
    assert "params.yaml: " in line
    assert "\n" not in line


def test_an_unknown_key_in_a_section_says_what_is_allowed_there(edit):
    with pytest.raises(InputError, match=r"aae\.generator\.eps: unknown key; allowed here: learning_rate, betas$"):
        edit("generator:             # the generator step", "generator:\n    eps: 1\n    #")


def test_exponents_and_integers_are_numbers(edit):
    assert edit("learning_rate: 0.001", "learning_rate: 1e-3").aae.autoencoder.learning_rate == 0.001
    assert edit("std: 1.0", "std: 2").prior.normal.std == 2.0


@pytest.mark.parametrize(
    ("name", "prior"),
    [
        ("normal", NormalPrior(2, 1.0)),
        ("mixture", MixturePrior(10, 1.4, 0.5, 0.1)),
        ("swiss_roll", SwissRollPrior(10, 3.0, 2.0)),
        ("uniform", UniformPrior(2, 1.0)),
    ],
)
def test_the_prior_that_the_name_chooses(edit, name, prior):
    assert build_prior(edit("name: normal", f"name: {name}")) == prior


@pytest.mark.parametrize("name", ["mixture", "swiss_roll"])
def test_priors_of_two_dimensions_need_a_code_of_two(edit, name):
    with pytest.raises(InputError, match=f"code_size: prior {name} needs 2; found 3$"):
        edit("code_size: 2", "code_size: 3", "name: normal", f"name: {name}")


@pytest.mark.parametrize("name", ["normal", "mixture", "swiss_roll", "uniform"])
def test_the_vae_always_has_the_normal_prior(edit, name):
    params = edit("name: normal", f"name: {name}", "std: 1.0 ", "std: 2.5 ")
    assert prior_of("vae", params) == NormalPrior(2, 2.5)
    assert prior_of("aae", params) == build_prior(params)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        load_params(tmp_path / "params.yaml")


def test_schema_refuses_what_the_reader_refuses():
    schema = json.loads(json_schema())
    content = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    assert set(schema["required"]) == set(content)
    assert schema["additionalProperties"] is False
