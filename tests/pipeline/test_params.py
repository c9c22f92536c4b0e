"""The committed params.yaml is valid, and one line reports every mistake in another file."""

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from aae.errors import InputError
from aae.kinds.vae import VAE
from aae.models import Autoencoder, kind_names
from aae.priors import MixturePrior, NormalPrior, SwissRollPrior, UniformPrior
from aae.schedules import Schedule
from pipeline.params import json_schema, load_params

ROOT = Path(__file__).parents[2]


@pytest.fixture
def edit(tmp_path):
    """Returns a function that writes params.yaml with replacements (old, new, old, new, ...) and loads it."""

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
    aae, _, vae = params.recipes
    assert (aae.title, vae.title) == ("AAE", "VAE")
    for widths in ("encoder_widths", "decoder_widths"):
        assert getattr(aae.settings, widths) == getattr(vae.settings, widths) == [512]
    assert aae.settings.discriminator_widths == [512]
    for optimizer in (aae.settings.autoencoder, aae.settings.discriminator, aae.settings.generator):
        assert optimizer == vae.settings.autoencoder
        assert optimizer.learning_rate == 0.001
    assert aae.prior(2, 10) == vae.prior(2, 10) == NormalPrior(2)
    assert (params.render.manifold_size, params.render.manifold_range) == (30, "auto")


def test_the_committed_schema_is_the_readers():
    assert (ROOT / "params.schema.json").read_text() == json_schema(), "run `python -m pipeline.params`"


def test_every_key_has_a_comment_or_a_comment_above():
    lines = (ROOT / "params.yaml").read_text().splitlines()
    keys = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    bare = [line for line in keys if "#" not in line and not line.rstrip().endswith(":")]
    # For the models' sections, the comment is above them once, with the terms it explains.
    assert {line.split(":")[0].strip() for line in bare} <= {
        "kind", "std", "encoder_widths", "decoder_widths", "discriminator_widths", "learning_rate", "betas",
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
        ("seeds: [0]", "seeds: [3, 3]", "seeds: 3 is listed twice"),
        ("device: auto", "device: gpu", "device: input should be 'auto', 'cpu' or 'cuda'; found 'gpu'"),
        (
            "precision: float32",
            "precision: float16",
            "precision: input should be 'float32', 'tf32' or 'bfloat16'; found 'float16'",
        ),
        ("shards: 1 ", "shards: 3 ", "shards: input should be 1, 2, 4, 8, 16, 32 or 64; found 3"),
        ("ranks: 1 ", "ranks: 2 ", "ranks: must divide shards, which is 1; found 2"),
        ("ranks: 1 ", "ranks: 0 ", "ranks: input should be greater than or equal to 1; found 0"),
        ("cuda_graph: true", "cuda_graph: 36", "cuda_graph: input should be a valid boolean; found 36"),
        ("models: [aae, aae_joint, vae]", "models: []", "models: list should have at least 1 item"),
        ("models: [aae, aae_joint, vae]", "models: [aae, aae]", "models: aae is listed twice"),
        (
            "models: [aae, aae_joint, vae]",
            "models: [aae, vea]",
            "models: no section vea; sections: aae, aae_joint, vae",
        ),
        ("models: [aae, aae_joint, vae]", "models: [a-e]", "models.0: string should match pattern"),
        (
            "kind: aae",
            "kind: gan",
            f"aae.kind: input should be one of {str(kind_names())[1:-1]}; found 'gan'",
        ),
        ("  kind: aae\n", "", f"aae.kind: missing; allowed here: {', '.join(kind_names())}"),
        (
            "epochs: 100",
            "epochs: 100\nother: {epochs: 3}",
            f"other.kind: missing; allowed here: {', '.join(kind_names())}",
        ),
        (
            "kind: aae_joint\n  prior:\n    kind: normal\n    std: 1.0",
            "kind: aae_supervised\n  prior: mixture",
            "aae_joint.prior.kind: input should be one of 'normal', 'uniform'; found 'mixture'",
        ),
        (
            "kind: aae_joint\n",
            "kind: aae_supervised\n  labelled: 100\n",
            "aae_joint.labelled: input should be 'all'; found 100",
        ),
        ("epochs: 100", "epochs: 100\nrendr: {}", "rendr: unknown key (did you mean render?)"),
        (
            "prior:\n    kind: normal",
            "prior:\n    kind: gauss",
            "aae.prior.kind: input should be one of 'normal', 'uniform', 'mixture', 'swiss_roll'; found 'gauss'",
        ),
        (
            "labels: false ",
            "labelled: 100\n  labels: false ",
            "aae.labelled: allowed without `labels: true`: all; found 100",
        ),
        ("labels: false ", "labelled: 0\n  labels: true ", "aae.labelled: input should be greater than or equal to 1"),
        ("labels: false ", "labelled: few\n  labels: true ", "aae.labelled: input should be 'all'; found 'few'"),
        ("std: 1.0", "std: .nan", "aae.prior.std: input should be"),
        ("std: 1.0", "sdt: 1.0", "aae.prior.sdt: unknown key (did you mean std?); allowed here: kind, std"),
        (
            "kind: normal\n    std: 1.0",
            "kind: swiss_roll\n    turns: 0.0",
            "aae.prior.turns: input should be greater than or equal to 0.001; found 0.0",
        ),
        ("learning_rate: 0.001", "learning_rate: 0", "aae.autoencoder.learning_rate: input should be greater than 0"),
        (
            "learning_rate: 0.001",
            "learning_rate: {start: 1.0, ned: 0.1}",
            "learning_rate.ned: unknown key (did you mean end?); allowed here: start, end, shape, until",
        ),
        (
            "learning_rate: 0.001",
            "learning_rate: {start: 1.0, end: 0.0, shape: exponential}",
            "aae.autoencoder.learning_rate: an exponential schedule needs start and end above 0; found 1.0, 0.0",
        ),
        ("labels: false", "labels: 1", "aae.labels: input should be a valid boolean; found 1"),
        ("labels: false", "labels: true", "aae.labels: prior normal has no classes; allowed here: false"),
        (
            "betas: [0.9, 0.999]",
            "betas: [0.9, 1.0]",
            "aae.autoencoder.betas.1: input should be less than 1; found 1.0",
        ),
        (
            "masking_noise: {start: 0.3",
            "masking_noise: {start: 1.0",
            "aae_joint.masking_noise: start and end should be less than 1; found 1.0, 0.0",
        ),
        ("learning_rate: 0.001", "learning_rte: 0.001", "learning_rte: unknown key (did you mean learning_rate?)"),
        ("epochs: 100", "epochs: 100\nepochs: 3", "not valid YAML"),
        ("epochs: 100", "epochs: [", "not valid YAML"),
        ("epochs: 100", "epochs: 2024-13-45", "not valid YAML"),
        ("threads: auto", "threads: 0", "threads: input should be 'auto' or an integer from 1 to 1024; found 0"),
        ("threads: auto", "threads: all", "threads: input should be 'auto' or an integer from 1 to 1024; found 'all'"),
        ("threads: auto", "threads: 5000000000", "threads: input should be 'auto' or an integer from 1 to 1024"),
        (
            "manifold_range: auto",
            "manifold_range: 0",
            "render.manifold_range: input should be 'auto' or a number from 1e-6 to 1e6; found 0",
        ),
        ("manifold_range: auto", "manifold_range: wide", "or a number from 1e-6 to 1e6; found 'wide'"),
        ("code_size: 2", "code_size: 257", "code_size: input should be less than or equal to 256; found 257"),
        (
            "epochs: 100",
            f"epochs: {2**70}",
            f"epochs: input should be less than or equal to {2**31 - 1}; found {2**70}",
        ),
        ("batch_size: 128", f"batch_size: {2**70}", f"batch_size: input should be less than or equal to {2**31 - 1}"),
        ("[512]", f"[{2**31}]", f"aae.encoder_widths.0: input should be less than or equal to {2**31 - 1}; found"),
        ("floor_samples: 100", "floor_samples: 1000000000", "evaluation.floor_samples: input should be less than"),
        ("models: [aae, ", f"models: [{'a' * 101}, ", "models.0: string should have at most 100 characters"),
        ("epochs: 100", f"epochs: 0x{'f' * 5000}", "; found an integer of 20000 bits"),
        (
            "epochs: 100",
            f"epochs: [0x{'f' * 5000}]",
            "epochs: input should be a valid integer; found integers that are",
        ),
        ("epochs: 100", f"epochs: {'9' * 5000}", "not valid YAML"),
        ("epochs: 100", "epochs: !!int ''", "not valid YAML: a tag (!!) does not fit its value"),
        ("epochs: 100", "epochs: !!bool x", "not valid YAML: a tag (!!) does not fit its value"),
        ("epochs: 100", f"epochs: {'x' * 10**5}", f"epochs: input should be a valid integer; found '{'x' * 76}..."),
        ("epochs: 100", f"? {'x' * 10**5}\n: 100", f"params.yaml: '{'x' * 76}...: unknown key; allowed here: models"),
        ("  kind: aae\n", f"  kind: {'x' * 10**5}\n", f"found '{'x' * 76}..."),
        ("epochs: 100", r'"\e[31mepochs": 100', r"'\x1b[31mepochs': unknown key; allowed here: models"),
        ("std: 1.0", r'"\e[31mstd": 1.0', r"aae.prior.'\x1b[31mstd': unknown key; allowed here: kind, std"),
        ("epochs: 100", r'"epochs\n": 100', r"'epochs\n': unknown key (did you mean epochs?)"),
        ("\nvae:", '\n"\\e[1mvae":', r"models: no section vae; sections: aae, aae_joint, \x1b[1mvae"),
        ("epochs: 100", "null: {kind: aae}", "None: unknown key; allowed here: models"),
        ("path: data/raw", r'path: "data\0" #', r"data.path: must have no control characters; found '\x00' in it"),
        ("path: data/raw", r'path: "data\n" #', r"data.path: must have no control characters; found '\n' in it"),
    ],
)
def test_bad_values_are_named_in_one_line(edit, old, new, message):
    with pytest.raises(InputError) as error:
        edit(old, new)
    line = str(error.value)
    assert message in line
    assert "params.yaml: " in line
    assert line.isprintable(), "in one line, and nothing that a terminal obeys"
    assert len(line) < 600


def test_shards_divide_the_rows_of_every_model(edit, monkeypatch):
    eight = "shards: 1 ", "shards: 8 "
    assert edit(*eight, "ranks: 1 ", "ranks: 4 ").ranks == 4
    with pytest.raises(InputError, match=r"shards: must divide half of batch_size in aae, which is 4; found 8$"):
        edit(*eight, "batch_size: 128", "batch_size: 8")
    with pytest.raises(InputError, match=r"shards: must divide recent_codes in aae_joint, which is 500; found 8$"):
        edit(*eight, "recent_codes: 512", "recent_codes: 500")
    monkeypatch.setattr(VAE, "divided_rows", classmethod(Autoencoder.divided_rows.__func__))
    with pytest.raises(InputError, match=r"shards: vae cannot divide its minibatches; allowed: 1; found 8$"):
        edit(*eight)


def test_a_supervised_discriminator_may_see_labels_without_classes_of_the_prior(edit):
    params = edit("kind: aae_joint\n", "kind: aae_supervised\n", "labels: false          # as above", "labels: true")
    assert params.recipe("aae_joint").settings.labels


def test_an_unknown_key_in_a_section_says_what_is_allowed_there(edit):
    with pytest.raises(InputError, match=r"aae\.generator\.eps: unknown key; allowed here: learning_rate, betas$"):
        edit("generator:             # the generator step", "generator:\n    eps: 1\n    #")


def test_exponents_and_integers_are_numbers(edit):
    assert edit("learning_rate: 0.001", "learning_rate: 1e-3").recipe("aae").settings.autoencoder.learning_rate == 0.001
    assert edit("std: 1.0", "std: 2").recipe("aae").settings.prior.std == 2.0


def test_a_learning_rate_may_be_a_schedule(edit):
    params = edit("learning_rate: 0.001", "learning_rate: {start: 0.002, end: 0.0, until: 0.5}")
    settings = params.recipe("aae").settings
    assert settings.autoencoder.learning_rate == Schedule(0.002, 0.0, "linear", 0.5)
    assert settings.generator.learning_rate == 0.001


NORMAL = "prior:\n    kind: normal\n    std: 1.0\n"


@pytest.mark.parametrize(
    ("text", "prior"),
    [
        ("prior: normal\n", NormalPrior(2, 1.0)),
        ("prior: {kind: normal, std: 2.5}\n", NormalPrior(2, 2.5)),
        ("prior: mixture\n", MixturePrior(10, 1.4, 0.5, 0.1)),
        ("prior: {kind: mixture, radius: 2.0}\n", MixturePrior(10, 2.0, 0.5, 0.1)),
        ("prior: swiss_roll\n", SwissRollPrior(10, 3.0, 2.0)),
        ("prior: uniform\n", UniformPrior(2, 1.0)),
    ],
)
def test_the_prior_of_a_model(edit, text, prior):
    params = edit(NORMAL, text)
    assert params.recipe("aae").prior(2, 10) == prior
    assert params.recipe("vae").prior(2, 10) == NormalPrior(2), "each model has its own prior"


@pytest.mark.parametrize("name", ["mixture", "swiss_roll"])
def test_priors_of_two_dimensions_need_a_code_of_two(edit, name):
    with pytest.raises(InputError, match=f"aae.prior: {name} needs code_size 2; found 3$"):
        edit("code_size: 2", "code_size: 3", NORMAL, f"prior: {name}\n")


def test_the_vae_always_has_a_normal_prior(edit):
    with pytest.raises(InputError, match=r"vae.prior.kind: input should be 'normal'; found 'uniform'"):
        edit(f"kind: vae\n  {NORMAL}", "kind: vae\n  prior: {kind: uniform}\n")


def test_two_recipes_of_one_kind_and_a_section_that_is_not_trained(edit):
    section = (
        "\naae_wide:\n  kind: aae\n" + (ROOT / "params.yaml").read_text().split("  kind: aae\n")[1].split("\n\n")[0]
    )
    params = edit("models: [aae, aae_joint, vae]", f"models: [aae, aae_wide]\n{section.replace('[512]', '[64]')}\n")
    first, second = params.recipes
    assert first.kind is second.kind
    assert (first.title, second.title) == ("AAE", "AAE wide")
    assert (first.settings.encoder_widths, second.settings.encoder_widths) == ([512], [64])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "nothing"),
        ("# only\n", "nothing"),
        ("null\n", "nothing"),
        ("3\n", "3"),
        ("[1]\n", r"\[1\]"),
        ("x" * 1000, f"'{'x' * 76}[.]{{3}}"),
        (f"0x{'f' * 5000}", "an integer of 20000 bits"),
    ],
)
def test_a_file_that_is_no_mapping(tmp_path, text, found):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=f"params.yaml: must be a mapping of parameters; found {found}$"):
        load_params(path)


@pytest.mark.parametrize("text", ["[" * 600 + "]" * 600, "{a: " * 600 + "}" * 600])
def test_deep_nesting(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"params\.yaml: nested too deeply; the parameters have four levels at most$"):
        load_params(path)


def test_as_many_seeds_as_one_likes(edit):
    seeds = [*range(5000)]
    assert edit("seeds: [0]", f"seeds: {seeds}").seeds == seeds
    with pytest.raises(InputError, match=r"params\.yaml: seeds: 7 is listed twice$"):
        edit("seeds: [0]", f"seeds: {[*seeds, 9, 7]}")


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        load_params(tmp_path / "params.yaml")


def test_schema_knows_every_key_and_every_kind():
    schema = json.loads(json_schema())
    content = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    assert set(schema["required"]) == set(content) - {"aae", "aae_joint", "vae"}
    assert set(schema["additionalProperties"]["discriminator"]["mapping"]) == set(kind_names())
