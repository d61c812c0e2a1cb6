"""Batches shrink when memory runs out, and nothing is done twice or left out."""

import pytest
import torch

from fvm_core.diagonal.batch_size import CPU_BYTES, LARGEST, BatchSize, bytes_per_sample
from fvm_core.errors import SaltflatError
from fvm_core.layers.tapped import TappedModel
from fvm_core.models.build import build_model
from tests.cases import digits, small_bn_cnn


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_a_batch_that_does_not_fit_is_halved(error):
    sizes, done, tried = BatchSize(16), [], []

    def work(part):
        tried.append(part.stop - part.start)
        if tried[-1] > 3:
            raise error
        done.extend(range(part.start, part.stop))

    sizes.run(21, work)
    assert done == list(range(21))
    assert tried[:4] == [16, 8, 4, 2]
    assert sizes.size == 2


def test_other_errors_and_too_large_samples_are_told():
    def broken(_part):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        BatchSize(4).run(8, broken)

    def full(_part):
        raise MemoryError

    with pytest.raises(SaltflatError, match="One sample needs more memory"):
        BatchSize(4).run(8, full)


def test_the_size_follows_from_the_model():
    images, _ = digits(2)
    small = BatchSize.found(TappedModel(small_bn_cnn(), images), "cpu")
    assert small.size == LARGEST
    model = build_model("resnet18", 10, size=32).eval()
    tapped = TappedModel(model, torch.randn(2, 3, 32, 32))
    large = BatchSize.found(tapped, "cpu")
    assert 8 <= large.size < LARGEST
    assert large.size * bytes_per_sample(tapped) <= CPU_BYTES
