"""JPEG files that lack their last bytes: how much of the picture is there all the same."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

MOST_MISSING = 0.1
"""Share of the rows that may be missing from a picture that is used: what it shows can still be told then."""

_START, _SCAN, _END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"


def completed(data: bytes) -> bytes | None:
    """A JPEG file with an end, so that decoders fill what is missing with grey; None for other files.

    Pillow's own switch for that holds for all threads and all files, however little of them is there.
    """
    return data + _END if data.startswith(_START) else None


def missing_share(image: Image.Image, data: bytes) -> float:
    """Share of the rows, 0 to 1, that the bytes did not reach.

    Args:
        image: loaded from `completed(data)` at full size.
        data: the file.
    """
    values = np.asarray(image)
    if image.info.get("progressive"):
        # Every pass covers all rows. The last one has started: compare with a file that ends right there.
        start = data.rfind(_SCAN)
        body = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        if start < 0 or body >= len(data) or data[body - 1] & 0x0F:
            return 1.0  # it lacks whole passes
        with Image.open(io.BytesIO(data[: body + 1] + _END), formats=("JPEG",)) as before:
            reached = np.asarray(before) != values
    else:
        reached = values != values[-1, -1]
    rows = np.flatnonzero(reached.reshape(len(values), -1).any(axis=1))
    return 1 - (int(rows[-1]) + 1) / len(values) if len(rows) else 1.0
