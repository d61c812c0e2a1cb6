"""Rows in chunks over a pool of threads, results in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fvm_core.errors import Cancelled

Result = TypeVar("Result")
ProgressCallback = Callable[[int, int], None]


def threads() -> int:
    """How many threads decode images: one a core."""
    return os.cpu_count() or 1


def in_chunks(
    work: Callable[[range], Result],
    total: int,
    *,
    chunk: int = 128,
    progress: ProgressCallback | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[Result]:
    """Yield `work(range(0, chunk))`, `work(range(chunk, 2 * chunk))`, … up to `total` rows, in order.

    Only a few chunks are under way at a time, so results don't pile up in memory.

    Args:
        work: called in threads with the rows of one chunk.
        total: number of rows.
        chunk: rows at a time.
        progress: called with rows done and `total` after every chunk; what it raises ends the work.
        cancelled: asked after every chunk.

    Raises:
        Cancelled: `cancelled` said so.
    """
    starts = iter(range(0, total, chunk))
    running: deque = deque()
    done = 0
    if progress:
        progress(0, total)
    with ThreadPoolExecutor(threads(), thread_name_prefix="images") as pool:
        try:
            for start in starts:
                running.append(pool.submit(work, range(start, min(start + chunk, total))))
                if len(running) < 3 * threads():
                    continue
                yield running.popleft().result()
                done = _tell(done + chunk, total, progress, cancelled)
            while running:
                yield running.popleft().result()
                done = _tell(done + chunk, total, progress, cancelled)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _tell(
    done: int, total: int, progress: ProgressCallback | None, cancelled: Callable[[], bool] | None
) -> int:
    done = min(done, total)
    if cancelled and cancelled():
        raise Cancelled
    if progress:
        progress(done, total)
    return done
