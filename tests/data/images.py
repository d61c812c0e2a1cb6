"""Small images and datasets that several tests of the readers share."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from fvm_core.data.dataset import ImageDataset
from fvm_core.data.sources import EncodedImages, RawImages


def picture(seed: int, width: int = 12, height: int = 10, channels: int = 3) -> Image.Image:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def write(path: Path, seed: int = 0, **size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(picture(seed, **size)))
    return path


def raw_dataset(labels: list[int], classes: tuple[str, ...], seeds: list[int] | None = None) -> ImageDataset:
    """8×8 grey images; equal seeds give equal images."""
    seeds = list(range(len(labels))) if seeds is None else seeds
    pixels = np.stack([np.asarray(picture(seed, 8, 8, 1)) for seed in seeds])
    return ImageDataset(
        name="raw",
        ids=[f"r{i}" for i in range(len(labels))],
        given=np.array(labels, dtype=np.int64),
        classes=classes,
        images=RawImages(pixels),
    )


def encoded_dataset(blobs: list[bytes | None]) -> ImageDataset:
    import pyarrow as pa

    return ImageDataset(
        name="encoded",
        ids=[f"e{i}" for i in range(len(blobs))],
        given=np.arange(len(blobs)) % 2,
        classes=("a", "b"),
        images=EncodedImages(pa.chunked_array([blobs[:1], blobs[1:]], type=pa.binary()), "t.parquet", "s"),
    )
