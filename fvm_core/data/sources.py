"""The three places images come from: files, a column of encoded bytes, an array of pixels."""

from __future__ import annotations

import hashlib
import io
import stat
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from PIL import Image

from fvm_core.data.conversion import PLAIN, Conversion, to_8_bits, to_plain
from fvm_core.data.decode import decode, decode_convertible
from fvm_core.errors import SaltflatError, UnreadableImage

_LONGEST = 300  # characters of a path that is told


class FileImages:
    """Image files, opened one at a time.

    Args:
        paths: N absolute paths; the empty text stands for "this row names no file".
        conversion: how deep and transparent pictures become 8 bits.
    """

    def __init__(self, paths: Sequence[str], conversion: Conversion = PLAIN) -> None:
        self.paths = paths
        self.conversion = conversion

    def __len__(self) -> int:
        return len(self.paths)

    def image(self, index: int, smallest: int = 0) -> Image.Image:
        """Decode file `index`; see `decode` for `smallest`."""
        with self._open(index) as file:
            return decode(file, self.paths[index], smallest, self.conversion)

    def convertible(self, index: int) -> np.ndarray | None:
        """See `decode_convertible`."""
        with self._open(index) as file:
            return decode_convertible(file, self.paths[index])

    def converted(self, conversion: Conversion) -> FileImages:
        """The same files in another conversion."""
        return FileImages(self.paths, conversion)

    def content(self, index: int) -> bytes:
        """The file's bytes."""
        with self._open(index) as file:
            try:
                return file.read()
            except OSError as error:
                raise UnreadableImage(f"{self.paths[index]} can't be read ({error.strerror}).") from error

    def take(self, indices: np.ndarray) -> FileImages:
        """The files at `indices`."""
        return FileImages([self.paths[i] for i in indices], self.conversion)

    def stamp(self) -> str:
        """Hash of every file's name, size and time of change."""
        digest = hashlib.blake2b(digest_size=16)
        for path in self.paths:
            digest.update(f"{path}\0{file_stamp(path)}\0".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    @contextmanager
    def _open(self, index: int):
        path = self.paths[index]
        if not path:
            raise UnreadableImage(f"Row {index + 1:,} names no image file.")
        try:
            kind = Path(path).stat().st_mode
            if not stat.S_ISREG(kind):  # opening a pipe would wait for ever
                what = "is a folder" if stat.S_ISDIR(kind) else "isn't a file"
                raise UnreadableImage(f"{path} {what}.")
            file = Path(path).open("rb")  # noqa: SIM115 (errors while reading it are `decode`'s)
        except (FileNotFoundError, NotADirectoryError):
            raise UnreadableImage(f"{path} doesn't exist.") from None
        except ValueError as error:  # such as a null character
            raise UnreadableImage(f"{path!r} doesn't exist: no file can be named so ({error}).") from None
        except OSError as error:
            raise UnreadableImage(f"{_short(path)} can't be opened ({error.strerror}).") from error
        with file:
            yield file


class Blobs(Protocol):
    """A column of bytes; Arrow's arrays are such."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> pa.Scalar: ...


class EncodedImages:
    """Image files as bytes in a column of a table; they stay compressed.

    Args:
        blobs: binary column, in memory or, as `ParquetColumn`, on disk; null where a row has no image.
        where: name of the table, or what tells the name of a row, for error texts.
        stamp: changes when the table may have changed.
        rows: N positions in `blobs`; None means all, in order.
        conversion: how deep and transparent pictures become 8 bits.
    """

    def __init__(
        self,
        blobs: Blobs,
        where: str | Callable[[int], str],
        stamp: str,
        rows: np.ndarray | None = None,
        conversion: Conversion = PLAIN,
    ) -> None:
        self.conversion = conversion
        self._blobs = blobs
        self._where = where
        self._stamp = stamp
        self._rows = np.arange(len(blobs)) if rows is None else rows

    def __len__(self) -> int:
        return len(self._rows)

    def image(self, index: int, smallest: int = 0) -> Image.Image:
        """Decode blob `index`; see `decode` for `smallest`."""
        return decode(io.BytesIO(self.content(index)), self._name(index), smallest, self.conversion)

    def convertible(self, index: int) -> np.ndarray | None:
        """See `decode_convertible`."""
        return decode_convertible(io.BytesIO(self.content(index)), self._name(index))

    def converted(self, conversion: Conversion) -> EncodedImages:
        """The same blobs in another conversion."""
        return EncodedImages(self._blobs, self._where, self._stamp, self._rows, conversion)

    def content(self, index: int) -> bytes:
        """The file's bytes."""
        data = self._blobs[int(self._rows[index])].as_py()
        if data is None:
            raise UnreadableImage(f"{self._name(index)} has no image.")
        if not isinstance(data, bytes):
            raise UnreadableImage(f"{self._name(index)} holds {data!r:.60} and not the bytes of an image.")
        return data

    def take(self, indices: np.ndarray) -> EncodedImages:
        """The same blobs under other row numbers."""
        return EncodedImages(self._blobs, self._where, self._stamp, self._rows[indices], self.conversion)

    def stamp(self) -> str:
        """The table's stamp and the rows."""
        return rows_stamp(self._stamp, self._rows)

    def _name(self, index: int) -> str:
        row = int(self._rows[index])
        return f"Row {row + 1:,} of {self._where}" if isinstance(self._where, str) else self._where(row)


class RawImages:
    """Images as an array of pixels, in memory or memory-mapped.

    Args:
        array: N×H×W or N×H×W×C; uint8 with C = 1 (grey), 3 (RGB) or 4 (RGB and alpha), or other real numbers
            with C = 1 or 3, which need a window.
        stamp: changes when the array may have changed; None: a hash of the array.
        rows: N positions in `array`; None means all, in order.
        conversion: how deep and transparent pictures become 8 bits.

    Raises:
        SaltflatError: another shape or dtype.
    """

    def __init__(
        self,
        array: np.ndarray,
        stamp: str | None = None,
        rows: np.ndarray | None = None,
        conversion: Conversion = PLAIN,
    ) -> None:
        check_pixels(array)
        self.conversion = conversion
        self._array = array
        self._stamp = stamp
        self._rows = np.arange(len(array)) if rows is None else rows

    def __len__(self) -> int:
        return len(self._rows)

    def image(self, index: int, smallest: int = 0) -> Image.Image:
        """Image `index`; `smallest` has no effect."""
        pixels = self._pixels(index)
        if pixels.dtype != np.uint8:
            pixels = to_8_bits(pixels, self.conversion.window)
        return to_plain(Image.fromarray(pixels), self.conversion)

    def content(self, index: int) -> bytes:
        """The pixels' bytes."""
        return self._array[self._rows[index]].tobytes()

    def convertible(self, index: int) -> np.ndarray | None:
        """See `decode_convertible`."""
        pixels = self._pixels(index)
        if pixels.dtype != np.uint8:
            return pixels
        see_through = pixels.ndim == 3 and pixels.shape[2] == 4 and pixels[..., 3].min() < 255
        return pixels if see_through else None

    def converted(self, conversion: Conversion) -> RawImages:
        """The same array in another conversion."""
        return RawImages(self._array, self._stamp, self._rows, conversion)

    def take(self, indices: np.ndarray) -> RawImages:
        """The same array under other row numbers."""
        return RawImages(self._array, self._stamp, self._rows[indices], self.conversion)

    def stamp(self) -> str:
        """The array's stamp and the rows."""
        if self._stamp is None:
            self._stamp = hashlib.blake2b(np.ascontiguousarray(self._array), digest_size=16).hexdigest()
        return rows_stamp(self._stamp, self._rows)

    def _pixels(self, index: int) -> np.ndarray:
        pixels = np.ascontiguousarray(self._array[self._rows[index]])
        if pixels.dtype == np.bool_:
            pixels = pixels.astype(np.uint8) * np.uint8(255)
        return pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels


def check_pixels(array: np.ndarray, name: str = "The array of images") -> None:
    """Check dtype and shape.

    Raises:
        SaltflatError: says what `name` has, what is needed, and how to get there.
    """
    has = f"{name} has shape {'×'.join(map(str, array.shape))} and type {array.dtype}"
    if array.dtype.kind == "c":
        raise SaltflatError(f"{has}; images are real numbers. Use np.abs(images) for their magnitude.")
    if array.dtype.kind not in "buif":
        raise SaltflatError(f"{has}; images must be numbers, such as uint8 from 0 to 255.")
    if array.ndim == 4 and array.shape[3] not in (1, 3, 4) and array.shape[1] in (1, 3, 4):
        raise SaltflatError(f"{has}; channels come last. Use images.transpose(0, 2, 3, 1).")
    if array.ndim == 4 and array.shape[3] not in (1, 3, 4):
        raise SaltflatError(
            f"{has}; it has {array.shape[3]} channels, and 1, 3 or 4 channels are read. Choose those to look "
            "at, such as images[..., [2, 1, 0]]."
        )
    if array.ndim not in (3, 4):
        raise SaltflatError(f"{has}; it must be N×H×W, or N×H×W×C with 1, 3 or 4 channels.")
    if array.ndim == 4 and array.shape[3] == 4 and array.dtype != np.uint8:
        raise SaltflatError(
            f"{has}; four channels are colour and opacity of 8 bits. Leave the fourth out: images[..., :3]."
        )
    if 0 in array.shape[1:]:
        raise SaltflatError(f"{has}; its images have no pixels.")


def _short(path: str) -> str:
    """A path that can be read; over-long ones can't be opened either."""
    return path if len(path) <= _LONGEST else f"{path[: _LONGEST // 2]} … {path[-_LONGEST // 2 :]}"


def file_stamp(path: str | Path) -> str:
    """Size and time of change of a file, `-` where it can't be looked up."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return "-"
    return f"{status.st_size}-{status.st_mtime_ns}"


def rows_stamp(stamp: str, rows: np.ndarray) -> str:
    """`stamp` together with the rows of it that are used."""
    digest = hashlib.blake2b(stamp.encode(), digest_size=16)
    digest.update(np.ascontiguousarray(rows, dtype=np.int64).tobytes())
    return digest.hexdigest()
