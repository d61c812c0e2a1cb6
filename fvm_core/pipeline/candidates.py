"""The classifiers that `auto` chooses among, and those of them that the granted time allows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fvm_core.config import RunConfig, TrainConfig, TuneConfig
from fvm_core.data.dataset import ImageDataset
from fvm_core.pipeline.defaults import complete, image_kind
from fvm_core.wording import duration

BUDGET = 20.0
"""Minutes that a run may take for trying more than one classifier, where nobody has said how many."""
FEWER_FOLDS = 3
"""Of cross-fitting a candidate for which the time does not allow more."""
MOST_SIDE = 40
"""Pixels up to which a small network is tried on the images as they are, else at 32."""
BRIEF_EPOCHS, QUICK_STEPS = 15, 200
"""Training epochs and tuning steps of the small network without a GPU, where a sample takes 3 ms."""
_OWN = ("train", "tune", "curvature", "score", "relabel", "compare")
"""Stages that only the classifier which is kept goes through, once more than the others."""


@dataclass(frozen=True)
class Candidate:
    """One way to a classifier: a title, and complete settings of a run with it."""

    title: str
    config: RunConfig

    def to_dict(self) -> dict:
        """Plain values for `run.json`."""
        return {"title": self.title, "config": self.config.to_dict()}

    @staticmethod
    def from_dict(values: Mapping) -> Candidate:
        """The opposite of `to_dict`."""
        return Candidate(values["title"], RunConfig.from_dict(values["config"]))


def candidates(config: RunConfig, train: ImageDataset, val: ImageDataset, device: str) -> list[Candidate]:
    """What `auto` takes, first, and what else could be better: a small network, the last block.

    A pretrained backbone knows photographs; on small drawn pictures a network that is trained on them
    alone often knows more. Alone where a model, a part of it, weights or features are named, or no
    cross-fitting is done, without which they can't be compared.

    Args:
        config: settings as they were given.
        train: the training set.
        val: the validation set.
        device: `cpu`, `cuda` or `mps`.
    """
    full = complete(config, train, val, device)
    first = Candidate(_title(full), full)
    model = config.model
    if names_one(config) or not (full.model.on_features and full.crossfit.rounds):
        return [first]
    rounds, side = config.crossfit.rounds or 1, image_kind(train).side
    small = replace(
        model,
        name="small_cnn",
        pretrained=False,
        backbone_weights="",
        mirror=False,
        size=model.size or (side if side <= MOST_SIDE else 32),
    )
    last = replace(model, name=full.model.name, train_part="last:1")
    found = [first]
    for one in (small, last):
        given = replace(config, model=one, crossfit=replace(config.crossfit, rounds=rounds))
        if one is small and device == "cpu":
            given = replace(given, train=_brief(config.train), tune=_quick(config.tune))
        settings = complete(given, train, val, device)
        found.append(Candidate(_title(settings), settings))
    return found


def names_one(config: RunConfig) -> bool:
    """Whether settings as they were given leave no choice among classifiers.

    A model, a part of it, weights of θ* or features are named, or there is no cross-fitting to compare by.
    """
    model = config.model
    named = model.name != "auto" or model.train_part != "auto" or model.pretrained is not None
    return named or bool(model.checkpoint or model.features) or config.crossfit.rounds == 0


def _brief(train: TrainConfig) -> TrainConfig:
    """Training of a small network without a GPU: half of the usual epochs, in batches half as large."""
    epochs = BRIEF_EPOCHS if train.epochs is None else train.epochs
    return replace(train, epochs=epochs, batch_size=train.batch_size or 64)


def _quick(tune: TuneConfig) -> TuneConfig:
    return replace(tune, steps=QUICK_STEPS if tune.steps is None else tune.steps)


def affordable(
    known: Sequence[Candidate], seconds: Sequence[Mapping[str, float]], budget: float
) -> list[tuple[int, int, dict[str, float]]]:
    """Place, folds and seconds of every candidate to try, the first always among them.

    A run takes everything once for the first one, beside that the cross-fitting of every other one, and
    the further stages of the one that is kept, in the worst case those of the dearest. Others are taken
    in order of their cross-fitting while that fits, with three folds where it does not with all.

    Args:
        known: the candidates.
        seconds: expected by stage, of a run with each candidate alone.
        budget: seconds that are granted.
    """
    tried = [(0, known[0].config.crossfit.folds, dict(seconds[0]))]
    for place in sorted(range(1, len(seconds)), key=lambda place: trial(seconds[place])):
        folds = known[place].config.crossfit.folds
        for count in dict.fromkeys((folds, min(folds, FEWER_FOLDS))):
            share = (count - 1) / (folds - 1)
            own = {**seconds[place], "crossfit": share * seconds[place]["crossfit"]}
            if total([*(one for _, _, one in tried), own]) <= budget:
                tried.append((place, count, own))
                break
    return sorted(tried, key=lambda one: one[0])


def total(seconds: Sequence[Mapping[str, float]]) -> float:
    """Seconds of a run that tries all of these and keeps the dearest; the first is that of `auto`."""
    first = seconds[0]
    shared = sum(value for stage, value in first.items() if stage not in _OWN)
    return shared + sum(trial(one) for one in seconds[1:]) + max(_kept(one) for one in seconds)


def by_stage(seconds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The same by stage: where there are several, they are cross-fitted in `select`."""
    dearest = max(seconds, key=_kept)
    found = {stage: dearest[stage] if stage in _OWN else value for stage, value in seconds[0].items()}
    if len(seconds) < 2:
        return {**found, "select": 0.0}
    trials = found["crossfit"] + sum(trial(one) for one in seconds[1:])
    return {**found, "select": trials, "crossfit": 0.0}


def left_out_of(
    known: Sequence[Candidate],
    seconds: Sequence[Mapping[str, float]],
    tried: Sequence[tuple[int, int, dict[str, float]]],
) -> list[dict]:
    """Title of every candidate that is not tried, and the seconds of a run that tries it too."""
    places, own = [place for place, _, _ in tried], [one for _, _, one in tried]
    return [
        {"title": one.title, "seconds": round(total([*own, seconds[place]]))}
        for place, one in enumerate(known)
        if place not in places
    ]


def not_tried(left_out: Sequence[Mapping]) -> str:
    """That the time does not allow these, see `left_out_of`, and how much they need; empty for none."""
    if not left_out:
        return ""
    parts = [
        f"{one['title']} (the run would take about {duration(one['seconds'])}, "
        f"--budget {math.ceil(one['seconds'] / 60)})"
        for one in left_out
    ]
    return f"Not tried for want of time: {', '.join(parts)}."


def trial(seconds: Mapping[str, float]) -> float:
    """What a candidate that is not the first needs to be judged: its input, and cross-fitting."""
    return seconds["prepare"] + seconds["features"] + seconds["crossfit"]


def _kept(seconds: Mapping[str, float]) -> float:
    return sum(seconds[stage] for stage in _OWN)


def _title(config: RunConfig) -> str:
    model = config.model
    if model.features:
        return "a head on features from elsewhere"
    name = model.name.removeprefix("timm:")
    if model.train_part == "head":
        return f"a head on the features of {name}"
    if model.on_features:
        blocks = model.train_part.removeprefix("last:")
        return f"the last block of {name}" if blocks == "1" else f"the last {blocks} blocks of {name}"
    return f"{name} on images of {model.size} px"
