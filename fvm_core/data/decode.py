"""Image files to plain 8-bit grey or RGB, safely."""

from __future__ import annotations

import functools
import struct
import zlib
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from fvm_core.errors import UnreadableImage

MAX_PIXELS = 80_000_000
"""Larger images are refused: a few kilobytes can claim to be gigabytes of pixels."""

# No format here starts another program or reads another file, as EPS (Ghostscript) and others would.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000")

# fmt: off
EXTENSIONS = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".avif", ".jp2", ".j2k",
})
# fmt: on
"""File name endings, in lower case, that count as images."""

# What Pillow's readers raise for damaged files, by reading their code and by feeding them noise.
_DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
)
_TOO_LARGE = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(file: BinaryIO, name: str, smallest: int = 0) -> Image.Image:
    """Decode the first frame of an image file.

    Args:
        file: opened for reading, at its start.
        name: what to call it in error texts.
        smallest: 0 for full size; else a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size as long
            as both sides keep at least this many pixels, which is several times faster.

    Returns:
        Mode "L" or "RGB", turned as its EXIF data say, transparency laid on white, 8 bits a channel.

    Raises:
        UnreadableImage: not an image, damaged, or more than `MAX_PIXELS` pixels.
    """
    try:
        with Image.open(file, formats=_formats()) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnreadableImage(
                    f"{name} is {width:,} × {height:,} pixels; "
                    f"at most {MAX_PIXELS // 1_000_000} million are read. Save it smaller."
                )
            if smallest:
                image.draft(None, (smallest, smallest))
            image.load()
            plain = to_plain(_turned(image))
    except _TOO_LARGE as error:
        raise UnreadableImage(
            f"{name} has more than {MAX_PIXELS // 1_000_000} million pixels. Save it smaller."
        ) from error
    except UnidentifiedImageError as error:
        file.seek(0)
        what = "isn't an image in a known format (JPEG, PNG, …)" if file.read(1) else "is empty (0 bytes)"
        raise UnreadableImage(f"{name} {what}.") from error
    except _DAMAGED as error:
        raise UnreadableImage(f"{name} is damaged ({error}).") from error
    plain.info = {}
    return plain


def to_plain(image: Image.Image) -> Image.Image:
    """Mode "L" or "RGB" with 8 bits a channel; transparency laid on white."""
    if image.mode.startswith("I") or image.mode == "F":
        return _to_8_bits(np.asarray(image))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        grey = image.mode in ("LA", "La", "L", "1")
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("L" if grey else "RGB")
    if image.mode in ("L", "RGB"):
        return image
    if image.mode == "1":
        return image.convert("L")
    return image.convert("RGB")


def _to_8_bits(values: np.ndarray) -> Image.Image:
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, nan=0.0, posinf=255.0, neginf=0.0)
        scaled = values * 255 if values.max(initial=0) <= 1 else values
    else:
        scaled = values / 257  # 65,535 → 255
    return Image.fromarray(np.clip(np.rint(scaled), 0, 255).astype(np.uint8))


def _turned(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except _DAMAGED:  # the pixels are fine even where the EXIF block is not
        return image
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


@functools.cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)
