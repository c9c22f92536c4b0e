"""In the PTX of the CUDA kernels, nothing between counter and sample is approximated, flushed or contracted.

PTX is the level to check this: it defines `.rn` instructions as correctly rounded and never contracted (PTX ISA,
"Floating Point Instructions"). In machine code, one such division becomes many instructions.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import aae_native
import pytest

BUILT = aae_native.build_info()
NVCC = shutil.which("nvcc", path=f"{os.environ.get('CUDA_HOME', '')}/bin:{os.environ['PATH']}:/usr/local/cuda/bin")
KERNELS = {path.stem: path for path in sorted((Path(__file__).parents[2] / "csrc" / "cuda").glob("*.cu"))}

pytestmark = pytest.mark.skipif(not (BUILT["cuda"] and NVCC), reason="no nvcc, or built without CUDA")

# The instructions that may touch a float32. All others are approximate, or leave the rounding to the compiler.
EXACT = re.compile(
    r"(add|sub|mul|div|sqrt|fma)\.rn\.f32"
    r"|cvt\.rn\.f32\.[su]\d+|cvt\.rzi\.s64\.f32"
    r"|(mov|neg|selp|set|setp\.\w+)\.f32|(ld|st)\.[\w.]+\.f32"
)


def ptx(files, folder, contraction):
    """The PTX text of each file, compiled with the extension's flags but with contraction on or off."""
    folder.mkdir()
    flags = [flag for flag in BUILT["cuda_flags"].split() if not flag.startswith("-fmad")]
    target = f"-arch={BUILT['cuda_architectures'].split()[-1]}"
    command = [NVCC, *flags, f"-fmad={str(contraction).lower()}", target, "-ptx", "--threads=0", f"-odir={folder}"]
    subprocess.run([*command, *map(str, files)], check=True)
    return {path.stem: (folder / f"{path.stem}.ptx").read_text() for path in files}


def uncontracted(text):
    """With contraction on, `mul.f32` lets the next compiler contract. With contraction off, it is `mul.rn.f32`."""
    return re.sub(r"\b(add|sub|mul)\.f32", r"\1.rn.f32", text)


@pytest.fixture(scope="module")
def with_contraction(tmp_path_factory):
    return ptx(KERNELS.values(), tmp_path_factory.mktemp("ptx") / "on", contraction=True)


@pytest.fixture(scope="module")
def without_contraction(tmp_path_factory):
    return ptx(KERNELS.values(), tmp_path_factory.mktemp("ptx") / "off", contraction=False)


@pytest.mark.parametrize("name", KERNELS)
def test_only_exact_instructions(name, without_contraction):
    text = without_contraction[name]
    assert ".entry" in text
    opcodes = set(re.findall(r"^\s*(?:@!?%p\d+\s+)?([a-z][\w.]*)\s", text, re.MULTILINE))
    of_floats = {code for code in opcodes if re.search(r"\.(f|bf|tf)\d+|approx|ftz", code)}
    assert of_floats == {code for code in of_floats if EXACT.fullmatch(code)}
    assert not opcodes & {"call", "call.uni"}  # no library function
    assert bool(of_floats) == (name != "philox4x32_cuda")


@pytest.mark.parametrize("name", KERNELS)
def test_nothing_to_contract(name, with_contraction, without_contraction):
    assert uncontracted(with_contraction[name]) == without_contraction[name]


def test_a_contraction_would_be_seen(tmp_path):
    source = tmp_path / "contracts.cu"
    source.write_text("__global__ void contracts(float* x) { x[0] = x[1] * x[2] + x[3]; }")
    on, off = (ptx([source], tmp_path / str(allowed), allowed)["contracts"] for allowed in (True, False))
    assert uncontracted(on) != off


@pytest.mark.parametrize("name", [name for name in KERNELS if name != "philox4x32_cuda"])
def test_stores_are_16_bytes_wide(name, without_contraction):
    assert re.search(r"st\.global[\w.]*\.v4\.f32", without_contraction[name])
