"""Stage: every image embedded once; what follows works on the features (see `fvm_core.features`)."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np

from fvm_core.config import ModelConfig
from fvm_core.data.conversion import conversion_of, noted
from fvm_core.data.dataset import ImageDataset
from fvm_core.errors import SaltflatError
from fvm_core.features.cache import kept, note_stamps, rows_of_stamps, stamps_of
from fvm_core.features.extract import View, extract
from fvm_core.features.given import check_widths, checked, read_features
from fvm_core.features.store import FeatureStore, finished_rows
from fvm_core.pipeline.backbone import body_of, part_blocks
from fvm_core.pipeline.context import Context
from fvm_core.pipeline.inputs import Features, InputSpec
from fvm_core.pipeline.planted import hold_back_planted, plant
from fvm_core.pipeline.thumbnail_folders import content_of, readable_images
from fvm_core.workspace import Workspace

_SETS = ("train", "val")


def features(context: Context) -> dict:
    """Embed the images of both sets, or take the features that are there; then plant wrong labels.

    Features are kept in the workspace by images, backbone, weights and preprocessing, so that the next run
    on the same images has them at once, whatever their labels.

    Returns:
        See `open_features`; `state` and `reason` where the model is trained on images.
    """
    found: dict = {"state": "skipped", "reason": "The model is trained on the images themselves."}
    if context.config.model.on_features:
        found = open_features(context)
    planted = plant(context)
    if planted:
        context.run.update(planted=planted)
        hold_back_planted(context)
    return found


def open_features(context: Context) -> dict:
    """Set the context's inputs to features, computing those that are not there.

    Returns:
        `computed`: images that were embedded now; `width`: values of a sample's features.
    """
    given = bool(context.config.model.features) or context.given_features is not None
    computed = _take_given(context) if given else _embed(context)
    hold_back_planted(context)
    return {"computed": computed, "width": int(np.prod(context.train_inputs.shape))}


def _embed(context: Context) -> int:
    settings, spec = context.config.model, context.input_spec
    backbone = body_of(settings, spec.size)
    view = view_of(settings, spec)
    counts = [len(context.train), len(context.val)]
    total, computed = sum(counts), 0
    for number, (where, dataset) in enumerate(zip(_SETS, (context.train, context.val), strict=True)):
        before = sum(counts[:number])
        readable = readable_images(context.run.path, where)

        def tell(done: int, _total: int, before: int = before) -> None:
            context.progress.update("features", before + done, total)

        def waiting(before: int = before) -> None:
            context.progress.update("features", before, total)

        content = content_of(context.run.path, where)
        about = {"content": content, **about_features(dataset, settings, backbone.digest, view)}
        with kept(_cache(context.run.path), about, waiting) as folder:
            before_that = finished_rows(folder, len(dataset))
            _take_waiting(context.run.path, where, folder, about, len(dataset), backbone.shape)
            store = FeatureStore(folder, about, len(dataset), backbone.shape)
            computed += store.finished_rows - before_that
            note_stamps(folder, stamps_of(dataset.images, len(dataset)))
            missing = len(dataset) - store.finished_rows
            if missing:
                context.progress.log(
                    f"{settings.name} embeds {missing:,} {'training' if where == 'train' else 'validation'} "
                    f"images, {len(dataset) - missing:,} are there from before."
                )
                extract(dataset.images, readable, backbone.body, view, store, context.device, tell)
            values = np.load(folder / "features.npy", mmap_mode="r")
        computed += missing
        _place(context, where, values, readable)
    context.progress.update("features", total, total)
    return computed


def _take_given(context: Context) -> int:
    settings, digest = context.config.model, hashlib.blake2b(digest_size=16)
    for number, (where, dataset) in enumerate(zip(_SETS, (context.train, context.val), strict=True)):
        if context.given_features is not None:
            values = checked(
                np.asarray(context.given_features[number]), dataset.ids, None, f"features[{number}]"
            )
        else:
            path = (settings.val_features if where == "val" else "") or settings.features
            values = read_features(path, dataset.ids, where)
        digest.update(np.ascontiguousarray(values))
        readable = readable_images(context.run.path, where) & np.isfinite(values).all(1)
        _place(context, where, values, readable)
    check_widths(context.train_inputs.shape[0], context.val_inputs.shape[0])
    before, now = context.run.info.get("features"), digest.hexdigest()
    if before is None:
        context.run.update(features=now)
    elif before != now:
        raise SaltflatError(
            f"The features of {context.run.name} have changed since the run began. Put them back, or start a "
            "new run."
        )
    return 0


def _place(context: Context, where: str, values: np.ndarray, readable: np.ndarray) -> None:
    dataset = context.train if where == "train" else context.val
    inputs = Features(values, dataset.given, readable, context.device)
    if where == "train":
        context.train_inputs = inputs
    else:
        context.val_inputs = inputs


def view_of(settings: ModelConfig, spec: InputSpec) -> View:
    """How images become the backbone's input."""
    how = "crop" if settings.fit == "auto" else settings.fit  # of a version that only cropped
    return View(spec.size, spec.crop, spec.interpolation, how, spec.mean, spec.std, settings.mirror)


def missing_images(dataset: ImageDataset, settings: ModelConfig, digest: str, view: View) -> int:
    """How many images of a set have no features in the workspace yet, as far as can be told without looking.

    Args:
        dataset: the images.
        settings: complete.
        digest: of the backbone's weights.
        view: of the images.
    """
    try:
        cache = Workspace.default().cache
    except SaltflatError:
        return len(dataset)
    about, stamps = about_features(dataset, settings, digest, view), stamps_of(dataset.images, len(dataset))
    return len(dataset) - rows_of_stamps(cache, about, stamps, len(dataset))


def waiting_features(run: Path, where: str) -> Path:
    """Where features wait that are made while the images are decoded, until their content is known."""
    return run / "work" / f"features_{where}"


def _take_waiting(
    run: Path, where: str, folder: Path, about: dict, rows: int, shape: tuple[int, ...]
) -> None:
    """Move features that stage `prepare` has made into the workspace, unless they are there."""
    waiting = waiting_features(run, where)
    if finished_rows(waiting, rows) == rows and finished_rows(folder, rows) < rows:
        FeatureStore.move(waiting, folder, about, rows, shape)
    shutil.rmtree(waiting, ignore_errors=True)


def about_features(dataset: ImageDataset, settings: ModelConfig, weights: str, view: View) -> dict:
    """What the features of a set depend on, beside the content of the images; labels do not belong to it."""
    return {
        "count": len(dataset),
        **noted(conversion_of(dataset.images)),
        "backbone": settings.name,
        "weights": weights,
        "below": part_blocks(settings.train_part),
        "size": view.size,
        "crop": view.crop,
        "interpolation": view.interpolation,
        "fit": view.fit,
        "mean": list(view.mean),
        "std": list(view.std),
        "mirror": view.mirror,
    }


def _cache(run: Path) -> Path:
    """The workspace's cache, else a place in the run: a machine without one is no reason to do nothing."""
    try:
        return Workspace.default().cache
    except SaltflatError:
        return run / "work"
