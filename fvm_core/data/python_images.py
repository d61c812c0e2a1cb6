"""Images that are values of Python: PIL pictures, arrays, tensors, encoded bytes, or what a dataset gives."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from fvm_core.data.conversion import PLAIN, Conversion, is_deep, is_transparent, to_8_bits, to_plain
from fvm_core.data.decode import decode, decode_convertible
from fvm_core.data.sources import FileImages, rows_stamp
from fvm_core.errors import UnreadableImage


class PythonImages:
    """Images that a function gives by row.

    Args:
        value: gives row `i` of the data: a PIL picture, H×W or H×W×C or C×H×W values as an array or tensor,
            encoded bytes, `{"bytes", "path"}` as of Hugging Face, or a path. What it raises is told of its
            row.
        rows: N row numbers that it is asked for.
        conversion: how deep and transparent pictures become 8 bits.
    """

    def __init__(
        self, value: Callable[[int], object], rows: np.ndarray, conversion: Conversion = PLAIN
    ) -> None:
        self.conversion = conversion
        self._value = value
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def image(self, index: int, smallest: int = 0) -> Image.Image:
        """Image `index`; `smallest` helps with encoded ones only."""
        value = self._get(index)
        if isinstance(value, FileImages):
            return value.converted(self.conversion).image(0, smallest)
        if isinstance(value, bytes):
            return decode(io.BytesIO(value), self._name(index), smallest, self.conversion)
        if isinstance(value, Image.Image):
            return to_plain(value, self.conversion)
        if value.dtype != np.uint8:
            value = to_8_bits(value, self.conversion.window)
        return to_plain(Image.fromarray(value), self.conversion)

    def content(self, index: int) -> bytes:
        """The encoded bytes, or those of the pixels."""
        value = self._get(index)
        if isinstance(value, FileImages):
            return value.content(0)
        return value if isinstance(value, bytes) else value.tobytes()

    def convertible(self, index: int) -> np.ndarray | None:
        """See `decode_convertible`."""
        value = self._get(index)
        if isinstance(value, FileImages):
            return value.convertible(0)
        if isinstance(value, bytes):
            return decode_convertible(io.BytesIO(value), self._name(index))
        if isinstance(value, Image.Image):
            if is_deep(value):
                return np.asarray(value)
            if not is_transparent(value):
                return None
            value = np.asarray(value.convert("RGBA"))
        if value.dtype != np.uint8:
            return value
        see_through = value.ndim == 3 and value.shape[2] == 4 and value[..., 3].min() < 255
        return value if see_through else None

    def converted(self, conversion: Conversion) -> PythonImages:
        """The same images in another conversion."""
        return PythonImages(self._value, self._rows, conversion)

    def take(self, indices: np.ndarray) -> PythonImages:
        """The same images under other row numbers."""
        return PythonImages(self._value, self._rows[indices], self.conversion)

    def stamp(self) -> str:
        """The rows: whether values in memory have changed nobody can tell without looking at each."""
        return rows_stamp("python", self._rows)

    def _name(self, index: int) -> str:
        return f"Row {self._rows[index] + 1:,}"

    def _get(self, index: int) -> FileImages | bytes | Image.Image | np.ndarray:
        try:
            value = self._value(int(self._rows[index]))
            if isinstance(value, dict):
                value = value.get("bytes") or value.get("path")
            if isinstance(value, str | Path):
                return FileImages([str(Path(value).expanduser().absolute())])
            if isinstance(value, bytes | bytearray | memoryview):
                return bytes(value)
            if isinstance(value, Image.Image):
                value.load()
                return value
            if value is None or (isinstance(value, float) and np.isnan(value)):
                raise UnreadableImage(f"{self._name(index)} has no image.")
            if hasattr(value, "detach"):  # torch's channels come first, whatever the other sides are
                return _pixels(value.detach().cpu().numpy(), first=True)
            return _pixels(np.asarray(value))
        except UnreadableImage:
            raise
        except Exception as error:  # whatever somebody's dataset does
            raise UnreadableImage(f"{self._name(index)} gave {type(error).__name__}: {error}.") from error


def _pixels(values: np.ndarray, first: bool = False) -> np.ndarray:
    """H×W or H×W×C values, channels last; raises `ValueError` for others.

    Args:
        values: H×W, H×W×C or C×H×W.
        first: take the first side for channels where either could be it.
    """
    ends = (
        (values.shape[0] in (1, 3, 4), values.shape[2] in (1, 3, 4)) if values.ndim == 3 else (False, False)
    )
    if ends[0] and (first or not ends[1]):
        values = values.transpose(1, 2, 0)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.dtype == np.bool_:
        values = values.astype(np.uint8) * np.uint8(255)
    fits = values.ndim == 2 or (
        values.ndim == 3 and values.shape[2] in ((3, 4) if values.dtype == np.uint8 else (3,))
    )
    if not fits or values.dtype.kind not in "uif" or not values.size:
        shape = "×".join(map(str, values.shape))
        raise ValueError(f"{shape or 'a single value'} of type {values.dtype}, which is no image")
    return np.ascontiguousarray(values)
