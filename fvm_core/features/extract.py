"""One forward pass of a backbone an image; decoding goes on in threads meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import nn

from fvm_core.data.dataset import ImageSource
from fvm_core.data.parallel import threads
from fvm_core.data.pixels import fit
from fvm_core.data.thumbnails import SMALLEST
from fvm_core.errors import SaltflatError, UnreadableImage
from fvm_core.features.store import CHUNK, FeatureStore
from fvm_core.models.memory_format import channels_last

BATCH = {"cpu": 32, "cuda": 256, "mps": 64}
"""On two cores EfficientNet-Lite0 took 7.9 ms an image in batches of 16 to 64, 14 ms in ones of 128."""

_RESAMPLINGS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True)
class View:
    """How an image becomes the input of a backbone.

    Attributes:
        size: height and width in pixels.
        crop: share of the side that is kept, the middle, of the image scaled to `size / crop`.
        interpolation: `nearest`, `bilinear`, `bicubic` or `lanczos`.
        fit: what becomes of wide and tall images, one of `FITS`.
        mean, std: of `pixel / 255`, by channel.
        mirror: whether the features are the mean of those of the image and of its mirror image.
    """

    size: int
    crop: float
    interpolation: str
    fit: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mirror: bool = False

    def __post_init__(self) -> None:
        if self.interpolation not in _RESAMPLINGS:
            raise SaltflatError(
                f"Images can't be scaled by {self.interpolation!r}; known are {', '.join(_RESAMPLINGS)}."
            )

    def pixels(self, image: Image.Image) -> np.ndarray:
        """One image, mode "L" or "RGB", as uint8 3×H×W."""
        whole = max(self.size, round(self.size / self.crop))
        scaled = fit(image, whole, whole, 3, self.fit, _RESAMPLINGS[self.interpolation])
        edge = (whole - self.size) // 2
        return scaled[:, edge : edge + self.size, edge : edge + self.size]

    @property
    def decoded(self) -> int:
        """Pixels that the shorter side of a decoded image has to keep: twice the input, to antialias.

        No less than thumbnails need, which are made of the same decoded image.
        """
        return max(2 * max(self.size, round(self.size / self.crop)), SMALLEST)


@torch.inference_mode()
def extract(
    source: ImageSource,
    readable: np.ndarray,
    body: nn.Module,
    view: View,
    store: FeatureStore,
    device: str,
    tell: Callable[[int, int], None],
) -> None:
    """Fill the store with what is not there yet; rows without an image stay NaN.

    Args:
        source: N images.
        readable: (N,) which of them can be decoded.
        body: images (B, 3, H, W) to features (B, …); put in evaluation mode, on the device.
        view: of the images.
        store: where the features go.
        device: `cpu`, `cuda` or `mps`.
        tell: called with rows done and N after every batch; may raise to stop.

    Raises:
        SaltflatError: features that are no numbers, or too large for half precision.
    """
    embed = _Embed(body, view, device)
    for chunk, rows, batches in _decoded(source, readable, view, store, embed.size):
        found = np.full((len(rows), *store.shape), np.nan, dtype=np.float16)
        for places, pixels in batches:
            tell(int(rows[0]) + int(places[0]), store.rows)
            found[places] = embed(pixels, rows[places])
        store.write(chunk, found)
    tell(store.rows, store.rows)


class Embedder:
    """Fills a store from images that are decoded for something else, see `Also`.

    Batches are those of `extract`, so that the features are the same to the last bit.

    Args:
        body, view, store, device, tell: see `extract`.
    """

    def __init__(
        self,
        body: nn.Module,
        view: View,
        store: FeatureStore,
        device: str,
        tell: Callable[[int, int], None],
    ):
        self.smallest = view.decoded
        self._view, self._store, self._tell = view, store, tell
        self._embed = _Embed(body, view, device)
        self._open = {int(rows[0]): (chunk, rows) for chunk, rows in store.pending()}
        self._pending = np.zeros(store.rows, dtype=bool)
        for _chunk, rows in self._open.values():
            self._pending[rows] = True
        self._found = np.empty(0, dtype=np.float16)
        self._waiting: list[tuple[int, np.ndarray]] = []

    def of(self, row: int, image: Image.Image) -> np.ndarray | None:
        """The input of the backbone, uint8 (3, H, W); None where the features are there."""
        return self._view.pixels(image) if self._pending[row] else None

    @torch.inference_mode()
    def take(self, rows: range, found: dict[int, np.ndarray]) -> None:
        """Embed what makes a whole batch, and store what makes a whole chunk."""
        for row in rows:
            if not self._pending[row]:
                continue
            first = row - row % CHUNK
            chunk, all_rows = self._open[first]
            if row == first:
                self._found = np.full((len(all_rows), *self._store.shape), np.nan, dtype=np.float16)
            if row in found:
                self._waiting.append((row, found[row]))
            last = row == all_rows[-1]
            if len(self._waiting) == self._embed.size or (last and self._waiting):
                own = np.array([one for one, _ in self._waiting])
                self._tell(int(own[0]), self._store.rows)
                self._found[own - first] = self._embed(np.stack([one for _, one in self._waiting]), own)
                self._waiting = []
            if last:
                self._store.write(chunk, self._found)


class _Embed:
    """Pixels (B, 3, H, W) as uint8 to features (B, …) in half precision, `size` at a time at most."""

    def __init__(self, body: nn.Module, view: View, device: str):
        # On CPUs these networks are two to three times as fast with the channels last.
        self._body = channels_last(body.to(device)).eval()
        self._mean, self._std = (
            torch.tensor(values, device=device).reshape(1, -1, 1, 1) for values in (view.mean, view.std)
        )
        self._mirror, self._device = view.mirror, device
        self.size = BATCH.get(device, BATCH["cpu"])

    def __call__(self, pixels: np.ndarray, rows: np.ndarray) -> np.ndarray:
        images = torch.from_numpy(pixels).to(self._device).contiguous(memory_format=torch.channels_last)
        images = (images.float().div_(255) - self._mean) / self._std
        values = self._body(images)
        if self._mirror:
            values = (values + self._body(images.flip(3))) / 2
        return _halved(values, rows)


def _halved(values: torch.Tensor, rows: np.ndarray) -> np.ndarray:
    found = values.to(torch.float16)
    good = found.flatten(1).isfinite().all(1).cpu().numpy()
    if not good.all():
        row = int(rows[np.argmin(good)])
        raise SaltflatError(
            f"The backbone gives image {row} features that are no numbers, or above 65,504. Look at that "
            "image, or choose another backbone."
        )
    return found.cpu().numpy()


def _decoded(
    source: ImageSource, readable: np.ndarray, view: View, store: FeatureStore, size: int
) -> Iterator[tuple[int, np.ndarray, Iterator[tuple[np.ndarray, np.ndarray]]]]:
    """Number and rows of every pending chunk, and its batches: places in the chunk and uint8 (B, 3, H, W).

    A few batches are decoded ahead, never more, so that memory does not grow with N.
    """
    ahead: deque = deque()
    with ThreadPoolExecutor(threads(), thread_name_prefix="features") as pool:
        waiting = iter(
            (chunk, rows, places)
            for chunk, rows in store.pending()
            for places in _batches(np.flatnonzero(readable[rows]), size)
        )

        def fill() -> None:
            while len(ahead) < 2 * threads() + 1:
                following = next(waiting, None)
                if following is None:
                    return
                chunk, rows, places = following
                ahead.append((chunk, places, pool.submit(_decode, source, rows[places].tolist(), view)))

        def of_chunk(number: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
            while ahead and ahead[0][0] == number:
                _chunk, places, future = ahead.popleft()
                fill()
                pixels = future.result()
                if not ahead:
                    fill()
                yield places, pixels

        try:
            fill()
            for chunk, rows in list(store.pending()):
                yield chunk, rows, of_chunk(chunk)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _batches(places: np.ndarray, size: int) -> list[np.ndarray]:
    return [places[start : start + size] for start in range(0, len(places), size)]


def _decode(source: ImageSource, rows: Sequence[int], view: View) -> np.ndarray:
    found = np.zeros((len(rows), 3, view.size, view.size), dtype=np.uint8)
    for place, row in enumerate(rows):
        try:
            found[place] = view.pixels(source.image(row, smallest=view.decoded))
        except UnreadableImage as error:
            raise SaltflatError(f"Image {row} could be read before and can't be now: {error}") from None
    return found
