"""What a picture is like in a few numbers: size, light, sharpness, and hashes of how it looks."""

from __future__ import annotations

import imagehash
import numpy as np
from PIL import Image

MEASURES = np.dtype(
    [
        ("width", "<i4"),
        ("height", "<i4"),
        ("missing", "<f4"),
        ("looks", "<u8", (2,)),
        ("colour", "u1", (3,)),
        ("darkest", "u1"),
        ("brightest", "u1"),
        ("contrast", "<f4"),
        ("sharpness", "<f4"),
    ]
)
"""One picture; zeros where it can't be read.

width, height: in pixels. missing: share of its rows that a file lacks, above 0 for every file that was cut
off. looks: a perceptual hash of its frequencies and one of its gradients, 64 bits each. colour: its mean.
darkest, brightest: luminances, 0 to 255, below which 1 % and 99 % of it lie. contrast: standard deviation of
its luminance. sharpness: see `measure`.
"""

SIDE = 32
"""Pixels a side at which light and looks are measured."""
SHARP_SIDE = 96
"""Pixels of the longer side at which sharpness is measured: about what a person sees in a grid."""

_CUMULATED = (0.01, 0.99)
_HARDLY = 1e-6  # of a file that was cut off within the last row


def measure(image: Image.Image) -> np.void:
    """The numbers of one picture, see `MEASURES`.

    `sharpness` is the standard deviation of the picture's Laplacian over its contrast, at `SHARP_SIDE`, so
    that it does not depend on light; NaN for pictures below `SIDE` pixels a side, which are too small for it.

    Args:
        image: mode "L" or "RGB"; its `info` may tell `size` and `missing`.
    """
    found = np.zeros((), dtype=MEASURES)
    found["width"], found["height"] = image.info.get("size", image.size)
    if "missing" in image.info:
        found["missing"] = max(image.info["missing"], _HARDLY)
    grey = image.convert("L")
    small = grey.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    found["looks"] = _bits(imagehash.phash(small)), _bits(imagehash.dhash(small))
    found["colour"] = image.convert("RGB").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    found["darkest"], found["brightest"] = _percentiles(small)
    found["contrast"] = np.asarray(small).std()
    found["sharpness"] = _sharpness(grey)
    return found[()]


def _bits(found: imagehash.ImageHash) -> int:
    return int.from_bytes(np.packbits(found.hash).tobytes(), "big")


def _percentiles(small: Image.Image) -> np.ndarray:
    cumulated = np.cumsum(small.histogram()) / (SIDE * SIDE)
    return np.searchsorted(cumulated, _CUMULATED)


def _sharpness(grey: Image.Image) -> float:
    if min(grey.size) < SIDE:
        return float("nan")
    scale = SHARP_SIDE / max(grey.size)
    if scale < 1:
        size = (max(3, round(grey.width * scale)), max(3, round(grey.height * scale)))
        grey = grey.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    values = np.asarray(grey).astype(np.int16)
    middle = values[1:-1, 1:-1]
    laplacian = values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:] - 4 * middle
    contrast = middle.std()
    return float(laplacian.std() / contrast) if contrast else 0.0
