"""The most memory that was in use while something ran."""

from __future__ import annotations

import threading

import psutil
import torch

_EVERY = 0.05


class PeakMemory:
    """A context whose `bytes` is, after it, the largest seen: of the CUDA allocator, else of the process.

    The process is looked at twenty times a second, so that a shorter peak may be missed; its figure
    includes what was there before.

    Args:
        device: `cpu`, `cuda` or `mps`.
    """

    def __init__(self, device: str):
        self._cuda = device == "cuda"
        self.bytes = 0

    def __enter__(self) -> PeakMemory:
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
        else:
            self._process, self._stop = psutil.Process(), threading.Event()
            self.bytes = self._process.memory_info().rss
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._cuda:
            self.bytes = torch.cuda.max_memory_allocated()
        else:
            self._stop.set()
            self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY):
            self.bytes = max(self.bytes, self._process.memory_info().rss)
