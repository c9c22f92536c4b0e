"""Types of the native extension, csrc/bindings*.

Arrays come as addresses, 0 for one that is left out; `aae.ops` and `aae.backprop_cpu` make the arrays and check every
argument. A test compares the names and parameters here with those of the compiled module.
"""

from collections.abc import Sequence
from typing import Any

# --- random ops: csrc/kernels.h -------------------------------------------------------------------

class Prior:
    def __init__(self, kind: str, dim: int, classes: int, parameters: Sequence[float]) -> None: ...

def philox4x32(counter: int, key: int, words: int, n: int) -> None: ...
def sample_prior(
    prior: Prior, labels: int, out: int, n: int, seed: int, step: int, stream: int, offset: int
) -> None: ...
def assemble_discriminator_batch(
    prior: Prior,
    codes: int,
    labels: int,
    batch: int,
    targets: int,
    n_codes: int,
    n_prior: int,
    seed: int,
    step: int,
    stream: int,
    offset: int,
) -> None: ...
def draw_minibatch(
    images: int,
    n_images: int,
    pixels: int,
    out: int,
    indices: int,
    n: int,
    seed: int,
    step: int,
    stream: int,
    offset: int,
) -> None: ...

# --- their work items on the CPU, for the tests: csrc/bindings_items.h ----------------------------

def philox4x32_items(counter: int, key: int, words: int, n: int, blocks: int, order: int, /) -> None: ...
def sample_prior_items(
    prior: Prior,
    labels: int,
    out: int,
    n: int,
    seed: int,
    step: int,
    late_step: int,
    stream: int,
    offset: int,
    blocks: int,
    order: int,
    /,
) -> None: ...
def assemble_discriminator_batch_items(
    prior: Prior,
    codes: int,
    labels: int,
    batch: int,
    targets: int,
    n_codes: int,
    n_prior: int,
    seed: int,
    step: int,
    late_step: int,
    stream: int,
    offset: int,
    blocks: int,
    order: int,
    /,
) -> None: ...
def draw_minibatch_items(
    images: int,
    n_images: int,
    pixels: int,
    out: int,
    indices: int,
    n: int,
    seed: int,
    step: int,
    late_step: int,
    stream: int,
    offset: int,
    blocks: int,
    order: int,
    /,
) -> None: ...

# --- the same on a GPU; only in a build with CUDA -------------------------------------------------

def philox4x32_cuda(counter: int, key: int, words: int, n: int, device: int, cuda_stream: int, /) -> None: ...
def sample_prior_cuda(
    prior: Prior,
    labels: int,
    out: int,
    n: int,
    seed: int,
    step: int,
    late_step: int,
    stream: int,
    offset: int,
    device: int,
    cuda_stream: int,
    /,
) -> None: ...
def assemble_discriminator_batch_cuda(
    prior: Prior,
    codes: int,
    labels: int,
    batch: int,
    targets: int,
    n_codes: int,
    n_prior: int,
    seed: int,
    step: int,
    late_step: int,
    stream: int,
    offset: int,
    device: int,
    cuda_stream: int,
    /,
) -> None: ...
def draw_minibatch_cuda(
    images: int,
    n_images: int,
    pixels: int,
    out: int,
    indices: int,
    n: int,
    seed: int,
    step: int,
    late_step: int,
    stream: int,
    offset: int,
    device: int,
    cuda_stream: int,
    /,
) -> None: ...

# --- the steps of csrc/normal.h, for the tests ----------------------------------------------------

def uniform(words: int, out: int, n: int) -> None: ...
def log32(u: int, out: int, n: int) -> None: ...
def cos_sin_turn(words: int, cos: int, sin: int, n: int) -> None: ...
def normal_from_words(words: int, out: int, pairs: int, std: float) -> None: ...

# --- passes of a perceptron: csrc/perceptron.h ----------------------------------------------------

class Linear:
    def __init__(self, inputs: int, outputs: int, weight: int, bias: int) -> None: ...

class Perceptron:
    def __init__(self, layers: Sequence[Linear], sparse_inputs: bool) -> None: ...

class Pass:
    def __init__(
        self, perceptron: Perceptron, rows: int, outputs: Sequence[int], grad_inputs: Sequence[int]
    ) -> None: ...
    def forward(self, x: int) -> None: ...
    def backward(self, grad_outputs: int, n: int, grad_inputs: bool) -> None: ...

class Moments:
    def __init__(self, weight_mean: int, weight_square: int, bias_mean: int, bias_square: int) -> None: ...

class Adam:
    steps: int
    def __init__(self, perceptron: Perceptron, beta1: float, beta2: float, moments: Sequence[Moments]) -> None: ...
    def update(self, passes: Sequence[Pass], learning_rate: float) -> None: ...

def adam_rates(learning_rate: float, beta1: float, beta2: float, step: int) -> tuple[float, float]: ...
def move_average(average: int, parameter: int, count: int, rate: float) -> None: ...

# --- gradients: csrc/gradients.h ------------------------------------------------------------------

def layer_gradient(
    x: int,
    grad_outputs: int,
    rows: int,
    inputs: int,
    outputs: int,
    sparse_inputs: bool,
    weight: int,
    bias: int,
) -> None: ...
def apply_adam(
    parameter: int,
    mean: int,
    square: int,
    gradient: int,
    count: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    step: int,
) -> None: ...

# --- losses: csrc/losses.h ------------------------------------------------------------------------

def cross_entropy(logits: int, targets: int, target: float, n: int, outputs: int, scale: float) -> float: ...
def sample_posterior(posterior: int, noise: int, codes: int, n: int, size: int) -> None: ...
def posterior_gradient(
    posterior: int,
    noise: int,
    grad_codes: int,
    prior_std: float,
    kl: int,
    grad_posterior: int,
    n: int,
    size: int,
) -> None: ...

# --- the build and the machine --------------------------------------------------------------------

def build_info() -> dict[str, Any]: ...
def set_isa(name: str) -> None: ...
def available_cores() -> int: ...
def quota_in_cores(root: str, groups: str) -> int: ...
def get_threads() -> int: ...
def set_threads(n: int) -> None: ...
