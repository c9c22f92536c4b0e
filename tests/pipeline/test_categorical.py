"""A model with a categorical code through the stages after training, and as ONNX."""

import numpy as np
import onnxruntime
import pytest

import aae
from aae.onnx_export import to_onnx
from tests.pipeline.tiny_runs import ALL, run_stages, write_inputs

SECTION = """
sorted:
  kind: aae_categorical
  prior: {{kind: normal, std: 1.0}}
  categories: 12
  labelled: 20
  code: {code}
  encoder_widths: [12]
  decoder_widths: [12]
  discriminator_widths: [8]
  encoder: {{learning_rate: 0.001, betas: [0.9, 0.999]}}
  decoder: {{learning_rate: 0.001, betas: [0.9, 0.999]}}
  discriminator: {{learning_rate: 0.001, betas: [0.9, 0.999]}}
  reconstruction_weight: 40.0
  style_weight: 1.0
  category_weight: {{start: 0.5, end: 3.0, shape: exponential}}
  classification_weight: 10.0
  input_noise: 0.3
  masking_noise: 0.2
  code_noise: 0.5
  category_noise: 1.0
  discriminator_noise: 0.2
  recent_codes: 40
  gradient_penalty: 0.1
  batch_norm: {batch_norm}
  independent: true
  separation: 1.0
  average: 0.9

vae:
"""


@pytest.mark.parametrize(("code", "batch_norm"), [("concatenation", "true"), ("sum", "false")])
def test_stages_and_export(code, batch_norm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_inputs(models=("sorted", "vae"), changes={"\nvae:\n": SECTION.format(code=code, batch_norm=batch_norm)})
    run_stages(*ALL)
    assert "Categorical AAE" in (tmp_path / "report/index.html").read_text()
    assert "Categorical AAE" in (tmp_path / "report/report.md").read_text()
    model = aae.load("results/snapshots/sorted-0")
    images = np.load("data/prepared/test_images.npy")[:7, ..., 0]
    (tmp_path / "both.onnx").write_bytes(to_onnx(model, "both"))
    session = onnxruntime.InferenceSession(tmp_path / "both.onnx")
    codes, same = session.run(None, {"images": images.astype(np.float32) / 255})
    np.testing.assert_allclose(codes, model.encode(images), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(same, model.reconstruct(images), rtol=1e-4, atol=1e-5)
