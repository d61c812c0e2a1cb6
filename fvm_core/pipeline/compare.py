"""Stage: other estimators on the same samples, from the checkpoints that the run has anyway."""

from __future__ import annotations

import inspect
import shutil
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

import numpy as np
import torch

from fvm_core.chunks import ChunkedArrays
from fvm_core.comparison import choice
from fvm_core.comparison.choosing import decide
from fvm_core.comparison.collect import collect
from fvm_core.comparison.results import Description, descriptions
from fvm_core.diagonal.batch_size import BatchSize
from fvm_core.errors import PLACES, Cancelled, SaltflatError
from fvm_core.estimators import Estimator, LogitEstimator, registry
from fvm_core.out_of_memory import is_out_of_memory
from fvm_core.pipeline.comparison_meter import Meter
from fvm_core.pipeline.context import Context
from fvm_core.pipeline.curvature import batch_size, estimator_at
from fvm_core.pipeline.figures import FIGURES, figures
from fvm_core.pipeline.filling import fill
from fvm_core.pipeline.fitting import fitted
from fvm_core.pipeline.label_columns import label_columns
from fvm_core.pipeline.materials import RunMaterials, kept_checkpoints
from fvm_core.pipeline.own_scores import own_scores, store
from fvm_core.pipeline.score import CHUNK
from fvm_core.pipeline.time_spent import Spent, timed
from fvm_core.pipeline.weights import load_tensors, save_tensors

Kind = type[Estimator]
Source = Callable[[np.ndarray], torch.Tensor]
"""What an estimator is given for some rows."""

_ORDER = 10
"""Places that the run's own scores take in lists before those of other estimators."""
_COLUMNS = {"value": "float32", "label": "int32"}


def compare(context: Context) -> dict:
    """Write `estimators/NAME.parquet` and `.json` for the run's own scores and every estimator asked for.

    Estimators that need only the logits of the same model share one forward pass; all others have their
    fit and every chunk of samples kept while they are at work, so that a stop loses little.

    Returns:
        `estimators` and `failed`: name to the reason, for those that could not be computed.

    Raises:
        SaltflatError: the run lacks what an estimator needs; told before anything is computed.
    """
    settings = context.config.compare
    failed: dict[str, str] = {}
    asked: dict[str, Kind] = {}
    for name in settings.estimators:
        try:
            asked[name] = registry.find(name)
        except SaltflatError as error:  # a file or package that has gone since the run was started
            failed[name] = str(error)
            context.progress.log(failed[name])
    wanted = {name: kind for name, kind in asked.items() if not _finished(context, kind)}
    for kind in wanted.values():
        if reason := kind.why_not(context.config, checkpoints=bool(kept_checkpoints(context))):
            raise SaltflatError(reason)
    own_scores(context)
    context.run.restart_history("compare", [])
    meter = Meter(context, list(wanted.values()))
    at_once = BatchSize(1)
    if wanted or settings.figures:
        at_once = batch_size(context, estimator_at(context, context.saved_steps()[-1]))
    sharing = [kind for kind in wanted.values() if _shares_logits(kind)]
    for needs in ({"theta_star"}, {"tuned"}):
        group = [kind for kind in sharing if kind.needs == needs]
        if group:
            with _told(context, group, failed):
                _by_logits(context, group, meter, at_once)
    for name, kind in wanted.items():
        if kind not in sharing:
            with _told(context, [kind], failed):
                _one(context, name, meter, at_once)
    if settings.figures:
        meter.begin(FIGURES)
        context.run.add_history("compare", {"estimator": FIGURES, "title": "Scores over training and tuning"})
        figures(context, _work(context, FIGURES), meter.tell, fitted, at_once)
        shutil.rmtree(_work(context, FIGURES), ignore_errors=True)
    meter.end()
    found = decide(
        collect(context.run),
        context.run.planted_wrong(),
        context.run.info.get("planted", {}).get("in_training", True),
    )
    choice.choose(context.run, found.name, reason=found.reason, by_person=False)
    context.progress.log(found.reason)
    return {"estimators": [kind.name for kind in asked.values()], "failed": failed}


def _shares_logits(kind: Kind) -> TypeGuard[type[LogitEstimator]]:
    """Whether a forward pass of one of the run's two models, which others may share, is all that it takes.

    One that somebody else wrote shares none: the others have to go on when it fails.
    """
    if kind.name not in registry.built_in() or kind.needs not in ({"theta_star"}, {"tuned"}):
        return False
    if not issubclass(kind, LogitEstimator):
        return False
    own = ("make", "__init__", "score", "score_labels", "judge", "suspicion")
    return all(inspect.getattr_static(kind, name) is _inherited(name) for name in own)


def _inherited(name: str) -> object:
    return inspect.getattr_static(LogitEstimator, name)


@contextmanager
def _told(context: Context, kinds: Sequence[Kind], failed: dict[str, str]) -> Iterator[None]:
    """Note why estimators could not be computed, such as a recursion that diverges; the others go on.

    One that somebody else wrote may raise anything.
    """
    try:
        yield
    except Cancelled:
        raise
    except SaltflatError as error:
        reason = str(error)
    except Exception as error:
        place = isinstance(error, OSError) and error.errno in PLACES
        if place or is_out_of_memory(error) or all(kind.name in registry.built_in() for kind in kinds):
            raise
        at = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {error} ({at.filename}:{at.lineno})"
        context.progress.log(traceback.format_exc())
    else:
        return
    for kind in kinds:
        failed[kind.name] = reason
        context.progress.log(f"{kind.title} failed: {reason}")


def _by_logits(
    context: Context, kinds: Sequence[type[LogitEstimator]], meter: Meter, at_once: BatchSize
) -> None:
    """All estimators that look only at the logits of one model."""
    where = "tuned" if "tuned" in kinds[0].needs else "theta_star"
    folder = _work(context, f"logits_{where}")
    materials = RunMaterials(context, folder, meter.tell)
    network = materials.tuned() if where == "tuned" else materials.theta_star()
    meter.begin(*(kind.name for kind in kinds))
    columns = {f"{kind.name}_{what}": (of, ()) for kind in kinds for what, of in _COLUMNS.items()}
    arrays = ChunkedArrays(folder, len(context.rated), columns, CHUNK)

    @torch.no_grad()
    def judge(rows: np.ndarray) -> dict[str, torch.Tensor | None]:
        labels = context.rated.targets(rows)
        logits = network(context.rated.images(rows)).float()
        found: dict[str, torch.Tensor | None] = {}
        for kind in kinds:
            values = kind.of_logits(logits)
            found[f"{kind.name}_value"] = values.gather(1, labels[:, None])[:, 0]
            best = values.argmin(1) if kind.suspicious == "high" else values.argmax(1)
            found[f"{kind.name}_label"] = best
        return found

    with timed(folder, context.device) as spent:
        fill(context, arrays, judge, meter.tell, at_once)
    for kind in kinds:
        described = _described(kind, spent, {"shares its forward pass with": len(kinds) - 1})
        described = replace(described, seconds=spent.seconds / len(kinds))
        labels, planted = _names(context, arrays[f"{kind.name}_label"])
        values = arrays[f"{kind.name}_value"]
        store(context, described, values, labels, planted_suggested=planted)
    shutil.rmtree(folder, ignore_errors=True)


def _one(context: Context, name: str, meter: Meter, at_once: BatchSize) -> None:
    """An estimator, named as in the settings, that has the machine to itself."""
    kind = registry.find(name)
    meter.begin(kind.name)
    folder = _work(context, kind.name)
    context.progress.log(f"{kind.title} starts.")
    context.run.add_history("compare", {"estimator": kind.name, "title": kind.title})
    with timed(folder, context.device) as spent:
        materials = RunMaterials(context, folder, meter.tell)
        estimator, settings = kind.make(materials)
        source = _fit(context, estimator, materials, spent)
        arrays = ChunkedArrays(folder, len(context.rated), {k: (v, ()) for k, v in _COLUMNS.items()}, CHUNK)

        def judge(rows: np.ndarray) -> dict[str, torch.Tensor | None]:
            values, labels = estimator.judge(source(rows), context.rated.targets(rows))
            _check_answer(kind, values, labels, len(rows), len(context.classes))
            return {"value": values, "label": labels}

        fill(context, arrays, judge, meter.tell, at_once)
    if registry.is_file(name):
        settings["from"] = name
    labels, planted = _names(context, arrays["label"]) if estimator.relabels else (None, [])
    more = label_columns(context, kind, arrays["label"])
    store(context, _described(kind, spent, settings), arrays["value"], labels, more, planted)
    shutil.rmtree(folder, ignore_errors=True)
    context.progress.log(f"{kind.title} is done after {spent.seconds:.1f} s.")


def _check_answer(
    kind: Kind, values: torch.Tensor, labels: torch.Tensor | None, count: int, classes: int
) -> None:
    """Refuse what can't be values (B,) and labels (B,) of the samples."""
    for word, found in (("values", values), ("labels", labels)):
        if found is None and word == "labels" and not kind.relabels:
            continue
        shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        if shape != (count,):
            raise SaltflatError(f"{kind.title} gave {word} {shape} for {count} samples; give ({count},).")
    if not values.is_floating_point():
        raise SaltflatError(f"{kind.title} gave {values.dtype} as values; give floating-point numbers.")
    if labels is not None and bool(((labels < 0) | (labels >= classes)).any()):
        raise SaltflatError(f"{kind.title} suggested labels that are no classes, 0 to {classes - 1}.")


def _fit(context: Context, estimator: Estimator, materials: RunMaterials, spent: Spent) -> Source:
    """Fit the estimator, or take what an earlier attempt has computed; returns what it is given for rows."""
    source: Source = context.rated.images
    found = np.empty(0)
    if estimator.inputs == "probabilities":
        found = materials.probabilities(type(estimator))

        def source(rows: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(found[rows]).to(context.device)

    state = materials.folder / "state.safetensors"
    if state.exists():
        estimator.restore(load_tensors(state))
        return source
    if estimator.inputs == "probabilities":
        rows = context.rated.usable()
        estimator.fit([(torch.from_numpy(found[rows]), context.rated.labels[torch.from_numpy(rows)])])
    else:
        fitted(context, estimator, materials.tell)
    if trace := estimator.trace():
        spent.trace = trace
        spent.keep()
    values = {key: value.contiguous() for key, value in estimator.state().items()}
    if values:
        save_tensors(state, values)
    return source


def _names(context: Context, codes: np.ndarray) -> tuple[list[str | None], list[str | None]]:
    """Suggested labels of the training samples and of the planted ones, from class indices (N + Q,)."""
    found = np.array([*context.classes, None], dtype=object)[np.asarray(codes)]
    return found[: len(context.train)].tolist(), found[len(context.train) :].tolist()


def _described(kind: Kind, spent: Spent, settings: dict) -> Description:
    order = list(registry.built_in()).index(kind.name) if kind.name in registry.built_in() else kind.place
    return Description(
        name=kind.name,
        title=kind.title,
        suspicious=kind.suspicious,
        cost=kind.cost,
        seconds=spent.seconds,
        peak_memory_bytes=spent.peak,
        relabels=kind.relabels,
        trained_only=kind.trained_only(),
        order=_ORDER + order,
        settings=settings,
        trace=spent.trace,
    )


def _finished(context: Context, kind: Kind) -> bool:
    """Whether it is there whole: what the score stage gave away suggests no labels."""
    there = {one.name: one for one in descriptions(context.run.path)}
    return kind.name in there and there[kind.name].relabels == kind.relabels


def _work(context: Context, name: str) -> Path:
    folder = context.run.path / "work" / "compare" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
