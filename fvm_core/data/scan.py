"""Which images of a dataset can be read, and which are the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fvm_core.data.dataset import ImageDataset, ImageSource
from fvm_core.data.measures import MEASURES, measure
from fvm_core.data.parallel import ProgressCallback, in_chunks
from fvm_core.data.thumbnails import HASH_BYTES, MAX_SIDE, content_hash
from fvm_core.data.wording import printable
from fvm_core.errors import UnreadableImage


class Scanned(Protocol):
    """What is known of N images; `Thumbnails` know it too.

    Attributes:
        readable: N booleans.
        hashes: N×16 uint8, zeros where unreadable.
        measures: N `MEASURES`; None in runs of versions that took none.
        reasons: why an image can't be read, by row.
    """

    readable: np.ndarray
    hashes: np.ndarray
    measures: np.ndarray | None
    reasons: dict[int, str]


@dataclass(frozen=True)
class Scan:
    """See `Scanned`."""

    readable: np.ndarray
    hashes: np.ndarray
    measures: np.ndarray | None
    reasons: dict[int, str]


def scan_images(
    dataset: ImageDataset,
    progress: ProgressCallback | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Scan:
    """Decode, measure and hash every image once.

    Args:
        dataset: N images.
        progress: called with rows done and N.
        cancelled: asked now and then; True raises `Cancelled`.
    """
    parts = list(in_chunks(_worker(dataset.images), len(dataset), progress=progress, cancelled=cancelled))
    hashes = b"".join(found or bytes(HASH_BYTES) for part, _, _ in parts for found in part)
    return Scan(
        np.array([found is not None for part, _, _ in parts for found in part], dtype=bool),
        np.frombuffer(hashes, dtype=np.uint8).reshape(-1, HASH_BYTES),
        np.concatenate([np.zeros(0, MEASURES), *(measures for _, measures, _ in parts)]),
        {row: reason for _, _, reasons in parts for row, reason in reasons.items()},
    )


def _worker(source: ImageSource) -> Callable[[range], tuple[list[bytes | None], np.ndarray, dict[int, str]]]:
    def work(rows: range) -> tuple[list[bytes | None], np.ndarray, dict[int, str]]:
        hashes: list[bytes | None] = []
        measures, reasons = np.zeros(len(rows), MEASURES), {}
        for place, row in enumerate(rows):
            try:
                # As large as thumbnails see it, so that both measure the same.
                image = source.image(row, smallest=2 * MAX_SIDE)
                hashes.append(content_hash(source.content(row)))
            except UnreadableImage as error:
                hashes.append(None)
                reasons[row] = printable(str(error))
            else:
                measures[place] = measure(image)
        return hashes, measures, reasons

    return work
