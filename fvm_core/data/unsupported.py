"""Why a file that is an image is none that can be read."""

from __future__ import annotations

import logging
import struct
from typing import BinaryIO

from PIL import TiffImagePlugin

_STARTS = {b"II*\0": 8, b"MM\0*": 8, b"II+\0": 16, b"MM\0+": 16}
_WIDTH, _BITS, _BANDS, _KIND = 256, 258, 277, 339
_KINDS = {2: "signed", 3: "float", 5: "complex", 6: "complex"}

# Without a handler Pillow's words on every such file would go to the terminal; they become a problem here.
logging.getLogger(TiffImagePlugin.__name__).addHandler(logging.NullHandler())


def reason(file: BinaryIO) -> str | None:
    """Half a sentence and advice on a TIFF that Pillow does not know how to read; None for other files."""
    file.seek(0)
    head = file.read(4)
    if head not in _STARTS:
        return None
    try:
        head += file.read(_STARTS[head] - 4)
        tags = TiffImagePlugin.ImageFileDirectory_v2(head)
        file.seek(tags.next)
        tags.load(file)
        if _WIDTH not in tags:
            return None  # damaged
        bands = int(tags.get(_BANDS, 1))
        bits = max(tags.get(_BITS, (1,)))
        kind = _KINDS.get(tags.get(_KIND, (1,))[0], "")
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, struct.error, RuntimeError):
        return None
    has = f"has {bands} {'band' if bands == 1 else 'bands'} of {bits} bits{' ' * bool(kind)}{kind}"
    if bands not in (1, 3, 4):
        return (
            f"{has}; images of 1 (grey) or 3 (RGB) bands are read. Save the bands to look at, such as red, "
            "green and blue, as a file of their own"
        )
    return f"{has}, which is not read. Save it as RGB of 8 or 16 bits, or as one band of 16 bits or float"
