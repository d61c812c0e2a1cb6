"""Seconds and memory of work that may be stopped and gone on with."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fvm_core.atomic import write_json
from fvm_core.pipeline.peak_memory import PeakMemory


@dataclass
class Spent:
    """Seconds and peak memory of an estimator over all attempts, and what its fit left to tell."""

    path: Path
    seconds: float = 0.0
    peak: int = 0
    trace: list[tuple[int, float]] | tuple = ()

    def keep(self) -> None:
        """Write it to its file."""
        write_json(self.path, {"seconds": self.seconds, "peak": self.peak, "trace": list(self.trace)})


@contextmanager
def timed(folder: Path, device: str) -> Iterator[Spent]:
    """Add up the seconds within, and keep them in the folder of the work."""
    path = folder / "spent.json"
    spent = Spent(path, **json.loads(path.read_text(encoding="utf-8"))) if path.exists() else Spent(path)
    begun, memory = time.monotonic(), PeakMemory(device)
    try:
        with memory:
            yield spent
    finally:
        spent.seconds += time.monotonic() - begun
        spent.peak = max(spent.peak, memory.bytes)
        spent.keep()
