"""The values of picture files with more than 8 bits a channel."""

from __future__ import annotations

import io
import sys
from typing import BinaryIO

import numpy as np
from PIL import Image

from fvm_core.data.conversion import is_deep

# Pillow keeps the upper of two bytes of a colour channel. Told that the order is the other one, it keeps the
# lower, and both together are the value.
_OTHER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_COLOUR = tuple(f"{mode};16{order}" for mode in ("RGB", "RGBA", "RGBX") for order in _OTHER)


def has_deep_values(image: Image.Image) -> bool:
    """Whether an opened picture that is not loaded yet has more than 8 bits a channel."""
    return is_deep(image) or _raw_mode(image) in _COLOUR


def deep_values(image: Image.Image, file: BinaryIO) -> np.ndarray | None:
    """H×W grey or H×W×3 colour values of an opened picture, None where it has 8 bits a channel.

    Args:
        image: opened, not loaded yet.
        file: what it was opened from.
    """
    if _raw_mode(image) not in _COLOUR:
        if not is_deep(image):
            return None
        image.load()
        return np.asarray(image)
    place = file.tell()
    file.seek(0)
    with Image.open(io.BytesIO(file.read()), formats=(image.format,)) as lower:
        lower.tile = [tile._replace(args=_in_other_order(tile.args)) for tile in lower.tile]
        low = np.asarray(lower)[..., :3]
    file.seek(place)
    image.load()
    return np.asarray(image)[..., :3].astype(np.uint16) << 8 | low


def _raw_mode(image: Image.Image) -> object:
    """How the bytes of a picture that is not loaded yet are arranged, as Pillow names it."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return None
    args = tiles[0].args
    return args[0] if isinstance(args, tuple) and args else args


def _in_other_order(args: tuple | str) -> tuple | str:
    if isinstance(args, tuple):
        return (_in_other_order(args[0]), *args[1:])
    return args[:-1] + _OTHER[args[-1]]
