"""What is checked before a run gets a folder: a wrong path or setting must leave nothing behind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fvm_core.config import MODEL_FILES, ModelConfig, RunConfig
from fvm_core.data.dataset import DatasetSpec, ImageDataset
from fvm_core.data.problems import align_classes, find_problems, reasons
from fvm_core.device import resolve
from fvm_core.errors import SaltflatError, UnreadableImage
from fvm_core.estimators import Estimator, registry
from fvm_core.estimators.costs import Sizes
from fvm_core.features.given import width_of
from fvm_core.models.build import build_model
from fvm_core.models.checkpoint import load_weights
from fvm_core.pipeline.backbone import body_of
from fvm_core.pipeline.candidates import names_one
from fvm_core.pipeline.data_changes import PYTHON
from fvm_core.pipeline.defaults import complete, image_kind
from fvm_core.pipeline.planted import check_share
from fvm_core.start_folder import absolute

_TRIED = 20


def checked(
    config: RunConfig, train: ImageDataset, val: ImageDataset, *, own_model: bool = False
) -> RunConfig:
    """The settings with whole paths, once nothing is known that would stop the run.

    Args:
        config: the settings.
        train: the training set.
        val: the validation set.
        own_model: the model is a module from Python, not one by name.

    Raises:
        SaltflatError: data or a setting with which no run makes sense; the text says which.
    """
    train, val = align_classes(train, val)
    config = replace(
        config.check(),
        train_data=_whole(config.train_data, train),
        val_data=_whole(config.val_data, val),
        model=replace(config.model, **_whole_paths(config.model)),
        compare=replace(
            config.compare, estimators=tuple(registry.plain(name) for name in config.compare.estimators)
        ),
    )
    errors = [one.message for one in find_problems(train, val, deep=False) if one.severity == "error"]
    if errors:
        raise SaltflatError("\n".join(errors))
    for words, dataset in (("training", train), ("validation", val)):
        _try_images(words, dataset)
    full = complete(config, train, val, resolve(config.device))
    check_share(config.compare.planted or 0.0, val.given)
    _check_estimators(full)
    _check_budget(config, own_model)
    if not own_model:
        _check_model(full, train, val)
    return config


def _whole_paths(model: ModelConfig) -> dict[str, str]:
    """The files that the model's settings name, each with its whole path: workers start in other folders."""
    given = {name: getattr(model, name) for name in MODEL_FILES}
    return {name: str(absolute(path)) for name, path in given.items() if path and path != PYTHON}


def _whole(spec: DatasetSpec, dataset: ImageDataset) -> DatasetSpec:
    return dataset.spec or spec


def _try_images(words: str, dataset: ImageDataset) -> None:
    """Some of the images have to be readable; the others are looked at in the stage `prepare`."""
    tried = np.unique(np.linspace(0, len(dataset) - 1, min(_TRIED, len(dataset))).astype(int)).tolist()
    for row in tried:
        try:
            dataset.images.image(row, smallest=1)
            return
        except UnreadableImage:
            continue
    raise SaltflatError(
        f"None of {len(tried)} {words} images that were tried can be read. The first are "
        f"{reasons(dataset, tried)}"
    )


def _check_budget(config: RunConfig, own_model: bool) -> None:
    """Minutes for choosing a model make no sense where there is no choice."""
    if config.budget and (own_model or names_one(config)):
        raise SaltflatError(
            "Setting `budget` is the time for choosing a model by cross-fitting, and other settings leave no "
            "choice: leave out --budget, or what names a model, a part of it, weights or features, and "
            "--crossfit-rounds 0."
        )


def _check_estimators(full: RunConfig) -> None:
    """Each can be loaded, has what it needs, and its settings are among those that the run has."""
    kinds = [registry.find(name) for name in full.compare.estimators]
    for kind in kinds:
        if reason := kind.why_not(full, checkpoints=bool(full.train.epochs)):
            raise SaltflatError(reason)
    names = [kind.name for kind in kinds]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise SaltflatError(
            f"Two of the estimators are called {', '.join(sorted(twice))}: rename one of them."
        )
    known = registry.settings() | {one.name: one for kind in kinds for one in kind.settings}
    for name, value in full.compare.settings.items():
        if name not in known:
            raise SaltflatError(f"Unknown setting `compare.{name}`; known here: {', '.join(sorted(known))}.")
        known[name].checked(value)
    for kind in kinds:
        _try_declarations(kind, full)


def _try_declarations(kind: type[Estimator], full: RunConfig) -> None:
    """What an estimator computes of its settings and costs can be computed, whoever wrote it."""
    try:
        passes = kind.phases(Sizes(100, 100, full))
        numbers = [*passes.values(), kind.vectors(full), kind.models(full)]
        sound = all(isinstance(one, int | float) and one >= 0 for one in numbers)
        kind.options(full)
    except SaltflatError:
        raise
    except Exception as error:
        raise SaltflatError(
            f"{kind.title} can't say what it takes: {type(error).__name__}: {error}. Mend its phases, "
            "vectors, models or options."
        ) from error
    if not sound:
        raise SaltflatError(f"{kind.title} declares costs that are no numbers from 0 on: {numbers}.")


def _check_model(full: RunConfig, train: ImageDataset, val: ImageDataset) -> None:
    """What is to be trained can be built, with the weights or features that are named."""
    settings = full.model
    if settings.features:
        if settings.features != PYTHON:
            width_of(settings.features, settings.val_features, train.ids, val.ids)
        return
    if settings.on_features:
        body_of(settings, settings.size)
        return
    channels = image_kind(train)[1] if full.model.name == "small_cnn" else 3
    model = build_model(
        full.model.name,
        len(train.classes),
        channels=channels,
        size=full.model.size,
        stem=full.model.stem,
        pretrained=bool(full.model.pretrained),
        backbone_weights=full.model.backbone_weights,
    )
    if full.model.checkpoint:
        load_weights(model, full.model.checkpoint)
