"""Image files to plain 8-bit grey or RGB, safely."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from fvm_core.data import unsupported
from fvm_core.data.conversion import PLAIN, Conversion, is_transparent, to_8_bits, to_plain
from fvm_core.data.cut_off import MOST_MISSING, completed, missing_share
from fvm_core.data.deep import deep_values, has_deep_values
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
    MemoryError,
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
_SIDEWAYS = frozenset(_TURNS[orientation] for orientation in (5, 6, 7, 8))


def decode(file: BinaryIO, name: str, smallest: int = 0, conversion: Conversion = PLAIN) -> Image.Image:
    """Decode the first frame of an image file.

    Args:
        file: opened for reading, at its start.
        name: what to call it in error texts.
        smallest: 0 for full size; else a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size as long
            as both sides keep at least this many pixels, which is several times faster.
        conversion: how deep values and transparency become 8 bits.

    Returns:
        Mode "L" or "RGB", turned as its EXIF data say, 8 bits a channel. `info` holds `size`, the width and
        height at full size; and `missing`, the share of its rows that a JPEG file was cut off before.

    Raises:
        UnreadableImage: not an image, damaged, cut off before more than `MOST_MISSING` of its rows, or of
            more than `MAX_PIXELS` pixels.
    """
    try:
        return _decoded(file, name, smallest, conversion)
    except UnreadableImage as error:
        file.seek(0)
        data = file.read() if "truncated" in str(error.__cause__) else b""
        whole = completed(data)
        if whole is None:
            raise
        # At full size, however small it was asked for: what is missing must not depend on that.
        plain = _decoded(io.BytesIO(whole), name, 0, conversion, cut_off=data)
        if plain.info["missing"] > MOST_MISSING:
            raise
        return plain


def _decoded(
    file: BinaryIO, name: str, smallest: int, conversion: Conversion, cut_off: bytes | None = None
) -> Image.Image:
    """`decode`; of a file that was cut off and completed, `cut_off` holds what there was of it."""
    with _opened(file, name) as image:
        size = image.size
        if smallest:
            image.draft(None, (smallest, smallest))
        values = None if conversion.window is None else deep_values(image, file)
        image.load()
        if values is None:
            plain = to_plain(image, conversion)
        else:
            plain = Image.fromarray(to_8_bits(values, conversion.window))
        info = {}
        if cut_off is not None:
            info["missing"] = missing_share(image, cut_off)
        turn = _turn(image)
        if turn is not None:
            plain = plain.transpose(turn)
            size = size[::-1] if turn in _SIDEWAYS else size
    plain.info = {"size": size, **info}
    return plain


def decode_convertible(file: BinaryIO, name: str) -> np.ndarray | None:
    """The values of a picture whose conversion to 8 bits leaves a choice, else None and no pixel is read.

    Args:
        file: opened for reading, at its start.
        name: what to call it in error texts.

    Returns:
        H×W or H×W×3 values of more than 8 bits; or H×W×4 uint8, colour and opacity of a picture that can be
        seen through somewhere. Not turned.

    Raises:
        UnreadableImage: as `decode`.
    """
    with _opened(file, name) as image:
        if has_deep_values(image):
            return deep_values(image, file)
        if not is_transparent(image):
            return None
        rgba = np.asarray(image.convert("RGBA"))
        return None if rgba[..., 3].min(initial=255) == 255 else rgba


@contextmanager
def _opened(file: BinaryIO, name: str) -> Iterator[Image.Image]:
    """The opened picture; whatever goes wrong with it becomes `UnreadableImage`."""
    try:
        with Image.open(file, formats=_formats()) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnreadableImage(
                    f"{name} is {width:,} × {height:,} pixels; "
                    f"at most {MAX_PIXELS // 1_000_000} million are read. Save it smaller."
                )
            yield image
    except _TOO_LARGE as error:
        raise UnreadableImage(
            f"{name} has more than {MAX_PIXELS // 1_000_000} million pixels. Save it smaller."
        ) from error
    except UnidentifiedImageError as error:
        raise UnreadableImage(f"{name} {_unknown(file)}.") from error
    except _DAMAGED as error:
        raise UnreadableImage(f"{name} is damaged ({error}).") from error


def _unknown(file: BinaryIO) -> str:
    file.seek(0)
    if not file.read(1):
        return "is empty (0 bytes)"
    return unsupported.reason(file) or "isn't an image in a known format (JPEG, PNG, …)"


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except _DAMAGED:  # the pixels are fine even where the EXIF block is not
        return None
    return _TURNS.get(orientation) if isinstance(orientation, int) else None


@functools.cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)
