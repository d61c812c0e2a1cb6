"""Stage: look at every image once; thumbnails, problems, pixels in the model's size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

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
from fvm_core.pipeline.backbone import pretrained_spec
from fvm_core.pipeline.candidates import BUDGET, candidates
from fvm_core.pipeline.context import Context
from fvm_core.pipeline.decoding import made_beside, pixel_budget, pixel_channels
from fvm_core.pipeline.defaults import complete, fit_notice, image_kind
from fvm_core.pipeline.inputs import Inputs, InputSpec
from fvm_core.pipeline.planted import hold_back_planted, holds
from fvm_core.pipeline.thumbnail_folders import thumbnail_folder
from fvm_core.runs.problems_json import save_problems


def open_data(config: RunConfig) -> tuple[ImageDataset, ImageDataset]:
    """Training and validation set of a run, with one class list."""
    return align_classes(open_spec(config.train_data), open_spec(config.val_data))


def prepare(context: Context) -> dict:
    """Thumbnails, problems, complete settings, input size and normalisation.

    Raises:
        SaltflatError: the data has a problem with which no run makes sense.
    """
    run, total = context.run, len(context.train) + len(context.val)
    _choose_conversion(context)
    full = complete(context.config, context.train, context.val, context.device)
    thumbnails = {}
    for where, dataset, before in _sets(context):

        def tell(done: int, _total: int, before: int = before) -> None:
            context.progress.update("prepare", before + done, total)

        with made_beside(context, full, where, dataset, tell) as also:
            folder = thumbnail_folder(run.path, where)
            thumbnails[where] = Thumbnails.build(dataset, folder, progress=tell, also=also)
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
    asked = context.config
    context.config, notices = _complete(context, readable)
    problems += notices
    save_problems(run.path, problems)
    write_text(run.path / "config.toml", context.config.to_toml())
    pixels = None if context.config.model.on_features else build_pixels_of(context)
    spec = input_spec_of(context, pixels)
    run.update(
        samples=len(context.train),
        validation_samples=len(context.val),
        classes=list(context.classes),
        device=context.device,
        input=spec.to_dict(),
        candidates=_candidates(context, asked),
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
    if pixels is not None:
        open_inputs(context, pixels)
    return {}


def input_spec_of(context: Context, pixels: dict[str, Pixels] | None) -> InputSpec:
    """Size and normalisation of the input: as pretrained weights want it, else by the training images."""
    settings = context.config.model
    if settings.features or context.given_features is not None:
        return InputSpec(3, max(1, settings.size), (0.0,) * 3, (1.0,) * 3)
    if settings.pretrained and context.given_model is None:
        return pretrained_spec(settings, context.train)
    assert pixels is not None
    mean, std = (tuple(round(float(v), 6) for v in values) for values in pixels["train"].mean_std())
    channels = pixels["train"].shape[0]
    return InputSpec(channels, settings.size, mean, tuple(value or 1.0 for value in std))


def _candidates(context: Context, asked: RunConfig) -> dict | None:
    """What stage `select` may choose among, and the minutes that are granted; None where nothing is."""
    budget = BUDGET if asked.budget is None else asked.budget
    if not budget or context.given_model is not None or context.given_features is not None:
        return None
    asked = replace(asked, compare=replace(asked.compare, planted=context.config.compare.planted))
    found = candidates(asked, context.train, context.val, context.device)
    if len(found) < 2:
        return None
    return {"budget": budget, "all": [one.to_dict() for one in found]}


def build_pixels_of(context: Context) -> dict[str, Pixels]:
    """Pixels of both sets in the model's size, decoding what is not there."""
    settings, total = context.config.model, len(context.train) + len(context.val)
    return _build_pixels(context, pixel_channels(context, settings), settings.size, total)


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


def _sets(context: Context) -> list[tuple[str, ImageDataset, int]]:
    return [("train", context.train, 0), ("val", context.val, len(context.train))]


def _build_pixels(context: Context, channels: int, size: int, total: int) -> dict[str, Pixels]:
    budget = pixel_budget()
    how = context.config.model.fit
    how = "crop" if how == "auto" else how  # of a version that only cropped
    pixels = {}
    for where, dataset, before in _sets(context):

        def tell(done: int, _total: int, before: int = before) -> None:
            context.progress.update("prepare", before + done, total)

        known = Thumbnails(thumbnail_folder(context.run.path, where)).readable
        folder = context.run.path / "work" / f"pixels_{where}"
        pixels[where] = Pixels.build(
            dataset, size, size, channels, folder, budget, tell, readable=known, how=how
        )
    return pixels
