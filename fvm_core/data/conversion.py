"""How the values of a picture become 8 bits: the window of deep ones, the background of transparent ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

BACKGROUNDS = {"white": 255, "black": 0, "grey": 128}
"""What transparent pictures can be laid on, and its luminance."""

_TRANSPARENT = ("RGBA", "LA", "PA", "RGBa", "La")


@dataclass(frozen=True)
class Conversion:
    """What leaves a choice when a picture becomes 8-bit grey or RGB; 8-bit opaque ones leave none.

    Attributes:
        window: values that become black (and all below) and white (and all above), for pictures with more
            than 8 bits a channel, signed or float; None takes the full range of 16 bits, or 0 to 1.
        background: a key of `BACKGROUNDS` that transparent pictures are laid on.
    """

    window: tuple[float, float] | None = None
    background: str = "white"


PLAIN = Conversion()
"""What runs of versions did that knew no window."""


def conversion_of(images: object) -> Conversion:
    """The conversion of a source of images; sources made elsewhere have none."""
    return getattr(images, "conversion", PLAIN)


def noted(conversion: Conversion) -> dict:
    """What a file that was built from converted images notes of that; nothing of `PLAIN`."""
    if conversion == PLAIN:
        return {}
    window = None if conversion.window is None else list(conversion.window)
    return {"conversion": {"window": window, "background": conversion.background}}


def to_plain(image: Image.Image, conversion: Conversion = PLAIN) -> Image.Image:
    """Mode "L" or "RGB" with 8 bits a channel; transparency laid on the background."""
    if is_deep(image):
        return Image.fromarray(to_8_bits(np.asarray(image), conversion.window))
    if is_transparent(image):
        grey = image.mode in ("LA", "La", "L", "1")
        rgba = image.convert("RGBA")
        ground = Image.new("RGBA", rgba.size, conversion.background)
        return Image.alpha_composite(ground, rgba).convert("L" if grey else "RGB")
    if image.mode in ("L", "RGB"):
        return image
    if image.mode == "1":
        return image.convert("L")
    return image.convert("RGB")


def is_deep(image: Image.Image) -> bool:
    """Whether its values are not those of 8 bits."""
    return image.mode.startswith("I") or image.mode == "F"


def is_transparent(image: Image.Image) -> bool:
    """Whether it may have pixels that can be seen through."""
    return image.mode in _TRANSPARENT or "transparency" in image.info


def to_8_bits(values: np.ndarray, window: tuple[float, float] | None) -> np.ndarray:
    """Values of any range as uint8 of the same shape; what is no number becomes black."""
    if window is None:
        return _full_range(values)
    low, high = window
    exact = np.float32 if values.dtype.itemsize <= 2 else np.float64
    scaled = (values.astype(exact) - exact(low)) * exact(255 / (high - low))
    if values.dtype.kind == "f":
        scaled = np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def _full_range(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, nan=0.0, posinf=255.0, neginf=0.0)
        scaled = values * 255 if values.max(initial=0) <= 1 else values
    else:
        scaled = values / 257  # 65,535 → 255
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
