"""Which images of a dataset can be read, and which are the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fvm_core.data.dataset import ImageDataset
from fvm_core.data.parallel import ProgressCallback, in_chunks
from fvm_core.data.thumbnails import HASH_BYTES, content_hash
from fvm_core.errors import UnreadableImage


class Scanned(Protocol):
    """What is known of N images; `Thumbnails` know it too.

    Attributes:
        readable: N booleans.
        hashes: N×16 uint8, zeros where unreadable.
    """

    readable: np.ndarray
    hashes: np.ndarray


@dataclass(frozen=True)
class Scan:
    """See `Scanned`."""

    readable: np.ndarray
    hashes: np.ndarray


def scan_images(
    dataset: ImageDataset,
    progress: ProgressCallback | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Scan:
    """Decode and hash every image once.

    Args:
        dataset: N images.
        progress: called with rows done and N.
        cancelled: asked now and then; True raises `Cancelled`.
    """
    source = dataset.images

    def one(row: int) -> bytes | None:
        try:
            source.image(row, smallest=1)  # damage shows at any size, and the smallest is fastest
            return content_hash(source.content(row))
        except UnreadableImage:
            return None

    parts = in_chunks(
        lambda rows: [one(row) for row in rows], len(dataset), progress=progress, cancelled=cancelled
    )
    hashes = [found for part in parts for found in part]
    table = np.frombuffer(b"".join(found or bytes(HASH_BYTES) for found in hashes), dtype=np.uint8)
    readable = np.array([found is not None for found in hashes], dtype=bool)
    return Scan(readable, table.reshape(-1, HASH_BYTES))
