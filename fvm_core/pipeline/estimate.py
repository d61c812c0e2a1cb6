"""What a run will take, measured on a few batches before it starts."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import psutil
import torch
import torch.nn.functional as F
from torch import nn

from fvm_core.config import RunConfig
from fvm_core.data.dataset import ImageDataset
from fvm_core.data.thumbnails import SMALLEST
from fvm_core.device import resolve, training_autocast
from fvm_core.diagonal.batch_size import BatchSize, bytes_per_sample
from fvm_core.diagonal.influence import DiagonalInfluence
from fvm_core.diagonal.label_search import HELD_BYTES
from fvm_core.errors import UnreadableImage
from fvm_core.estimators.costs import Sizes
from fvm_core.features.extract import BATCH
from fvm_core.features.given import width_of
from fvm_core.models.build import build_model
from fvm_core.models.linear_head import Head
from fvm_core.models.memory_format import channels_last
from fvm_core.pipeline.backbone import body_of, pretrained_spec, tail_of
from fvm_core.pipeline.candidates import BUDGET, affordable, by_stage, candidates, left_out_of, not_tried
from fvm_core.pipeline.crossfit import tunings
from fvm_core.pipeline.data_changes import PYTHON
from fvm_core.pipeline.defaults import fit_notice, image_kind
from fvm_core.pipeline.embed import FIT_ROWS
from fvm_core.pipeline.estimator_costs import comparison_bytes, figure_phases, kept_models, phases
from fvm_core.pipeline.feature_stage import missing_images, view_of

_UMAP_START, _UMAP_PER_ROW = 8.0, 6e-3
"""Seconds that UMAP takes to compile, and per sample: on two cores 12 s for 1,200 and 31 s for 5,000."""
_LIBRARIES, _UMAP_BYTES = 2**30, 150 * 2**20
"""Memory of a worker that has loaded torch and the rest (0.9 GB seen), and what UMAP adds."""


@dataclass(frozen=True)
class Estimate:
    """Seconds by stage, bytes of memory and disk, and what they were computed for.

    `model_summary` is one line: name, parameters, input size. `notices` are sentences on what the run does
    with the images.
    """

    stages: dict[str, float]
    memory_bytes: int
    disk_bytes: int
    model_summary: str
    device: str
    config: RunConfig
    notices: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """All stages together."""
        return sum(self.stages.values())


def estimate(config: RunConfig, train: ImageDataset, val: ImageDataset) -> Estimate:
    """Time a training batch, a scoring batch and the decoding of a few images, and multiply.

    With the model `auto` that of a run which tries the classifiers that the time allows, and keeps the
    dearest of them.

    Raises:
        SaltflatError: as building the model would.
    """
    device = resolve(config.device)
    known = candidates(config, train, val, device)
    budget = BUDGET if config.budget is None else config.budget
    if not budget:
        known = known[:1]
    measured = [_measured(one.config, train, val, device) for one in known]
    seconds = [one.stages for one in measured]
    taken = affordable(known, seconds, 60 * budget)
    places = [place for place, _, _ in taken]
    tried = [measured[place] for place in places]
    fitted = fit_notice(image_kind(train), config.model.fit, known[0].config.model.fit)
    notices = () if fitted is None else (fitted.message,)
    if len(places) > 1:
        others = " and ".join(known[place].title for place in places[1:])
        notices += (
            f"Also tries {others}, and keeps what trusted images favour; the time is that of the dearest.",
        )
    if left_out := not_tried(left_out_of(known, seconds, taken)):
        notices += (left_out,)
    return Estimate(
        by_stage([one for _, _, one in taken]),
        max(one.memory_bytes for one in tried),
        sum(one.disk_bytes for one in tried),
        tried[0].summary,
        device,
        replace(known[0].config, name=config.name),
        notices,
    )


def stage_seconds(full: RunConfig, train: ImageDataset, val: ImageDataset, device: str) -> dict[str, float]:
    """Expected seconds by stage of a run with complete settings."""
    return _measured(full, train, val, device).stages


@dataclass(frozen=True)
class _Measured:
    """What a run with one classifier takes: seconds by stage, bytes, and a line on the model."""

    stages: dict[str, float]
    memory_bytes: int
    disk_bytes: int
    summary: str


def _measured(full: RunConfig, train: ImageDataset, val: ImageDataset, device: str) -> _Measured:
    kind = image_kind(train)
    classes = len({*train.classes, *val.classes})
    embedding = None
    if full.model.on_features:
        embedding = _embedding(full, train, val, device)
        model = Head(embedding.shape[0], max(2, classes)) if len(embedding.shape) == 1 else embedding.tail
        model, shape, pixels = model.to(device), embedding.shape, 0
    else:
        channels = kind.channels if full.model.name == "small_cnn" else 3
        shape = (channels, full.model.size, full.model.size)
        model = build_model(
            full.model.name, max(2, classes), channels=channels, size=full.model.size, stem=full.model.stem
        ).to(device)
        pixels = (len(train) + len(val)) * channels * full.model.size**2
    batch = min(full.train.batch_size, 32 if full.model.size > 64 and embedding is None else 128)
    images = torch.randn(batch, *shape, device=device)
    labels = torch.randint(0, max(2, classes), (batch,), device=device)
    training = _training_seconds(model, images, labels, device, full.precision) / batch
    forward_backward = _training_seconds(model, images, labels, device, "fp32") / batch
    influence = DiagonalInfluence(model.eval(), images[:2], damping=1.0, damping_kind="absolute")
    influence.use_fisher({name: torch.ones_like(p) for name, p in influence.tapped.parameters.items()})
    scored = full.score.batch_size or BatchSize.found(influence.tapped, device).size
    part = images[: min(batch, scored)]
    scoring = _timed(lambda: influence.score(part, labels[: len(part)]), device) / len(part)

    saved = min(full.tune.saved_steps, full.tune.steps + 1)
    passes = 1 if full.tune.solver == "sgd" else 2
    walked = min(classes, 4)  # backward passes per sample on a model that doubts 40 % of the labels
    tuning = passes * full.tune.steps * min(full.tune.batch_size, len(val)) * forward_backward
    fold = full.train.epochs * len(train) * training
    decoding = (len(train) + len(val)) * _decode_seconds(train, full)
    stages = {
        "prepare": decoding + (embedding.seconds if embedding else 0.0),
        "features": 0.0,
        "train": full.train.epochs * (len(train) * training + len(val) * training / 3),
        "tune": tuning + saved * len(val) * 1.7 * forward_backward,
        "curvature": saved * len(val) * scoring,
        "score": (saved * len(train) + 1280) * scoring,
        "relabel": walked * len(train) * scoring,
        "crossfit": _crossfit_seconds(full, fold, tuning),
        "embed": _UMAP_START + _UMAP_PER_ROW * min(len(train), FIT_ROWS) if full.embed else 0.0,
    }
    planted = round(full.compare.planted * len(val))
    sizes = Sizes(len(train) + planted, len(val) - planted, full)
    passes = sum(sum(phases(name, sizes).values()) for name in full.compare.estimators)
    if full.compare.figures:
        passes += sum(figure_phases(sizes).values())
    stages["compare"] = passes * forward_backward / 3
    parameters = sum(p.numel() for p in model.parameters())
    per_image = 4 * influence.tapped.activation_floats
    scoring_memory = scored * bytes_per_sample(influence.tapped)
    held = 0 if device == "cpu" else min(pixels, 4 * 2**30)
    ranking_memory = scoring_memory + HELD_BYTES
    memory = 16 * parameters + max(ranking_memory, 3 * per_image * full.train.batch_size) + held
    memory += comparison_bytes(full, 4 * parameters, per_image, len(train))
    if device == "cpu":
        memory += max(_LIBRARIES, psutil.Process().memory_info().rss) + (_UMAP_BYTES if full.embed else 0)
    kept = full.compare.checkpoints + kept_models(full)
    disk = pixels + 4 * kept * parameters + 12 * len(full.compare.estimators) * len(train)
    disk += 8 * saved * parameters + (len(train) + len(val)) * 1500 + len(train) * (60 + 8 * saved)
    if full.crossfit.rounds:
        disk += 4 * (len(train) + len(val)) * classes
        disk += 4 * full.crossfit.folds * (parameters + len(train) * classes)
    if embedding is not None:
        disk += 2 * (len(train) + len(val)) * math.prod(shape)
        memory += embedding.memory_bytes
    summary = _summary(full, parameters, shape, embedding)
    return _Measured(stages, int(memory), int(disk), summary)


@dataclass(frozen=True)
class _Embedding:
    """What embedding the images takes: the shape of a sample's features, seconds, memory, and in words.

    `tail` is what is trained on features that are no vectors.
    """

    shape: tuple[int, ...]
    seconds: float
    memory_bytes: int
    words: str
    tail: nn.Module


def _embedding(full: RunConfig, train: ImageDataset, val: ImageDataset, device: str) -> _Embedding:
    """Time a batch of the backbone; nothing where the features are given."""
    settings = full.model
    if settings.features:
        width = 512  # of arrays in Python, which are not asked for here
        if settings.features != PYTHON:
            width = width_of(settings.features, settings.val_features, train.ids, val.ids)
        held = 4 * width * (len(train) + len(val))
        return _Embedding((width,), 0.0, held, "features from elsewhere", nn.Identity())
    backbone = body_of(settings, settings.size)
    view = view_of(settings, pretrained_spec(settings, train))
    count = sum(missing_images(one, settings, backbone.digest, view) for one in (train, val))
    body = channels_last(backbone.body.to(device))
    images = torch.randn(BATCH.get(device, 32), 3, view.size, view.size, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        seconds = _timed(lambda: body(images), device) / len(images) if count else 0.0
    activations = sum(p.numel() for p in body.parameters()) * 4 + len(images) * view.size**2 * 400
    tail = nn.Identity()
    if len(backbone.shape) > 1:
        classes = max(2, len({*train.classes, *val.classes}))
        tail = tail_of(settings, classes, view.size)
    there = len(train) + len(val) - count
    words = f"embeds {count:,} images, {there:,} are there already" if there else f"embeds {count:,} images"
    return _Embedding(backbone.shape, (2 if view.mirror else 1) * count * seconds, activations, words, tail)


def _crossfit_seconds(full: RunConfig, fold: float, tuning: float) -> float:
    """Trainings of all folds in every round, and the tunings of their models."""
    settings = full.crossfit
    if not settings.rounds:
        return 0.0
    tried = sum(way.steps for way in tunings(full)) / max(1, full.tune.steps)
    between = settings.folds * (settings.folds - 1) if settings.rounds > 1 else 0
    trainings = settings.rounds * (settings.folds - 1)
    return trainings * fold + (settings.rounds * settings.folds * tried + between) * tuning


def _summary(full: RunConfig, parameters: int, shape: tuple[int, ...], embedding: _Embedding | None) -> str:
    settings = full.model
    if embedding is None:
        return f"{settings.name}, {parameters:,} parameters, {' × '.join(map(str, shape))}"
    part = (
        "a head" if settings.train_part == "head" else f"the last {settings.train_part[5:]} blocks and a head"
    )
    if settings.features:
        return f"{part} with {parameters:,} parameters on {embedding.words}"
    return (
        f"{settings.name} at {settings.size} px {embedding.words}; trained: {part}, {parameters:,} parameters"
    )


def _training_seconds(model, images, labels, device: str, precision: str) -> float:
    model.train()

    def step() -> None:
        with training_autocast(device, precision):
            logits = model(images)
        F.cross_entropy(logits.float(), labels).backward()
        model.zero_grad(set_to_none=True)

    return _timed(step, device)


def _timed(work, device: str) -> float:
    """Seconds of the fastest of a few calls after a first one, within about half a second."""
    work()
    best, begun = float("inf"), time.perf_counter()
    for _ in range(5):
        start = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
        if time.perf_counter() - begun > 0.5:
            break
    return best


def _decode_seconds(dataset: ImageDataset, full: RunConfig) -> float:
    smallest = max(SMALLEST, 2 * full.model.size)
    start = time.perf_counter()
    rows = range(0, len(dataset), max(1, len(dataset) // 8))
    for row in rows:
        try:
            dataset.images.image(row, smallest=smallest)
        except UnreadableImage:
            continue
    return (time.perf_counter() - start) / max(1, len(rows)) / 2
