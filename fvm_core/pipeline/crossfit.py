"""Probabilities by models that have seen neither the sample nor, of trusted images, their label."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from fvm_core.comparison.calibration import calibrated_loss
from fvm_core.config import RunConfig
from fvm_core.pipeline.context import Context
from fvm_core.pipeline.ensembles import trained_on
from fvm_core.pipeline.evaluation import BATCH
from fvm_core.pipeline.inputs import Samples, WithPlanted
from fvm_core.pipeline.tune import Pull, tune_besides
from fvm_core.pipeline.weights import load_tensors, save_tensors

PROXIMITIES = (0.2, 1.0)
"""Strengths ρ with which a head is tuned, each with all tuning steps and with a third of them."""
_DRAW, _TRAINING, _TUNING = 4000, 5000, 6000
"""Numbers that keep these random draws apart, see `seed_step`."""


class Tuning(NamedTuple):
    """How the models of the folds are tuned: strength ρ of the pull, and steps."""

    proximity: float
    steps: int


UNTUNED = Tuning(math.inf, 0)


@dataclass(frozen=True)
class Round:
    """What one round found, for one way of tuning.

    Attributes:
        number: from 1; tuning: ρ and steps.
        logits: (N + Q, K), NaN where a sample can't be used.
        trusted: (M, K), of the usable validation samples.
        loss: their cross-entropy after the best scaling of the logits; accuracy: their share that is right.
    """

    number: int
    tuning: Tuning
    logits: np.ndarray
    trusted: np.ndarray
    loss: float
    accuracy: float


@dataclass(frozen=True)
class CrossFit:
    """What cross-fitting has found.

    Attributes:
        found: all rounds with every tuning; best: the one with the smallest loss; deal: who belonged to which
            fold.
    """

    found: list[Round]
    best: Round
    deal: Deal

    @property
    def details(self) -> dict:
        """What `run.json` holds of it.

        `tried`: for every round and tuning its loss and accuracy; `round`, `proximity`, `steps`, `loss` and
        `accuracy` of the best; `trusted`: how many images judged; `folds`.
        """
        tried = [
            {
                "round": one.number,
                "proximity": None if one.tuning == UNTUNED else one.tuning.proximity,
                "steps": one.tuning.steps,
                "loss": round(one.loss, 5),
                "accuracy": round(one.accuracy, 5),
            }
            for one in self.found
        ]
        kept = tried[self.found.index(self.best)]
        return {**kept, "tried": tried, "trusted": len(self.deal.trusted), "folds": self.deal.count}


def cross_fit(context: Context) -> CrossFit | None:
    """Let every sample be judged by a model that has not learnt its label.

    Samples and trusted images are dealt to F folds. A fold's model is trained on the samples of the others,
    tuned on the trusted images of the others with the term `(ρ/2)‖θ − θ_f‖²`, and asked for its own fold.
    More than a head in a single round learns those trusted images with the samples instead.
    In the second round a sample weighs `p(given label)` of the first and the trusted images of the other
    folds are learnt too. ρ, steps and rounds are those with the smallest cross-entropy on trusted
    images, each judged by a model that did not have it: the weights of fold f come from first models that
    were tuned without the trusted images of fold f, since weights would hand them on.

    Finished folds are kept in the run's `work` by model, and found again.

    Returns:
        None with fewer than two trusted images.
    """
    deal = Deal.of(context)
    if deal.count < 2:
        return None
    settings = context.config.model
    name = f"{settings.name}-{settings.train_part}-{settings.size}".replace(":", "_").replace("/", "_")
    work = context.run.path / "work" / "crossfit" / name
    work.mkdir(parents=True, exist_ok=True)
    with threads_for(context):
        found = _round(context, deal, 1, None, work)
        if (context.config.crossfit.rounds or 0) > 1:
            first = min(found, key=lambda one: one.loss)
            found += _round(context, deal, 2, _weights(context, deal, first.tuning, work), work)
    return CrossFit(found, min(found, key=lambda one: one.loss), deal)


@contextmanager
def threads_for(context: Context) -> Iterator[None]:
    """One thread where a head is trained on a CPU: its products are too small to be shared out."""
    before = torch.get_num_threads()
    if context.config.model.train_part == "head" and context.device == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class Deal:
    """Who belongs to which fold.

    Attributes:
        count: F.
        samples: by fold, rows of `context.rated`.
        trusted: (M,) usable rows of the validation set.
        trusted_places: by fold, places in `trusted`.
    """

    count: int
    samples: list[np.ndarray]
    trusted: np.ndarray
    trusted_places: list[np.ndarray]

    @classmethod
    def of(cls, context: Context) -> Deal:
        """At random, always the same for a seed."""
        seed, trusted = context.config.seed, context.val_inputs.usable()
        count = min(context.config.crossfit.folds, len(trusted))
        samples = np.random.default_rng([seed, _DRAW]).permutation(context.rated.usable())
        places = np.random.default_rng([seed, _DRAW, 1]).permutation(len(trusted))
        folds = range(count)
        return cls(
            count,
            [np.sort(samples[fold::count]) for fold in folds],
            trusted,
            [np.sort(places[fold::count]) for fold in folds],
        )

    def others(self, fold: int) -> np.ndarray:
        """Samples of the other folds."""
        return np.sort(np.concatenate([rows for f, rows in enumerate(self.samples) if f != fold]))

    def other_places(self, fold: int) -> np.ndarray:
        """Places of the trusted images of the other folds."""
        return np.sort(np.concatenate([places for f, places in enumerate(self.trusted_places) if f != fold]))


def _round(
    context: Context, deal: Deal, number: int, weights: list[np.ndarray] | None, work: Path
) -> list[Round]:
    """One round over all folds, for every way of tuning.

    Args:
        context: the run.
        deal: the folds.
        number: from 1.
        weights: (N + Q,) for each fold, of the samples that its model learns.
        work: where finished folds are kept.
    """
    classes, tried = len(context.classes), tunings(context.config)
    labels = context.val_inputs.labels.numpy()[deal.trusted]
    logits = {way: np.full((len(context.rated), classes), np.nan, dtype=np.float32) for way in tried}
    on_trusted = {way: np.full((len(labels), classes), np.nan, dtype=np.float32) for way in tried}
    for fold in range(deal.count):
        path = work / f"round_{number}_fold_{fold}.safetensors"
        if not path.exists():
            tell = _teller(context, deal, (number - 1) * deal.count + fold)
            stage = number * 100 + fold
            models = _models(context, deal, fold, stage, weights, work, tell)
            if number == 1:
                save_tensors(work / f"base_{fold}.safetensors", models[UNTUNED].state_dict())
            save_tensors(path, _answers(context, [models[way] for way in tried], deal, fold))
            (work / "state.safetensors").unlink(missing_ok=True)
        stored = load_tensors(path)
        for place, way in enumerate(tried):
            logits[way][deal.samples[fold]] = stored[f"samples_{place}"].numpy()
            on_trusted[way][deal.trusted_places[fold]] = stored[f"trusted_{place}"].numpy()
    return [
        Round(
            number,
            way,
            logits[way],
            on_trusted[way],
            calibrated_loss(on_trusted[way], labels),
            float((on_trusted[way].argmax(1) == labels).mean()),
        )
        for way in tried
    ]


def _weights(context: Context, deal: Deal, way: Tuning, work: Path) -> list[np.ndarray]:
    """(N + Q,) for each fold f: `p(given label)` by first models that know no trusted image of fold f."""
    labels = context.rated.labels.numpy()
    found = [np.zeros(len(labels), dtype=np.float32) for _ in range(deal.count)]
    for own in range(deal.count):
        path = work / f"weights_{own}.safetensors"
        rows = deal.samples[own]
        if not path.exists():
            base = context.new_model()
            base.load_state_dict(load_tensors(work / f"base_{own}.safetensors", context.device))
            base.eval()
            given = torch.from_numpy(labels[rows])

            def believed_by(model: nn.Module, rows=rows, given=given) -> torch.Tensor:
                p = torch.from_numpy(_logits(model, context.rated, rows, context)).softmax(1)
                return p.gather(1, given[:, None])[:, 0]

            believed = torch.zeros(deal.count, len(rows))
            if way == UNTUNED:  # no trusted image was learnt, so all folds may know the same
                believed[:] = believed_by(base)
            for fold in range(deal.count):
                if fold == own or way == UNTUNED:
                    continue
                place = own * deal.count + fold
                tell = _teller(context, deal, 2 * deal.count, 1 / deal.count**2, place)
                believed[fold] = believed_by(_tuned(context, base, way, deal, fold, 900 + place, tell))
            save_tensors(path, {"believed": believed})
        stored = load_tensors(path)["believed"].numpy()
        for fold in range(deal.count):
            found[fold][rows] = stored[fold]
    return found


def _teller(
    context: Context, deal: Deal, before: float, part: float = 1.0, place: int = 0
) -> Callable[[float], None]:
    """Tells the progress of one piece of the stage: folds of both rounds, and the weights between them."""
    rounds = context.config.crossfit.rounds or 1
    total = rounds * deal.count + (1 if rounds > 1 else 0)

    def tell(share: float) -> None:
        context.progress.update("crossfit", round(1000 * (before + part * (place + share))), 1000 * total)

    return tell


def tunings(config: RunConfig) -> tuple[Tuning, ...]:
    """The ways of tuning that a run tries; each but the last costs a tuning for every fold and round."""
    given, steps = config.crossfit.proximity, config.tune.steps or 0
    if given is not None:
        return (Tuning(given, steps),) if steps else (UNTUNED,)
    if _learns_trusted(config) or not steps:
        return (UNTUNED,)
    if config.model.train_part != "head":
        return Tuning(PROXIMITIES[0], steps), UNTUNED
    numbers = dict.fromkeys((max(1, steps // 3), steps))
    return *(Tuning(rho, number) for rho in PROXIMITIES for number in numbers), UNTUNED


def _learns_trusted(config: RunConfig) -> bool:
    """Whether trusted images are learnt with the samples from the first round on, in place of tuning.

    Of more than a head the tunings would cost more than the trainings. With a second round they may not be:
    its weights would hand on what is known of them.
    """
    single = config.crossfit.rounds == 1 and config.crossfit.proximity is None
    return single and config.model.train_part != "head"


def _models(
    context: Context,
    deal: Deal,
    fold: int,
    stage: int,
    weights: list[np.ndarray] | None,
    work: Path,
    tell: Callable[[float], None],
) -> dict[Tuning, nn.Module]:
    """The fold's model by tuning."""
    rows, samples, sample_weights = deal.others(fold), context.rated, None
    if weights is not None or _learns_trusted(context.config):
        trusted, places = deal.trusted, deal.other_places(fold)
        labels = context.val_inputs.labels.numpy()[trusted]
        samples = WithPlanted(context.rated, context.val_inputs, trusted, labels)
        rows = np.concatenate([rows, len(context.rated) + places])
        extra = np.full(len(trusted), context.config.crossfit.trusted_weight, dtype=np.float32)
        own = np.ones(len(context.rated), dtype=np.float32) if weights is None else weights[fold]
        sample_weights = torch.from_numpy(np.concatenate([own, extra]))
    epochs, tried = context.config.train.epochs, tunings(context.config)
    half = epochs / (epochs + len(tried))
    state = work / "state.safetensors"
    found = {
        UNTUNED: trained_on(
            context,
            rows,
            _TRAINING + stage,
            state,
            lambda epoch: tell(half * epoch / max(1, epochs)),
            samples,
            sample_weights,
        )
    }
    for place, way in enumerate(tried):

        def tell_tuning(share: float, place: int = place) -> None:
            tell(half + (1 - half) * (place + share) / len(tried))

        found[way] = _tuned(context, found[UNTUNED], way, deal, fold, stage, tell_tuning)
    return found


def _tuned(
    context: Context,
    base: nn.Module,
    way: Tuning,
    deal: Deal,
    fold: int,
    stage: int,
    tell: Callable[[float], None],
) -> nn.Module:
    """A fold's model tuned on the trusted images of the other folds, held near where it began."""
    if way == UNTUNED:
        return base
    model, trusted = copy.deepcopy(base), deal.trusted[deal.other_places(fold)]
    tune_besides(
        context,
        model,
        replace(context.config.tune, steps=way.steps),
        _TUNING + stage,
        None,
        lambda done, steps: tell(done / max(1, steps)),
        trusted,
        Pull(model, way.proximity),
    )
    return model


def _answers(context: Context, models: list[nn.Module], deal: Deal, fold: int) -> dict[str, torch.Tensor]:
    """Logits of each model for the fold's own samples and trusted images."""
    found = {}
    trusted = deal.trusted[deal.trusted_places[fold]]
    for place, model in enumerate(models):
        for name, inputs, rows in (
            ("samples", context.rated, deal.samples[fold]),
            ("trusted", context.val_inputs, trusted),
        ):
            found[f"{name}_{place}"] = torch.from_numpy(_logits(model, inputs, rows, context))
    return found


@torch.no_grad()
def _logits(model: nn.Module, inputs: Samples, rows: np.ndarray, context: Context) -> np.ndarray:
    found = np.zeros((len(rows), len(context.classes)), dtype=np.float32)
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        found[start : start + BATCH] = model(inputs.images(part)).float().cpu().numpy()
    return found
