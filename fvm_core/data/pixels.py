"""A dataset as model input: uint8 tensors of one size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fvm_core.atomic import replacing, write_json
from fvm_core.data.built import is_built
from fvm_core.data.conversion import conversion_of, noted
from fvm_core.data.dataset import ImageDataset, ImageSource
from fvm_core.data.parallel import ProgressCallback, in_chunks, threads
from fvm_core.data.thumbnails import SMALLEST
from fvm_core.errors import SaltflatError, UnreadableImage

_MODES = {1: "L", 3: "RGB"}
_FILES = ("pixels.npy", "readable.npy", "pixels.json")


class Pixels:
    """N images as uint8 C×H×W, decoded once into an array, or on demand where that would be too large.

    Both ways give the same values. Images of another size are brought to H×W by `fit`; an image of the right
    size keeps its pixels.

    Attributes:
        shape: (C, H, W).
        how: what becomes of images of another shape, one of `FITS`.
        readable: N booleans; rows that can't be decoded are zeros in every batch.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        readable: np.ndarray,
        *,
        array: np.ndarray | None = None,
        source: ImageSource | None = None,
        how: str = "crop",
    ) -> None:
        self.how = how
        self.shape = shape
        self.readable = readable
        self._tensor = None if array is None else torch.from_numpy(array)
        self._source = source
        self._pool: ThreadPoolExecutor | None = None

    @classmethod
    def build(
        cls,
        dataset: ImageDataset,
        height: int,
        width: int,
        channels: int,
        folder: Path | None,
        budget_bytes: int,
        progress: ProgressCallback | None = None,
        cancelled: Callable[[], bool] | None = None,
        readable: np.ndarray | None = None,
        how: str = "crop",
    ) -> Pixels:
        """Decode `dataset`, or prepare to decode it on demand.

        Args:
            dataset: N images.
            height: H in pixels.
            width: W in pixels.
            channels: 1 (grey) or 3 (RGB).
            folder: where the array is written and memory-mapped from, and found again by a later
                call for the same images and shape; None keeps it in memory.
            budget_bytes: decode once if N·C·H·W is at most this, else on demand.
            progress: called with rows done and N while decoding.
            cancelled: asked now and then; True ends the decoding.
            readable: N booleans where they are known already, such as `Thumbnails.readable`. Without
                them decoding on demand has to try every image once.
            how: what becomes of images of another shape, see `fit`.

        Raises:
            SaltflatError: an unknown `how`, channels other than 1 and 3, or a size below 1 pixel.
            Cancelled: `cancelled` said so; nothing is left in `folder`.
        """
        if channels not in _MODES or height < 1 or width < 1:
            raise SaltflatError(
                f"Images of {channels} channels, {height} × {width} pixels can't be made; "
                "channels must be 1 (grey) or 3 (RGB), height and width at least 1."
            )
        if how not in FITS:
            raise SaltflatError(f"Images can't be fitted by {how!r}; choose one of: {', '.join(FITS)}.")
        shape = (channels, height, width)
        if len(dataset) * channels * height * width > budget_bytes:
            if readable is None:
                readable = _decode_into(None, dataset.images, shape, progress, cancelled, how)
            return cls(shape, np.asarray(readable, dtype=bool), source=dataset.images, how=how)
        if folder is None:
            array = np.zeros((len(dataset), *shape), dtype=np.uint8)
            readable = _decode_into(array, dataset.images, shape, progress, cancelled, how)
            return cls(shape, readable, array=array, how=how)
        return cls._on_disk(dataset, shape, Path(folder), progress, cancelled, how)

    @classmethod
    def _on_disk(
        cls,
        dataset: ImageDataset,
        shape: tuple[int, int, int],
        folder: Path,
        progress: ProgressCallback | None,
        cancelled: Callable[[], bool] | None,
        how: str,
    ) -> Pixels:
        pixels_file, readable_file, about_file = (folder / name for name in _FILES)
        about = _about(dataset, shape, how)
        if not is_built(about_file, about):
            about_file.unlink(missing_ok=True)
            with replacing(pixels_file) as part, replacing(readable_file) as readable_part:
                size = (len(dataset), *shape)
                array = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=size)
                readable = _decode_into(array, dataset.images, shape, progress, cancelled, how)
                array.flush()
                del array
                np.save(readable_part, readable, allow_pickle=False)
            write_json(about_file, about)
        # Copy-on-write, because torch warns about memory that it can't write to.
        array = np.load(pixels_file, mmap_mode="c", allow_pickle=False)
        return cls(shape, np.load(readable_file, allow_pickle=False), array=array, how=how)

    @classmethod
    def from_array(cls, array: np.ndarray, readable: np.ndarray | None = None) -> Pixels:
        """Pixels that exist already.

        Args:
            array: N×C×H×W uint8.
            readable: N booleans, all True by default.
        """
        if readable is None:
            readable = np.ones(len(array), dtype=bool)
        return cls(tuple(array.shape[1:]), readable, array=np.ascontiguousarray(array, dtype=np.uint8))

    def __len__(self) -> int:
        return len(self.readable)

    @property
    def cached(self) -> bool:
        """Whether all pixels are there, in memory or memory-mapped."""
        return self._tensor is not None

    def tensor(self) -> torch.Tensor:
        """All pixels, uint8 N×C×H×W, memory-mapped where they are in a file.

        Raises:
            SaltflatError: the images are decoded on demand.
        """
        if self._tensor is None:
            raise SaltflatError("The images are too large to hold at once; ask for batches instead.")
        return self._tensor

    def batch(self, indices: Sequence[int] | np.ndarray | torch.Tensor) -> torch.Tensor:
        """The rows at `indices`, uint8 B×C×H×W, in that order; unreadable rows are zeros."""
        if self._tensor is not None:
            return self._tensor[torch.as_tensor(indices, dtype=torch.int64)]
        rows = np.asarray(indices, dtype=np.int64)
        array = np.zeros((len(rows), *self.shape), dtype=np.uint8)

        def fill(places: range) -> None:
            for place in places:
                if self.readable[rows[place]]:
                    _decode_row(array, place, self._source, int(rows[place]), self.shape, self.how)

        if self._pool is None:
            self._pool = ThreadPoolExecutor(threads(), thread_name_prefix="pixels")
        step = max(1, -(-len(rows) // (4 * threads())))
        parts = [range(start, min(start + step, len(rows))) for start in range(0, len(rows), step)]
        list(self._pool.map(fill, parts))
        return torch.from_numpy(array)

    def mean_std(
        self, indices: Sequence[int] | np.ndarray | None = None, sample: int = 10_000
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each channel, of pixels / 255.

        Args:
            indices: the rows to look at, None for all; unreadable ones are left out.
            sample: at most this many rows, evenly spaced over `indices`.

        Returns:
            Two arrays of C floats (float64).

        Raises:
            SaltflatError: no row is readable.
        """
        rows = np.arange(len(self)) if indices is None else np.asarray(indices, dtype=np.int64)
        rows = rows[self.readable[rows]]
        if not len(rows):
            raise SaltflatError("None of the images can be read, so there is nothing to learn from.")
        if len(rows) > sample:
            rows = rows[np.linspace(0, len(rows) - 1, sample).round().astype(np.int64)]
        counts = np.zeros((self.shape[0], 256), dtype=np.int64)
        for start in range(0, len(rows), 512):
            pixels = self.batch(rows[start : start + 512]).numpy()
            for channel in range(self.shape[0]):
                counts[channel] += np.bincount(pixels[:, channel].ravel(), minlength=256)
        share = counts / counts.sum(axis=1, keepdims=True)
        levels = np.arange(256) / 255
        mean = share @ levels
        return mean, np.sqrt((share * (levels - mean[:, None]) ** 2).sum(axis=1))


def fit(
    image: Image.Image,
    height: int,
    width: int,
    channels: int,
    how: str = "crop",
    resample: Image.Resampling = Image.Resampling.BILINEAR,
) -> np.ndarray:
    """One image as uint8 C×H×W, scaled to it with antialiasing.

    Args:
        image: mode "L" or "RGB".
        height: H in pixels.
        width: W in pixels.
        channels: 1 (grey) or 3 (RGB).
        how: `crop` takes the middle part of the target's shape; `pad` the whole image, and beside it the
            median colour of its border, which is what most pictures would go on with; `stretch` the whole
            image in another shape.
        resample: how values between pixels are found.
    """
    image = image.convert(_MODES[channels])
    if image.size != (width, height):
        image = _WAYS[how](image, width, height, resample)
    pixels = np.asarray(image)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def _cropped(image: Image.Image, width: int, height: int, resample: Image.Resampling) -> Image.Image:
    scale = max(width / image.width, height / image.height)
    across, down = width / scale, height / scale
    left, top = (image.width - across) / 2, (image.height - down) / 2
    box = (max(left, 0.0), max(top, 0.0), min(left + across, image.width), min(top + down, image.height))
    return image.resize((width, height), resample, box=box)


def _padded(image: Image.Image, width: int, height: int, resample: Image.Resampling) -> Image.Image:
    scale = min(width / image.width, height / image.height)
    inside = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    whole = image.resize(inside, resample)
    values = np.asarray(whole)
    border = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    colour = np.rint(np.median(border, axis=0)).astype(np.uint8)
    ground = Image.new(image.mode, (width, height), tuple(np.atleast_1d(colour).tolist()))
    ground.paste(whole, ((width - inside[0]) // 2, (height - inside[1]) // 2))
    return ground


def _stretched(image: Image.Image, width: int, height: int, resample: Image.Resampling) -> Image.Image:
    return image.resize((width, height), resample)


_WAYS = {"crop": _cropped, "pad": _padded, "stretch": _stretched}
FITS = tuple(_WAYS)
"""How an image of another shape comes into the model's, see `fit`."""


def smallest_of(shape: tuple[int, int, int]) -> int:
    """Pixels that the shorter side of a decoded image has to keep for pixels of a shape (C, H, W).

    Twice the size leaves the antialiasing enough to work with, and what thumbnails need is no less: both are
    made of the same decoded image, however it is asked for.
    """
    return max(2 * max(shape[1:]), SMALLEST)


class PixelWriter:
    """Writes the array that `Pixels.build` would make, from images that are decoded for something else.

    A context manager; where it ends without an error the array is there for `Pixels.build`.

    Args:
        dataset: N images; shape: (C, H, W); folder, how: see `Pixels.build`.
    """

    def __init__(self, dataset: ImageDataset, shape: tuple[int, int, int], folder: Path, how: str):
        self.shape, self.how = shape, how
        self.smallest = smallest_of(shape)
        self._about, self._folder, self._stack = _about(dataset, shape, how), folder, ExitStack()
        self._readable = np.zeros(len(dataset), dtype=bool)
        self._array = np.zeros(0, dtype=np.uint8)

    def __enter__(self) -> PixelWriter:
        (self._folder / _FILES[2]).unlink(missing_ok=True)
        part = self._stack.enter_context(replacing(self._folder / _FILES[0]))
        size = (len(self._readable), *self.shape)
        self._array = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=size)
        return self

    def of(self, row: int, image: Image.Image) -> None:
        """Write the pixels of one image."""
        channels, height, width = self.shape
        self._array[row] = fit(image, height, width, channels, self.how)
        self._readable[row] = True

    def take(self, rows: range, found: dict[int, np.ndarray]) -> None:
        """Nothing is left to do."""

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is not None:
            self._stack.__exit__(kind, error, trace)  # type: ignore[arg-type]
            return
        self._array.flush()
        self._array = np.zeros(0, dtype=np.uint8)
        self._stack.close()
        with replacing(self._folder / _FILES[1]) as part:
            np.save(part, self._readable, allow_pickle=False)
        write_json(self._folder / _FILES[2], self._about)


def _about(dataset: ImageDataset, shape: tuple[int, int, int], how: str) -> dict:
    """What an array of pixels was made from."""
    found = {"stamp": dataset.images.stamp(), "shape": [len(dataset), *shape], "smallest": smallest_of(shape)}
    return found | noted(conversion_of(dataset.images)) | ({} if how == "crop" else {"fit": how})


def _decode_into(
    array: np.ndarray | None,
    source: ImageSource,
    shape: tuple[int, int, int],
    progress: ProgressCallback | None,
    cancelled: Callable[[], bool] | None,
    how: str,
) -> np.ndarray:
    def work(rows: range) -> list[bool]:
        scratch = np.zeros((1, *shape), dtype=np.uint8) if array is None else array
        return [_decode_row(scratch, 0 if array is None else row, source, row, shape, how) for row in rows]

    parts = in_chunks(work, len(source), progress=progress, cancelled=cancelled)
    return np.array([ok for part in parts for ok in part], dtype=bool)


def _decode_row(
    array: np.ndarray, place: int, source: ImageSource, row: int, shape: tuple[int, int, int], how: str
) -> bool:
    channels, height, width = shape
    try:
        image = source.image(row, smallest=smallest_of(shape))
    except UnreadableImage:
        return False
    array[place] = fit(image, height, width, channels, how)
    return True
