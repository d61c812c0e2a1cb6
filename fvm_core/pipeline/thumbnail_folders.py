"""Where a run keeps the thumbnails of its two sets, and what they tell of the images."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from fvm_core.data.thumbnails import Thumbnails


def thumbnail_folder(run: Path, where: str) -> Path:
    """Folder of the thumbnails of the `train` or `val` images of a run."""
    return run / ("thumbnails" if where == "train" else "thumbnails_val")


def content_of(run: Path, where: str) -> str:
    """32 hex digits over the content of all images of the `train` or `val` set, as the stage has seen it."""
    hashes = Thumbnails(thumbnail_folder(run, where)).hashes
    return hashlib.blake2b(np.ascontiguousarray(hashes), digest_size=16).hexdigest()


def readable_images(run: Path, where: str) -> np.ndarray:
    """(n,) which images of the `train` or `val` set can be decoded, as the stage has seen."""
    return Thumbnails(thumbnail_folder(run, where)).readable
