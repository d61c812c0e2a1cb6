"""How many samples go through the engine at once: as many as memory holds, fewer when it runs out."""

from __future__ import annotations

from collections.abc import Callable

import psutil
import torch

from fvm_core.errors import SaltflatError
from fvm_core.layers.tapped import TappedModel
from fvm_core.out_of_memory import is_out_of_memory

LARGEST = 256
"""On a GPU larger batches are hardly faster."""

CPU_BYTES = 512 * 2**20
"""Most that a batch takes on a CPU: more does not make it faster."""

_FIXED = 4 * 32 * 2**20
"""Room for the slices of per-sample gradients, which do not grow with the batch."""


def bytes_per_sample(tapped: TappedModel) -> int:
    """Activations with their gradients, and what the largest layer's kernel makes of one sample."""
    largest = max((tap.floats for tap in tapped.taps.values()), default=0)
    return 4 * (2 * tapped.activation_floats + largest)


def free_bytes(device: torch.device | str) -> int:
    """Memory that a pass may take: half of what is free, on a CPU at most `CPU_BYTES`."""
    kind = torch.device(device).type
    if kind == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return (torch.cuda.mem_get_info(device)[0] + held) // 2
    free: int = psutil.virtual_memory().available
    return min(CPU_BYTES, free // 2)


class BatchSize:
    """A batch size that halves itself when memory runs out; influence does not depend on it.

    Args:
        size: how many samples at first.
    """

    def __init__(self, size: int):
        self.size = max(1, size)

    @classmethod
    def found(cls, tapped: TappedModel, device: torch.device | str) -> BatchSize:
        """The power of two that free memory holds, at most `LARGEST`."""
        budget, each, size = free_bytes(device) - _FIXED, bytes_per_sample(tapped), 1
        while size < LARGEST and 2 * size * each <= budget:
            size *= 2
        return cls(size)

    def run(self, count: int, work: Callable[[slice], None]) -> None:
        """Call `work` on slices of `count` samples, once for each that succeeds.

        Args:
            count: samples.
            work: does one slice; called again on smaller ones if it ran out of memory.

        Raises:
            SaltflatError: not even one sample fits.
        """
        start = 0
        while start < count:
            part = slice(start, min(start + self.size, count))
            try:
                work(part)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                full = True
            else:
                start, full = part.stop, False
            if full:  # Outside `except`: the traceback holds what is to be freed.
                self._halve(part.stop - part.start)

    def _halve(self, tried: int) -> None:
        if tried == 1:
            raise SaltflatError(
                "One sample needs more memory than is free. Close other programs, or use a smaller image "
                "size or model."
            )
        self.size = tried // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
