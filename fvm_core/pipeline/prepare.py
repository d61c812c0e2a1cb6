"""Stage: look at every image once; thumbnails, problems, pixels in the model's size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil

from fvm_core.atomic import write_text
from fvm_core.config import RunConfig
from fvm_core.data import open_spec
from fvm_core.data.conversion import PLAIN, conversion_of
from fvm_core.data.conversion_choice import with_conversion
from fvm_core.data.dataset import ImageDataset, Problem
from fvm_core.data.pixels import Pixels
from fvm_core.data.problems import align_classes, find_problems
from fvm_core.data.thumbnails import Thumbnails
from fvm_core.errors import SaltflatError
from fvm_core.pipeline.context import Context
from fvm_core.pipeline.defaults import complete, fit_notice, image_kind
from fvm_core.pipeline.inputs import Inputs, WithPlanted
from fvm_core.pipeline.planted import FILE as PLANTED
from fvm_core.pipeline.planted import holds, plant, planted_rows
from fvm_core.runs.problems_json import save_problems

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def open_data(config: RunConfig) -> tuple[ImageDataset, ImageDataset]:
    """Training and validation set of a run, with one class list."""
    return align_classes(open_spec(config.train_data), open_spec(config.val_data))


def prepare(context: Context) -> dict:
    """Thumbnails, problems, complete settings, input size and normalisation.

    Raises:
        SaltflatError: the data has a problem with which no run makes sense.
    """
    run, total = context.run, len(context.train) + len(context.val)
    # An attempt that was stopped late has planted already; those samples are no others' now.
    (run.path / PLANTED).unlink(missing_ok=True)
    _choose_conversion(context)
    thumbnails = {}
    for where, dataset, before in _sets(context):

        def tell(done: int, _total: int, before: int = before) -> None:
            context.progress.update("prepare", before + done, 2 * total)

        thumbnails[where] = Thumbnails.build(dataset, thumbnail_folder(run.path, where), progress=tell)
    problems = find_problems(
        context.train,
        context.val,
        train_thumbnails=thumbnails["train"],
        val_thumbnails=thumbnails["val"],
    )
    errors = [problem.message for problem in problems if problem.severity == "error"]
    if errors:
        save_problems(run.path, problems)
        raise SaltflatError("\n".join(errors))
    readable = np.where(thumbnails["val"].readable, context.val.given, -1)
    context.config, notices = _complete(context, readable)
    problems += notices
    save_problems(run.path, problems)
    write_text(run.path / "config.toml", context.config.to_toml())
    channels = image_kind(context.train).channels
    if context.config.model.name != "small_cnn" and context.given_model is None:
        channels = 3
    size = context.config.model.size
    pixels = _build_pixels(context, channels, size, total)
    if context.config.model.pretrained:
        mean, std = IMAGENET_MEAN, IMAGENET_STD
    else:
        found = pixels["train"].mean_std()
        mean, std = (tuple(round(float(v), 6) for v in values) for values in found)
        std = tuple(value or 1.0 for value in std)
    run.update(
        samples=len(context.train),
        validation_samples=len(context.val),
        classes=list(context.classes),
        device=context.device,
        input={"channels": channels, "size": size, "mean": list(mean), "std": list(std)},
        problems=[
            {
                "kind": problem.kind,
                "message": problem.message,
                "count": len(problem.rows),
                "where": problem.where,
                "severity": problem.severity,
            }
            for problem in problems
        ],
    )
    open_inputs(context, pixels)
    planted = plant(context)
    if planted:
        run.update(planted=planted)
        hold_back_planted(context)
    return {}


def _choose_conversion(context: Context) -> None:
    """Settle how the values of pictures become 8 bits, once: models are trained on what comes of it."""
    if "input" in context.run.info:
        if context.config.model.fit == "auto":  # of a version that only cropped
            context.config = replace(context.config, model=replace(context.config.model, fit="crop"))
        return
    context.train, context.val = with_conversion(context.train, context.val)
    settled = {}
    for name, dataset in (("train_data", context.train), ("val_data", context.val)):
        found, spec = conversion_of(dataset.images), getattr(context.config, name)
        ground = found.background if found.background != PLAIN.background else spec.background
        settled[name] = replace(spec, window=found.window, background=ground)
    context.config = replace(context.config, **settled)
    for dataset in (context.train, context.val):
        for notice in dataset.problems:
            if notice.severity == "notice":
                context.progress.log(notice.message)


def _complete(context: Context, val_labels: np.ndarray) -> tuple[RunConfig, list[Problem]]:
    """The settings with every open choice made; a default that can't hold is dropped with a notice.

    Only what a person has set may stop a run.
    """
    config = complete(context.config, context.train, context.val, context.device)
    fitted = fit_notice(image_kind(context.train), context.config.model.fit, config.model.fit)
    notices = [] if fitted is None else [fitted]
    for notice in notices:
        context.progress.log(notice.message)
    share = config.compare.planted
    if context.config.compare.planted is not None or not share or holds(share, val_labels):
        return config, notices
    text = (
        "No wrong labels were planted to measure the scores: every class has to keep a validation image to "
        "tune on, and too few would be left. With more validation images of each class they are."
    )
    context.progress.log(text)
    config = replace(config, compare=replace(config.compare, planted=0.0))
    return config, [*notices, Problem("planted_left_out", text, (), "val")]


def open_inputs(context: Context, pixels: dict[str, Pixels] | None = None) -> None:
    """Set the context's inputs, decoding again only what is not there."""
    spec = context.input_spec
    pixels = pixels or _build_pixels(context, spec.channels, spec.size, len(context.train) + len(context.val))
    context.train_inputs = Inputs(pixels["train"], context.train.given, spec, context.device)
    context.val_inputs = Inputs(pixels["val"], context.val.given, spec, context.device)
    hold_back_planted(context)


def hold_back_planted(context: Context) -> None:
    """Move the planted samples from the validation set to the rated ones."""
    rows, labels = planted_rows(context)
    context.rated = context.train_inputs
    if len(rows):
        context.val_inputs.hold_back(rows)
        context.rated = WithPlanted(context.train_inputs, context.val_inputs, rows, labels)


def thumbnail_folder(run: Path, where: str) -> Path:
    """Folder of the thumbnails of the `train` or `val` images of a run."""
    return run / ("thumbnails" if where == "train" else "thumbnails_val")


def _sets(context: Context) -> list[tuple[str, ImageDataset, int]]:
    return [("train", context.train, 0), ("val", context.val, len(context.train))]


def _build_pixels(context: Context, channels: int, size: int, total: int) -> dict[str, Pixels]:
    budget = psutil.virtual_memory().available // 3
    how = context.config.model.fit
    how = "crop" if how == "auto" else how  # of a version that only cropped
    pixels = {}
    for where, dataset, before in _sets(context):

        def tell(done: int, _total: int, before: int = before) -> None:
            context.progress.update("prepare", total + before + done, 2 * total)

        known = Thumbnails(thumbnail_folder(context.run.path, where)).readable
        folder = context.run.path / "work" / f"pixels_{where}"
        pixels[where] = Pixels.build(
            dataset, size, size, channels, folder, budget, tell, readable=known, how=how
        )
    return pixels
