"""What `auto` and None in the settings become, once the data is known. Written back to the run."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from PIL import Image

from fvm_core.config import FITS, ModelConfig, RunConfig
from fvm_core.data.dataset import ImageDataset, ImageSource, Problem
from fvm_core.errors import UnreadableImage
from fvm_core.estimators import registry
from fvm_core.solvers import SOLVER_CLASSES

TINY = 16
SMALL = 64
DEFAULT_BACKBONE = "timm:tf_efficientnet_lite0"
"""Its weights come with the program, so that nobody has to go online."""
HEAD_EPOCHS, HEAD_STEPS = 6, 600
LAST_EPOCHS, LAST_STEPS = 10, 150
"""Of the last blocks of a pretrained backbone: training epochs and tuning steps."""
PLANTED_FROM = 200
"""Validation samples from which some are held back to measure scores by planted wrong labels."""
PLANTED_SHARE = 0.1


MOST_CROPPED = 0.2
"""Share of the median image that cropping may cut off by itself; a classifier bears to lose the edges of a
photograph of 5:4, and of one of 16:9 it would lose 44 %, maybe with what the label means."""


class ImageKind(NamedTuple):
    """What a sample of images is like.

    Attributes:
        side: usual longer side in pixels.
        channels: 1 where all are grey, else 3.
        cropped: share of the median image that is lost if a square is cut out.
    """

    side: int
    channels: int
    cropped: float


_KINDS: WeakKeyDictionary[ImageSource, ImageKind] = WeakKeyDictionary()


def image_kind(dataset: ImageDataset) -> ImageKind:
    """See `ImageKind`; 100 images are looked at, once for each set that is open."""
    try:
        found = _KINDS.get(dataset.images)
    except TypeError:  # a source of somebody's own may have no hash, or no weak references
        return _image_kind(dataset, 100)
    if found is None:
        found = _KINDS[dataset.images] = _image_kind(dataset, 100)
    return found


def _image_kind(dataset: ImageDataset, sample: int) -> ImageKind:
    rows = np.linspace(0, len(dataset) - 1, min(sample, len(dataset))).astype(int)
    sides, lost, grey = [], [], True
    for row in np.unique(rows):
        try:
            image: Image.Image = dataset.images.image(int(row), smallest=1)
        except UnreadableImage:
            continue
        size = image.info.get("size", image.size)
        sides.append(max(size))
        lost.append(1 - min(size) / max(size))
        grey = grey and image.mode == "L"
    if not sides:
        return ImageKind(SMALL, 3, 0.0)
    return ImageKind(int(np.median(sides)), 1 if grey else 3, float(np.median(lost)))


def fit_notice(kind: ImageKind, asked: str, done: str) -> Problem | None:
    """What people should know of how wide and tall images are fitted; None where it makes no difference.

    Args:
        kind: of the training images.
        asked: the setting `fit` as it was given.
        done: what it has become.
    """
    if kind.cropped < 0.01:
        return None
    share = f"{100 * kind.cropped:.0f} % of the median image"
    if done == "crop":
        text = f"Images are cropped to a square, which cuts {share} off."
    elif done == "pad":
        text = f"Images are padded to a square; cropping would cut {share} off."
    else:
        text = f"Images are stretched to a square; cropping would cut {share} off."
    if asked == "auto":
        others = [name for name in FITS if name not in ("auto", done)]
        text += f" Another way: the setting `fit` (--fit {' or '.join(others)})."
    severity = "warning" if done == "crop" and kind.cropped > MOST_CROPPED else "notice"
    return Problem("fit", text, severity=severity)


def complete(config: RunConfig, train: ImageDataset, val: ImageDataset, device: str) -> RunConfig:
    """The same settings with every open choice made.

    Above 16 px `auto` is a pretrained backbone with a linear head, see `DEFAULT_BACKBONE`. A head: at least
    6 epochs and 600 steps at 0.01, and 300 tuning steps. Its last blocks: 10 epochs at 0.01, 150 steps.

    Networks that are trained whole: up to 16 px 60 epochs at learning rate 0.05 and 300 tuning steps, batch
    64, no augmentation. Above: the paper's 100 epochs at 0.1 and 1000 steps, batch 128, with crop and flip;
    without a GPU 30 epochs and 500 steps. The small CNN takes 0.02: on 5,000 CIFAR-10N images its validation
    accuracy after five epochs was 40 % with 0.02, 32 % with 0.05, and about 20 % with 0.1.
    """
    kind = image_kind(train)
    side = kind.side
    model = _with_part(config.model, side, device)
    size, name, stem = model.size, model.name, model.stem
    if not size and model.pretrained:
        size = preferred_size(side)
    if not size:
        size = side if side <= SMALL else min(224, -(-side // 32) * 32)
        if name != "small_cnn" and stem == "imagenet":
            size = 224
    if stem == "auto":
        stem = "cifar" if size <= SMALL and not model.pretrained else "imagenet"
    fit = config.model.fit
    if fit == "auto":
        fit = "crop" if kind.cropped < MOST_CROPPED else "pad"
    tiny, slow, head = size <= TINY, device == "cpu", model.train_part == "head"
    epochs = config.train.epochs
    if epochs is None and head and not model.checkpoint:
        epochs = max(HEAD_EPOCHS, -(-HEAD_STEPS * 128 // max(1, len(train))))
    if epochs is None and model.on_features and not model.checkpoint:
        epochs = LAST_EPOCHS
    if epochs is None:
        epochs = 0 if config.model.checkpoint else 60 if tiny else 30 if slow else 100
    gamma = config.tune.gamma
    if gamma is None:
        gamma = default_gamma(config.tune.solver, len(train.classes))
    compare = config.compare
    planted = compare.planted
    if planted is None:
        truth = train.true is not None and bool((train.true >= 0).any())
        planted = 0.0 if truth or len(val) < PLANTED_FROM else PLANTED_SHARE
    rounds = config.crossfit.rounds
    if rounds is None:
        rounds = 2 if head and epochs else 0
    beside = ("crossfit_wrong", "crossfit_loss", "crossfit_margin") if rounds else ()
    kinds = {name: registry.find(name) for name in dict.fromkeys((*beside, *compare.estimators))}
    kinds = {name: kind for name, kind in kinds.items() if not kind.is_own(config)}
    kept = compare.checkpoints
    if kept is None:
        kept = 5 if compare.figures or any(kind.needs_checkpoints() for kind in kinds.values()) else 0
    declared = [one for kind in kinds.values() for one in kind.settings]
    return replace(
        config,
        budget=None,  # it is for choosing a model, and one is chosen here
        model=replace(model, size=size, stem=stem, fit=fit),
        train=replace(
            config.train,
            epochs=epochs,
            lr=config.train.lr or _learning_rate(model, tiny),
            batch_size=config.train.batch_size or (64 if tiny and not head else 128),
            augment=_augments(model, tiny) if config.train.augment is None else config.train.augment,
        ),
        tune=replace(
            config.tune,
            gamma=gamma,
            steps=_tuning_steps(model, tiny, slow) if config.tune.steps is None else config.tune.steps,
            batch_size=config.tune.batch_size or (64 if tiny and not head else 128),
        ),
        crossfit=replace(config.crossfit, rounds=rounds),
        compare=replace(
            compare,
            planted=planted,
            checkpoints=min(kept, epochs),
            estimators=tuple(kinds),
            settings={**{one.name: one.default for one in declared}, **compare.settings},
        ),
    )


def _with_part(model: ModelConfig, side: int, device: str) -> ModelConfig:
    """The model's name, whether it starts from weights made elsewhere, and what of it is trained."""
    if model.features:
        return replace(model, name="features", pretrained=False, train_part="head")
    name, part, pretrained = model.name, model.train_part, model.pretrained
    if name == "auto":
        size = model.size or side
        whole = "small_cnn" if size <= TINY or (size <= SMALL and device == "cpu") else "resnet18"
        plain = min(size, side) <= TINY or model.checkpoint or pretrained is False or part == "all"
        name = whole if plain and not model.backbone_weights else DEFAULT_BACKBONE
    if pretrained is None:
        elsewhere = name.startswith("timm:") or model.backbone_weights or part not in ("auto", "all")
        pretrained = bool(elsewhere) and not model.checkpoint
    if part == "auto":
        part = "head" if pretrained else "all"
    return replace(model, name=name, pretrained=pretrained, train_part=part)


def preferred_size(side: int) -> int:
    """Input of a pretrained backbone for images of this side: larger ones show more and take longer."""
    return 160 if side <= 96 else 224


def _tuning_steps(model: ModelConfig, tiny: bool, slow: bool) -> int:
    if model.on_features and model.train_part != "head":
        return LAST_STEPS
    return 300 if tiny or model.train_part == "head" else 500 if slow else 1000


def _learning_rate(model: ModelConfig, tiny: bool) -> float:
    if model.on_features or model.pretrained:
        return 0.01
    return 0.05 if tiny else 0.02 if model.name == "small_cnn" else 0.1


def _augments(model: ModelConfig, tiny: bool) -> bool:
    return not tiny and not model.on_features


def default_gamma(solver: str, classes: int) -> float:
    """The paper's radius of the flatness term: SAM 0.05, from 100 classes on 0.1."""
    if solver == "sam" and classes >= 100:
        return 0.1
    return SOLVER_CLASSES[solver].default_gamma
