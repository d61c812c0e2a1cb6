"""What decoding every image once saves: thumbnails with pixels or features, in one pass and in two.

The photographs are made here, as JPEG files of 12 megapixels. Both ways are timed in turn in one process.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table

DISTINCT = 16
"""Photographs that are made; the others are copies, which take as long to decode."""

console = Console()


def main(
    images: Annotated[
        int, typer.Option(min=2, help="Photographs; some hundred, so that all threads have work.")
    ] = 512,
    rounds: Annotated[int, typer.Option(min=1, help="Times that each way is timed; the median counts.")] = 3,
) -> None:
    """Print seconds of both ways and their ratio."""
    import fvm_core as fvm

    shown = Table("made of each image", "in two passes, s", "in one, s", "ratio")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["SALTFLAT_HOME"] = str(folder / "home")
        photographs(folder / "photographs", images)
        dataset = fvm.load_dataset(folder / "photographs")
        for words, way in (("thumbnail, pixels of 64 px", pixels), ("thumbnail, features", features)):
            two, one = [], []
            for number in range(rounds):
                for seconds, once in ((two, False), (one, True)):
                    begun = time.perf_counter()
                    way(dataset, folder / f"{words}-{number}-{once}", once)
                    seconds.append(time.perf_counter() - begun)
            medians = [float(np.median(seconds)) for seconds in (two, one)]
            shown.add_row(words, *(f"{value:.1f}" for value in medians), f"{medians[0] / medians[1]:.2f}")
    console.print(shown)


def photographs(folder: Path, count: int) -> None:
    """Gradients with grain, 4032 × 3024, in two class folders."""
    for number in range(count):
        path = folder / "ab"[number % 2] / f"{number:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number >= DISTINCT:
            shutil.copyfile(folder / "ab"[number % 2] / f"{number % DISTINCT:04d}.jpg", path)
            continue
        draw = np.random.default_rng(number)
        coarse = draw.integers(0, 230, (12, 16, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((4032, 3024), Image.Resampling.BICUBIC)
        grain = np.kron(draw.integers(0, 24, (1512, 2016, 1), dtype=np.uint8), np.ones((2, 2, 1), np.uint8))
        Image.fromarray(np.asarray(image) // 8 * 7 + grain).save(path, quality=90)


def pixels(dataset, folder: Path, once: bool) -> None:
    """Thumbnails, and pixels of a small network."""
    from fvm_core.data.pixels import Pixels, PixelWriter
    from fvm_core.data.thumbnails import Thumbnails

    if once:
        with PixelWriter(dataset, (3, 64, 64), folder / "pixels", "crop") as writer:
            Thumbnails.build(dataset, folder / "thumbnails", also=writer)
    else:
        Thumbnails.build(dataset, folder / "thumbnails")
    Pixels.build(dataset, 64, 64, 3, folder / "pixels", 2**34)


def features(dataset, folder: Path, once: bool) -> None:
    """Thumbnails, and features of the default backbone at 224 px."""
    from fvm_core.config import ModelConfig
    from fvm_core.data.thumbnails import Thumbnails
    from fvm_core.features.extract import Embedder, View, extract
    from fvm_core.features.store import FeatureStore
    from fvm_core.pipeline.backbone import body_of
    from fvm_core.pipeline.defaults import DEFAULT_BACKBONE

    backbone = body_of(ModelConfig(name=DEFAULT_BACKBONE, pretrained=True, train_part="head"), 224)
    view = View(224, 0.875, "bicubic", "crop", (0.5,) * 3, (0.5,) * 3)
    store = FeatureStore(folder / "features", {}, len(dataset), backbone.shape)
    if once:
        embedder = Embedder(backbone.body, view, store, "cpu", lambda done, total: None)
        Thumbnails.build(dataset, folder / "thumbnails", also=embedder)
    else:
        found = Thumbnails.build(dataset, folder / "thumbnails")
        extract(dataset.images, found.readable, backbone.body, view, store, "cpu", lambda done, total: None)
    assert store.complete


if __name__ == "__main__":
    typer.run(main)
