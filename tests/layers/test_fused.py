"""The fused kernel in Triton's interpreter, and who is asked to compute what."""

import json
import os
import subprocess
import sys

import pytest
import torch

from fvm_core.layers import fused
from fvm_core.layers.fused import Tile, fused_quadratic, plain_quadratic, weighted_square

needs_triton = pytest.mark.skipif(not fused.available(), reason="Triton is not installed")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

SHAPES = [(1, 1, 1, 1), (3, 5, 7, 1), (2, 33, 65, 17), (3, 40, 27, 50), (2, 70, 130, 33)]

# Triton reads TRITON_INTERPRET when it is imported, hence another process.
SCRIPT = """
import json, sys
import numpy as np, torch, triton.language as tl
from triton.runtime import interpreter
from fvm_core.layers.fused import TILES, fused_quadratic, plain_quadratic

# The interpreter keeps bfloat16 as its bits, and its dot would multiply those as integers.
dot = interpreter.InterpreterBuilder.create_dot
def widened(value):
    if value.dtype.scalar != tl.bfloat16:
        return value
    return interpreter.TensorHandle((value.data.astype(np.uint32) << 16).view(np.float32), tl.float32)
interpreter.InterpreterBuilder.create_dot = lambda self, a, b, *rest: dot(self, widened(a), widened(b), *rest)

errors = []
for batch, outputs, columns, positions in json.loads(sys.argv[2]):
    generator = torch.Generator().manual_seed(batch + positions)
    # Positions last, before last and in the middle of a larger tensor: strides of all kinds.
    delta = torch.randn(batch, positions, outputs, generator=generator).transpose(1, 2)
    patches = torch.randn(batch, columns, 2 * positions, generator=generator)[:, :, ::2]
    weights = torch.rand(columns, outputs, generator=generator).T
    delta, patches = (values.to(getattr(torch, sys.argv[1])) for values in (delta, patches))
    wanted = plain_quadratic(delta.double(), patches.double(), weights.double())
    for tile in TILES:
        found = fused_quadratic(delta, patches, weights, tile)
        assert found.dtype == torch.float32 and found.shape == wanted.shape
        errors.append(float(((found - wanted).abs() / wanted).max()))
print(json.dumps(errors))
"""


def draw(batch=3, outputs=5, columns=7, positions=4, dtype=torch.float32, device="cpu"):
    generator = torch.Generator().manual_seed(0)
    delta = torch.randn(batch, outputs, positions, generator=generator)
    patches = torch.randn(batch, columns, positions, generator=generator)
    weights = torch.rand(outputs, columns, generator=generator)
    return delta.to(device, dtype), patches.to(device, dtype), weights.to(device)


@needs_triton
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 1e-2)], ids=["float32", "bfloat16"]
)
def test_the_kernel_in_the_interpreter(dtype, tolerance):
    environment = os.environ | {
        "TRITON_INTERPRET": "1",
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, dtype, json.dumps(SHAPES)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    if "only 0-dimensional arrays can be converted" in done.stderr:
        pytest.skip("the interpreter of this Triton does not know this NumPy")
    assert done.returncode == 0, done.stderr
    errors = json.loads(done.stdout)
    assert len(errors) == len(SHAPES) * len(fused.TILES)
    assert max(errors) < tolerance


def test_plain_equals_a_sum_over_everything():
    delta, patches, weights = draw()
    gradients = torch.einsum("bot,bmt->bom", delta.double(), patches.double())
    wanted = (gradients.square() * weights).sum((1, 2))
    torch.testing.assert_close(plain_quadratic(delta, patches, weights).double(), wanted, rtol=1e-5, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_cpu_takes_the_plain_way_in_its_own_precision(dtype, monkeypatch):
    delta, patches, weights = draw(dtype=dtype)
    monkeypatch.setattr(fused, "fused_quadratic", None)
    monkeypatch.setattr(fused, "_fastest", None)
    found = weighted_square(delta, patches, weights.to(dtype))
    assert torch.equal(found, plain_quadratic(delta, patches, weights.to(dtype)))
    assert found.dtype == dtype


def test_half_precision_is_squared_and_summed_in_that_of_the_weights():
    delta, patches, weights = draw(dtype=torch.bfloat16)
    found = weighted_square(delta, patches, weights)
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found, plain_quadratic(delta.float(), patches.float(), weights), rtol=1e-2, atol=0
    )


def test_an_empty_batch():
    assert weighted_square(*draw(batch=0)).shape == (0,)


def test_without_triton(monkeypatch):
    monkeypatch.setattr(fused, "triton", None)
    inputs = draw()
    assert not fused.available()
    assert torch.equal(weighted_square(*inputs), plain_quadratic(*inputs))
    with pytest.raises(RuntimeError, match="Triton"):
        fused_quadratic(*inputs)


SMALL, LARGE = Tile(32, 32, 4), Tile(64, 64, 4)


@pytest.mark.parametrize(
    ("times", "faults", "wanted"),
    [
        ([2.0, 3.0, 1.0], {}, LARGE),
        ([1.0, 3.0, 2.0], {}, None),
        ([3.0, 1.0, 2.0], {SMALL: 1.001}, LARGE),
        ([3.0, 1.0, 2.0], {SMALL: 1.001, LARGE: float("nan")}, None),
        ([3.0, 2.0], {SMALL: RuntimeError}, LARGE),
    ],
    ids=["faster", "slower", "one gives other values", "all give other values", "one does not compile"],
)
def test_the_fastest_that_agrees_is_chosen(times, faults, wanted, monkeypatch):
    def kernel(delta, patches, weights, tile):
        fault = faults.get(tile, 1.0)
        if fault is RuntimeError:
            raise fault
        return fault * plain_quadratic(delta, patches, weights)

    clock = iter(times)
    monkeypatch.setattr(fused, "TILES", (SMALL, LARGE))
    monkeypatch.setattr(fused, "fused_quadratic", kernel)
    monkeypatch.setattr(fused, "_milliseconds", lambda call: next(clock))
    assert fused._fastest(*draw()) == wanted
    clock = iter(times)
    delta, patches, weights = draw()
    assert fused._fastest(torch.zeros_like(delta), patches, weights) is None


@needs_gpu
@needs_triton
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [*SHAPES, (8, 512, 4608, 16), (8, 64, 576, 1024)])
def test_the_kernel_on_a_gpu(shape, dtype, monkeypatch):
    monkeypatch.setattr(fused, "_chosen", {})
    delta, patches, weights = draw(*shape, dtype=dtype, device="cuda")
    wanted = plain_quadratic(delta.double(), patches.double(), weights.double()).float()
    for tile in fused.TILES:
        found = fused_quadratic(delta, patches, weights, tile)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=0)
        assert torch.equal(found, fused_quadratic(delta, patches, weights, tile))
    tolerance = 1e-4 if dtype == torch.float32 else 1e-2
    for _ in range(2):
        torch.testing.assert_close(weighted_square(delta, patches, weights), wanted, rtol=tolerance, atol=0)
    assert len(fused._chosen) == 1
