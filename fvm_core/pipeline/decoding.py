"""What a run's model needs of the images, made while they are decoded for their thumbnails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from fvm_core.config import ModelConfig, RunConfig
from fvm_core.data.dataset import ImageDataset
from fvm_core.data.pixels import PixelWriter
from fvm_core.data.thumbnails import Also, Thumbnails
from fvm_core.features.extract import Embedder
from fvm_core.features.store import FeatureStore
from fvm_core.pipeline.backbone import body_of, pretrained_spec
from fvm_core.pipeline.context import Context
from fvm_core.pipeline.defaults import image_kind
from fvm_core.pipeline.feature_stage import about_features, missing_images, view_of, waiting_features
from fvm_core.pipeline.thumbnail_folders import thumbnail_folder


@contextmanager
def made_beside(
    context: Context, full: RunConfig, where: str, dataset: ImageDataset, tell: Callable[[int, int], None]
) -> Iterator[Also | None]:
    """What to make of one set's images beside thumbnails: features, or pixels in the model's size.

    None where the thumbnails exist, where features are given or in the workspace already, and where pixels
    would fill a third of the memory: those are decoded when they are asked for. Whatever is not made here is
    made later, at the price of a second decoding.

    Args:
        context: the run.
        full: its settings with every open choice made.
        where: `train` or `val`.
        dataset: that set.
        tell: called with rows done and their number; may raise to stop.
    """
    settings = full.model
    there = Thumbnails.built(dataset, thumbnail_folder(context.run.path, where))
    if there is not None or settings.features or context.given_features is not None:
        yield None
    elif settings.on_features and context.given_model is None:
        yield _embedder(context, settings, where, dataset, tell)
    else:
        shape = (pixel_channels(context, settings), settings.size, settings.size)
        if not fits(dataset, shape):
            yield None
        else:
            folder = context.run.path / "work" / f"pixels_{where}"
            with PixelWriter(dataset, shape, folder, settings.fit) as writer:
                yield writer


def pixel_channels(context: Context, settings: ModelConfig) -> int:
    """1 where all images are grey and the model takes that, else 3."""
    grey = settings.name == "small_cnn" or context.given_model is not None
    return image_kind(context.train).channels if grey else 3


def pixel_budget() -> int:
    """Bytes that decoded pixels may take."""
    return psutil.virtual_memory().available // 3


def fits(dataset: ImageDataset, shape: tuple[int, int, int]) -> bool:
    """Whether all pixels of a set are decoded once into an array."""
    channels, height, width = shape
    return len(dataset) * channels * height * width <= pixel_budget()


def _embedder(
    context: Context,
    settings: ModelConfig,
    where: str,
    dataset: ImageDataset,
    tell: Callable[[int, int], None],
) -> Embedder | None:
    backbone = body_of(settings, settings.size)
    view = view_of(settings, pretrained_spec(settings, context.train))
    if missing_images(dataset, settings, backbone.digest, view) < len(dataset):
        return None
    context.progress.log(
        f"{settings.name} embeds {len(dataset):,} {'training' if where == 'train' else 'validation'} images "
        "while they are decoded."
    )
    about = about_features(dataset, settings, backbone.digest, view)
    store = FeatureStore(waiting_features(context.run.path, where), about, len(dataset), backbone.shape)
    return Embedder(backbone.body, view, store, context.device, tell)
