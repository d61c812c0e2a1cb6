"""Small encoded images of a whole dataset, in two files that are memory-mapped."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from fvm_core.atomic import replacing, write_json
from fvm_core.data.built import is_built
from fvm_core.data.conversion import conversion_of, noted
from fvm_core.data.dataset import ImageDataset, ImageSource
from fvm_core.data.measures import MEASURES, measure
from fvm_core.data.parallel import ProgressCallback, in_chunks
from fvm_core.data.wording import printable
from fvm_core.errors import DamagedFile, UnreadableImage
from fvm_core.stored import read_json

MAX_SIDE = 96
"""Pixels of a thumbnail's longer side, at most."""
MAX_BYTES = 4096
"""Bytes of an encoded thumbnail, at most: a page of 200 stays below a megabyte."""
SMALLEST = 2 * MAX_SIDE
"""Pixels that the shorter side of a decoded image keeps at least: twice the thumbnail, to antialias."""
HASH_BYTES = 16
_FEWER = 32

_LOSSLESS_SIDE = 32
_QUALITIES = (85, 70, 55, 40, 25)
_PNG_START = b"\x89PNG"
_BLOB, _OFFSETS, _HASHES, _ABOUT = "thumbnails.bin", "offsets.npy", "hashes.npy", "thumbnails.json"
_MEASURES, _REASONS = "measures.npy", "reasons.json"


class Also(Protocol):
    """What else is made of every image while it is decoded for its thumbnail: so it is decoded once.

    Attributes:
        smallest: pixels that the shorter side of the decoded image has to keep.
    """

    smallest: int

    def of(self, row: int, image: Image.Image) -> np.ndarray | None:
        """What is made of one image, in a thread of many; not called where it can't be decoded."""
        ...

    def take(self, rows: range, found: dict[int, np.ndarray]) -> None:
        """What `of` made of some rows, in their order, in one thread."""
        ...


class Thumbnails:
    """The thumbnails that `build` wrote into a folder.

    Attributes:
        readable: N booleans, False where the image can't be decoded.
        hashes: N×16 uint8, a hash of each image's content, zeros where it can't be decoded.
        measures: N `MEASURES`; None in runs of versions that took none.
        reasons: why an image can't be decoded, by row.

    Raises:
        DamagedFile: one of the files is missing, cut off, or does not fit the others.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._offsets = self._array(_OFFSETS, np.int64, 1)
        self.hashes = self._array(_HASHES, np.uint8, 2)
        count, stop = len(self._offsets) - 1, int(self._offsets[-1]) if len(self._offsets) else -1
        if count < 0 or self._offsets[0] != 0 or (np.diff(self._offsets) < 0).any():
            raise self._damaged(_OFFSETS, "its numbers are not those of a list of thumbnails")
        if self.hashes.shape != (count, HASH_BYTES):
            raise self._damaged(_HASHES, f"it has {len(self.hashes):,} rows, there are {count:,} images")
        self.readable = np.diff(self._offsets) > 0
        self.measures = self._array(_MEASURES, MEASURES, 1) if (self.folder / _MEASURES).exists() else None
        if self.measures is not None and len(self.measures) != count:
            raise self._damaged(_MEASURES, f"it has {len(self.measures):,} rows, there are {count:,} images")
        self.reasons = self._read_reasons()
        blob = self.folder / _BLOB
        if not blob.is_file():
            raise self._damaged(_BLOB, "it is missing")
        if blob.stat().st_size != stop:
            raise self._damaged(_BLOB, f"it has {blob.stat().st_size:,} bytes, {stop:,} were written")
        # A file without a byte can't be mapped; it is that of a dataset without a readable image.
        self._blob = np.memmap(blob, dtype=np.uint8, mode="r") if stop else b""

    def _array(self, name: str, kind: type | np.dtype, dimensions: int) -> np.ndarray:
        path = self.folder / name
        try:
            found = np.load(path, allow_pickle=False)
        except FileNotFoundError:
            raise self._damaged(name, "it is missing") from None
        except (OSError, ValueError, EOFError, MemoryError, SyntaxError, zipfile.BadZipFile) as error:
            raise self._damaged(name, f"it is no array of numpy ({error})") from None
        if not isinstance(found, np.ndarray) or found.dtype != kind or found.ndim != dimensions:
            raise self._damaged(name, "it holds something else than it should")
        return found

    def _read_reasons(self) -> dict[int, str]:
        path = self.folder / _REASONS
        if not path.exists():
            return {}
        found = read_json(path, {str: str}, self._remedy)
        return {int(row): reason for row, reason in found.items() if row.isdecimal()}

    def _damaged(self, name: str, reason: str) -> DamagedFile:
        return DamagedFile(self.folder / name, reason, self._remedy)

    @property
    def _remedy(self) -> str:
        return f"Run `saltflat doctor {self.folder.parent} --redo` to have it made again."

    @classmethod
    def build(
        cls,
        dataset: ImageDataset,
        folder: Path | str,
        progress: ProgressCallback | None = None,
        cancelled: Callable[[], bool] | None = None,
        also: Also | None = None,
    ) -> Thumbnails:
        """Make the thumbnails of `dataset`, decoding every image once; those that exist are kept.

        Args:
            dataset: N images.
            folder: where the files go. After a stop nothing is left there, and a new call starts
                over; a finished folder of the same images is opened as it is.
            progress: called with rows done and N.
            cancelled: asked now and then; True ends the work.
            also: what else to make of the decoded images; nothing is, where the thumbnails exist.

        Raises:
            Cancelled: `cancelled` said so.
        """
        folder = Path(folder)
        if (found := cls.built(dataset, folder)) is not None:
            return found
        about = _about(dataset)
        (folder / _ABOUT).unlink(missing_ok=True)
        lengths: list[int] = []
        hashes: list[bytes] = []
        measures: list[np.ndarray] = [np.zeros(0, MEASURES)]
        reasons: dict[str, str] = {}
        with replacing(folder / _BLOB) as blob_part:
            with blob_part.open("wb") as blob:
                work = _worker(dataset.images, also)
                chunk = 128 if also is None else _FEWER  # what is made beside them may be large
                for made in in_chunks(
                    work, len(dataset), chunk=chunk, progress=progress, cancelled=cancelled
                ):
                    for encoded in made.encoded:
                        blob.write(encoded)
                        lengths.append(len(encoded))
                    hashes += made.hashes
                    measures.append(made.measures)
                    reasons |= made.reasons
                    if also is not None:
                        also.take(made.rows, made.others)
            offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
            table = np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(-1, HASH_BYTES)
            arrays = {_OFFSETS: offsets, _HASHES: table, _MEASURES: np.concatenate(measures)}
            for name, array in arrays.items():
                with replacing(folder / name) as part:
                    np.save(part, array, allow_pickle=False)
        write_json(folder / _REASONS, reasons)
        write_json(folder / _ABOUT, about)  # last: it says that the others are whole
        return cls(folder)

    @classmethod
    def built(cls, dataset: ImageDataset, folder: Path | str) -> Thumbnails | None:
        """Those that exist of the same images; None where there are none, or they are damaged."""
        if is_built(Path(folder) / _ABOUT, _about(dataset)):
            with suppress(DamagedFile):  # then they are made again
                return cls(folder)
        return None

    def __len__(self) -> int:
        return len(self.readable)

    def encoded(self, index: int) -> bytes | None:
        """The PNG or JPEG file of one thumbnail, None where the image can't be decoded."""
        start, stop = self._offsets[index], self._offsets[index + 1]
        return bytes(self._blob[start:stop]) if stop > start else None

    def mime(self, index: int) -> str | None:
        """`image/png` or `image/jpeg`, None where the image can't be decoded."""
        encoded = self.encoded(index)
        return None if encoded is None else _mime(encoded)

    def data_uri(self, index: int) -> str | None:
        """The thumbnail as a `data:` address, None where the image can't be decoded."""
        encoded = self.encoded(index)
        if encoded is None:
            return None
        return f"data:{_mime(encoded)};base64,{base64.b64encode(encoded).decode('ascii')}"


def encode_thumbnail(image: Image.Image) -> bytes:
    """One thumbnail of at most `MAX_SIDE` pixels a side and `MAX_BYTES` bytes.

    Small images keep their pixels exactly (PNG). Others become JPEG, first with less quality and
    then smaller until they fit.

    Args:
        image: mode "L" or "RGB", any size.
    """
    if max(image.size) <= _LOSSLESS_SIDE:
        data = _saved(image, "PNG")
        if len(data) <= MAX_BYTES:
            return data
    side = MAX_SIDE
    while True:
        small = _shrunk(image, side)
        for quality in _QUALITIES:
            data = _saved(small, "JPEG", quality=quality)
            if len(data) <= MAX_BYTES:
                return data
        side = side * 3 // 4


def _about(dataset: ImageDataset) -> dict:
    """What thumbnails were made from."""
    found = {"stamp": dataset.images.stamp(), "count": len(dataset), "measures": 1}
    return found | noted(conversion_of(dataset.images))


def content_hash(content: bytes) -> bytes:
    """16 bytes that are the same for the same content."""
    return hashlib.blake2b(content, digest_size=HASH_BYTES).digest()


@dataclass
class _Made:
    """Of some rows: encoded thumbnails and hashes in order, measures, reasons of unreadable ones.

    `others` holds by row what was made beside them.
    """

    rows: range
    encoded: list[bytes]
    hashes: list[bytes]
    measures: np.ndarray
    reasons: dict[str, str]
    others: dict[int, np.ndarray]


def _worker(source: ImageSource, also: Also | None) -> Callable[[range], _Made]:
    smallest = max(SMALLEST, also.smallest if also is not None else 0)

    def work(rows: range) -> _Made:
        made = _Made(rows, [], [], np.zeros(len(rows), MEASURES), {}, {})
        for place, row in enumerate(rows):
            try:
                image = source.image(row, smallest=smallest)
                encoded, hashed = encode_thumbnail(image), content_hash(source.content(row))
            except UnreadableImage as error:
                encoded, hashed = b"", bytes(HASH_BYTES)
                made.reasons[str(row)] = printable(str(error))
            else:
                made.measures[place] = measure(image)
                if also is not None and (other := also.of(row, image)) is not None:
                    made.others[row] = other
            made.encoded.append(encoded)
            made.hashes.append(hashed)
        return made

    return work


def _shrunk(image: Image.Image, side: int) -> Image.Image:
    scale = side / max(image.size)
    if scale >= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _saved(image: Image.Image, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _mime(encoded: bytes) -> str:
    return "image/png" if encoded.startswith(_PNG_START) else "image/jpeg"
