"""Which device computes, and in which precision."""

from __future__ import annotations

import contextlib

import torch

from fvm_core.errors import SaltflatError


def resolve(name: str) -> str:
    """`cpu`, `cuda` or `mps` for a setting that may be `auto`.

    Raises:
        SaltflatError: the device is not there.
    """
    present = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if present[device])
    if not present.get(name, False):
        raise SaltflatError(f"Device `{name}` is not available here; choose `auto` or `cpu`.")
    return name


def make_repeatable(device: str) -> None:
    """On CUDA: the same kernels in every run, and full fp32 instead of TF32 in convolutions.

    TF32 keeps three decimal digits, too few for gradients that are squared and divided by small numbers.
    """
    if device == "cuda":
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False


def training_autocast(device: str, precision: str) -> contextlib.AbstractContextManager:
    """Half precision for training where it pays: on CUDA unless `fp32` is asked for.

    Tuning, curvature and scores are always computed in fp32.
    """
    use = precision == "bf16" or (precision == "auto" and device == "cuda" and torch.cuda.is_bf16_supported())
    return torch.autocast(device, torch.bfloat16) if use else contextlib.nullcontext()


def peak_memory(device: str) -> int:
    """Bytes of the device's peak allocation so far on CUDA, else of this process's peak resident set."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    import psutil

    try:
        import resource
    except ImportError:  # Windows
        return psutil.Process().memory_info().peak_wset
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
