"""Run a model's layers one by one, where torch would run several as one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def eager(model: nn.Module) -> Iterator[None]:
    """Compiled modules and fused encoder layers run as they are written inside, so that hooks are called.

    On CUDA with full fp32: TF32 keeps three digits, too few to compare gradients and to square them. cuDNN,
    which takes gradients of recurrent layers in training mode only, is left out for models with such.
    """
    cudnn, attention = torch.backends.cudnn, torch.backends.mha
    fused, enabled = attention.get_fastpath_enabled(), cudnn.enabled
    attention.set_fastpath_enabled(False)
    if any(isinstance(module, nn.RNNBase) for module in model.modules()):
        cudnn.enabled = False
    try:
        with _full_precision(), torch.compiler.set_stance("force_eager"):
            yield
    finally:
        attention.set_fastpath_enabled(fused)
        cudnn.enabled = enabled


@contextmanager
def _full_precision() -> Iterator[None]:
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    try:
        before = convolutions.allow_tf32, products.allow_tf32
    except RuntimeError:  # set through torch's newer switches, which can't be told by these
        yield
        return
    convolutions.allow_tf32 = products.allow_tf32 = False
    try:
        yield
    finally:
        convolutions.allow_tf32, products.allow_tf32 = before


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside `torch.compile` and data-parallel wrappers, whose parameters have the plain names."""
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while True:
        inside = model.module if isinstance(model, wrappers) else getattr(model, "_orig_mod", None)
        if not isinstance(inside, nn.Module):
            return model
        model = inside
