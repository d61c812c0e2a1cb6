"""What a run will take, measured on a few batches before it starts."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import psutil
import torch
import torch.nn.functional as F

from fvm_core.config import RunConfig
from fvm_core.data.dataset import ImageDataset
from fvm_core.device import resolve, training_autocast
from fvm_core.diagonal.batch_size import BatchSize, bytes_per_sample
from fvm_core.diagonal.influence import DiagonalInfluence
from fvm_core.diagonal.label_search import HELD_BYTES
from fvm_core.errors import UnreadableImage
from fvm_core.estimators.costs import Sizes
from fvm_core.models.build import build_model
from fvm_core.pipeline.defaults import complete, fit_notice, image_kind
from fvm_core.pipeline.embed import FIT_ROWS
from fvm_core.pipeline.estimator_costs import comparison_bytes, figure_phases, kept_models, phases

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

    Raises:
        SaltflatError: as building the model would.
    """
    device = resolve(config.device)
    full = complete(config, train, val, device)
    kind = image_kind(train)
    channels = kind.channels if full.model.name == "small_cnn" else 3
    classes = len({*train.classes, *val.classes})
    model = build_model(
        full.model.name, max(2, classes), channels=channels, size=full.model.size, stem=full.model.stem
    ).to(device)
    batch = min(full.train.batch_size, 32 if full.model.size > 64 else 128)
    images = torch.randn(batch, channels, full.model.size, full.model.size, device=device)
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
    stages = {
        "prepare": (len(train) + len(val)) * 2 * _decode_seconds(train),
        "train": full.train.epochs * (len(train) * training + len(val) * training / 3),
        "tune": tuning + saved * len(val) * 1.7 * forward_backward,
        "curvature": saved * len(val) * scoring,
        "score": (saved * len(train) + 1280) * scoring,
        "relabel": walked * len(train) * scoring,
        "embed": _UMAP_START + _UMAP_PER_ROW * min(len(train), FIT_ROWS) if full.embed else 0.0,
    }
    planted = round(full.compare.planted * len(val))
    sizes = Sizes(len(train) + planted, len(val) - planted, full)
    passes = sum(sum(phases(name, sizes).values()) for name in full.compare.estimators)
    if full.compare.figures:
        passes += sum(figure_phases(sizes).values())
    stages["compare"] = passes * forward_backward / 3
    parameters = sum(p.numel() for p in model.parameters())
    pixels = (len(train) + len(val)) * channels * full.model.size**2
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
    summary = (
        f"{full.model.name}, {parameters:,} parameters, {channels} × {full.model.size} × {full.model.size}"
    )
    fitted = fit_notice(kind, config.model.fit, full.model.fit)
    notices = () if fitted is None else (fitted.message,)
    full = replace(full, name=config.name)
    return Estimate(stages, int(memory), int(disk), summary, device, full, notices)


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


def _decode_seconds(dataset: ImageDataset) -> float:
    start = time.perf_counter()
    rows = range(0, len(dataset), max(1, len(dataset) // 8))
    for row in rows:
        try:
            dataset.images.image(row)
        except UnreadableImage:
            continue
    return (time.perf_counter() - start) / max(1, len(rows)) / 2
