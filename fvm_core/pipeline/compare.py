"""Stage: other estimators on the same samples, from the checkpoints that the run has anyway."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from fvm_core.atomic import write_json
from fvm_core.comparison.results import Description, descriptions, write_result
from fvm_core.errors import SaltflatError
from fvm_core.estimators.batch_size import BatchSize, is_out_of_memory
from fvm_core.estimators.residuals import probabilities
from fvm_core.estimators.standard import ESTIMATORS, Estimator
from fvm_core.estimators.standard.gex import GEX
from fvm_core.estimators.standard.lissa import LiSSA
from fvm_core.estimators.standard.minimum import MinimumInfluence
from fvm_core.pipeline.chunks import ChunkedArrays
from fvm_core.pipeline.context import Context, step_name
from fvm_core.pipeline.curvature import batch_size, estimator_at
from fvm_core.pipeline.defaults import OWN_SOLVERS
from fvm_core.pipeline.ensembles import members, out_of_fold, tuned_besides
from fvm_core.pipeline.estimator_costs import BATCH, Sizes, figure_phases, phases
from fvm_core.pipeline.estimators import (
    ENTRIES,
    SOLVER_TITLES,
    RowBatches,
    Tell,
    build,
    influence_options,
    own_tuning,
    why_not,
)
from fvm_core.pipeline.figures import FIGURES, figures
from fvm_core.pipeline.peak_memory import PeakMemory
from fvm_core.pipeline.score import CHUNK, scores_at
from fvm_core.pipeline.weights import load_tensors, save_tensors

_ORDER = 10
"""Places that the run's own scores take in lists before those of other estimators."""
_STREAM = 6


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
    wanted = [name for name in settings.estimators if not _finished(context, name)]
    for name in wanted:
        reason = why_not(context, name)
        if reason:
            raise SaltflatError(reason)
    _own_scores(context)
    context.run.restart_history("compare", [])
    meter = _Meter(context, wanted)
    at_once = BatchSize(1)
    if wanted or settings.figures:
        at_once = batch_size(context, estimator_at(context, context.saved_steps()[-1]))
    for model in ("theta_star", "tuned"):
        group = [name for name in wanted if ENTRIES[name].by_logits and model in ENTRIES[name].kind.needs]
        if group:
            _by_logits(context, group, model, meter, at_once)
    failed = {}
    for name in wanted:
        if not ENTRIES[name].by_logits:
            try:
                _one(context, name, meter, at_once)
            except SaltflatError as error:  # such as a recursion that diverges: the others go on
                failed[name] = str(error)
                context.progress.log(f"{ENTRIES[name].title} failed: {error}")
    if settings.figures:
        meter.begin(FIGURES)
        context.run.add_history("compare", {"estimator": FIGURES, "title": "Scores over training and tuning"})
        figures(context, _work(context, FIGURES), meter.tell, fitted, at_once)
        shutil.rmtree(_work(context, FIGURES), ignore_errors=True)
    meter.end()
    return {"estimators": list(settings.estimators), "failed": failed}


def fitted(context: Context, estimator: Estimator, tell: Tell) -> Estimator:
    """The estimator after `fit` on the rated samples in random order and the validation set."""
    rng = np.random.default_rng([context.config.seed, _STREAM])
    rows, size = rng.permutation(context.rated.usable()), BATCH
    while True:
        training = RowBatches(context.rated, rows, size)
        validation = RowBatches(context.val_inputs, context.val_inputs.usable(), size)
        try:
            return estimator.fit(training, validation, progress=tell)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or size == 1:
                raise
        size //= 2
        context.progress.log(f"{estimator.title} ran out of memory; it goes on with {size} samples at once.")
        if context.device == "cuda":
            torch.cuda.empty_cache()


def _own_scores(context: Context) -> None:
    """What the score stage has computed anyway, under the names that a comparison uses."""
    if _finished(context, "fvm"):
        return
    steps, stages, tune = context.saved_steps(), context.run.info["stages"], context.config.tune
    scores = context.run.read_scores(["influence", "loss", "loss_before", "suggested_label"])
    before_tuning = context.run.trajectory()[1][0]
    title = "VM (SGD)" if tune.solver == "sgd" else f"FVM ({SOLVER_TITLES[tune.solver]}, γ = {tune.gamma:g})"
    seconds = sum(stages[stage]["seconds"] for stage in ("tune", "curvature", "score", "relabel"))
    peak = context.run.info.get("peak_memory_bytes")
    own = Description(
        name="fvm",
        title=title,
        suspicious="high",
        cost=f"tuning, then {MinimumInfluence.cost}, at every saved step",
        seconds=seconds,
        peak_memory_bytes=peak,
        relabels=True,
        settings={"saved steps": len(steps), **influence_options(context)},
    )
    before = replace(
        own,
        name="influence_trained",
        title="The same influence before tuning",
        cost="1 backward pass a sample",
        seconds=None,
        peak_memory_bytes=None,
        relabels=False,
        trained_only=True,
        order=1,
        settings={},
    )
    kinds = {name: ESTIMATORS[name] for name in ("tuned_loss", "loss")}
    losses = [
        replace(before, name=name, title=kind.title, cost=kind.cost, trained_only=name == "loss", order=2)
        for name, kind in kinds.items()
    ]
    suggested = [None if pd.isna(label) else label for label in scores["suggested_label"]]

    def with_planted(values: np.ndarray, what: str, tuned: bool) -> np.ndarray:
        if len(context.rated) == len(context.train):
            return np.asarray(values)
        arrays = scores_at(context, len(steps) - 1 if tuned else 0)
        return np.concatenate([values, arrays[what][len(context.train) :]])

    _store(context, before, with_planted(before_tuning, "influence", False), None)
    for one, column in zip(losses, ("loss", "loss_before"), strict=True):
        if one.name not in context.config.compare.estimators:
            _store(context, one, with_planted(scores[column], "loss", one.name == "tuned_loss"), None)
    _store(context, own, with_planted(scores["influence"], "influence", True), suggested)


def _by_logits(context: Context, names: list[str], model: str, meter: _Meter, at_once: BatchSize) -> None:
    """All estimators that look only at the logits of one model."""
    checkpoint = "theta_star" if model == "theta_star" else step_name(context.saved_steps()[-1])
    network = context.model_at(checkpoint)
    meter.begin(*names)
    folder = _work(context, f"logits_{model}")
    columns = {f"{name}_{what}": (kind, ()) for name in names for what, kind in _COLUMNS.items()}
    arrays = ChunkedArrays(folder, len(context.rated), columns, CHUNK)

    @torch.no_grad()
    def judge(rows: np.ndarray) -> dict[str, torch.Tensor]:
        labels = context.rated.targets(rows)
        logits = network(context.rated.images(rows)).float()
        found = {}
        for name in names:
            kind = ENTRIES[name].kind
            values = kind.of_logits(logits)
            found[f"{name}_value"] = values.gather(1, labels[:, None])[:, 0]
            best = values.argmin(1) if kind.suspicious == "high" else values.argmax(1)
            found[f"{name}_label"] = best
        return found

    with _timed(folder, context.device) as spent:
        _fill(context, arrays, judge, meter, at_once)
    for name in names:
        described = _described(name, spent, {"shares its forward pass with": len(names) - 1})
        described = replace(described, seconds=spent.seconds / len(names))
        _store(context, described, arrays[f"{name}_value"], _names(context, arrays[f"{name}_label"]))
    shutil.rmtree(folder, ignore_errors=True)


def _one(context: Context, name: str, meter: _Meter, at_once: BatchSize) -> None:
    """An estimator that has the machine to itself."""
    meter.begin(name)
    folder = _work(context, name)
    context.progress.log(f"{ENTRIES[name].title} starts.")
    context.run.add_history("compare", {"estimator": name, "title": ENTRIES[name].title})
    with _timed(folder, context.device) as spent:
        estimator, settings, source = _ready(context, name, folder, meter.tell, spent)
        arrays = ChunkedArrays(folder, len(context.rated), {k: (v, ()) for k, v in _COLUMNS.items()}, CHUNK)

        def judge(rows: np.ndarray) -> dict[str, torch.Tensor]:
            values, labels = estimator.judge(source(rows), context.rated.targets(rows))
            return {"value": values, "label": labels}

        _fill(context, arrays, judge, meter, at_once)
    _store(
        context,
        _described(name, spent, settings),
        arrays["value"],
        _names(context, arrays["label"]) if estimator.relabels else None,
    )
    shutil.rmtree(folder, ignore_errors=True)
    context.progress.log(f"{ENTRIES[name].title} is done after {spent.seconds:.1f} s.")


def _ready(
    context: Context, name: str, folder: Path, tell: Tell, spent: _Spent
) -> tuple[Estimator, dict, Callable[[np.ndarray], torch.Tensor]]:
    """The fitted estimator, its settings for people, and what it is given for rows."""
    source: Callable[[np.ndarray], torch.Tensor] = context.rated.images
    if name in OWN_SOLVERS:
        tuning = own_tuning(context, name)
        model = tuned_besides(context, tuning, folder, lambda done, total: tell("tuning", done, total))
        options = influence_options(context)
        estimator, settings = MinimumInfluence(model, **options), {"gamma": tuning.gamma, **options}
    elif name == "gex":
        ensemble = members(context, folder, lambda done, total: tell("tuning", done, total))
        return GEX(context.model_at("theta_star"), ensemble), {"members": len(ensemble)}, source
    elif ENTRIES[name].by_probabilities:
        found = _probabilities(context, name, folder, tell)
        estimator, settings = ENTRIES[name].kind(), {"method": "self-confidence minus class threshold"}
        rows = context.rated.usable()
        pairs = [(torch.from_numpy(found[rows]), context.rated.labels[torch.from_numpy(rows)])]
        return estimator.fit(pairs), settings, lambda rows: torch.from_numpy(found[rows]).to(context.device)
    else:
        estimator, settings = build(context, name)
    state = folder / "state.safetensors"
    if state.exists():
        estimator.restore(load_tensors(state))
    else:
        fitted(context, estimator, tell)
        inverse = getattr(estimator, "inverse", None)
        if isinstance(inverse, LiSSA):
            spent.trace = [(int(step), float(change)) for step, change in inverse.trace]
            spent.keep()
        values = {key: value.contiguous() for key, value in estimator.state().items()}
        if values:
            save_tensors(state, values)
    return estimator, settings, source


def _probabilities(context: Context, name: str, folder: Path, tell: Tell) -> np.ndarray:
    if name == "confident":
        return out_of_fold(context, folder, lambda done, total: tell("folds", done, total))
    model = context.model_at(step_name(context.saved_steps()[-1]))
    found = np.full((len(context.rated), len(context.classes)), np.nan, dtype=np.float32)
    rows = context.rated.usable()
    with torch.no_grad():
        for start in range(0, len(rows), BATCH):
            tell("forward", start, len(rows))
            part = rows[start : start + BATCH]
            found[part] = probabilities(model(context.rated.images(part))).float().cpu().numpy()
    return found


_COLUMNS = {"value": "float32", "label": "int32"}


def _fill(
    context: Context,
    arrays: ChunkedArrays,
    judge: Callable[[np.ndarray], dict[str, torch.Tensor]],
    meter: _Meter,
    at_once: BatchSize,
) -> None:
    """Judge every usable row, chunk by chunk."""
    usable = np.zeros(len(context.rated), dtype=bool)
    usable[context.rated.usable()] = True
    sizes = BatchSize(at_once.size)
    for chunk, rows in arrays.pending():
        places = np.flatnonzero(usable[rows])
        found: dict[str, np.ndarray] = {}
        done = arrays.finished_rows()

        def one(part: slice, rows=rows, places=places, found=found, done=done) -> None:
            meter.tell("scoring", done + part.start, len(context.rated))
            own = places[part]
            for name, values in judge(rows[own]).items():
                if values is None:
                    continue
                empty = np.nan if values.is_floating_point() else -1
                kind = np.float32 if values.is_floating_point() else np.int32
                found.setdefault(name, np.full(len(rows), empty, dtype=kind))[own] = values.cpu().numpy()

        sizes.run(len(places), one)
        arrays.write(chunk, **found)
    meter.tell("scoring", len(context.rated), len(context.rated))


def _names(context: Context, codes: np.ndarray) -> list[str | None]:
    names = np.array([*context.classes, None], dtype=object)
    return names[np.asarray(codes[: len(context.train)])].tolist()


def _described(name: str, spent: _Spent, settings: dict) -> Description:
    entry = ENTRIES[name]
    return Description(
        name=name,
        title=entry.title,
        suspicious=entry.kind.suspicious,
        cost=entry.cost,
        seconds=spent.seconds,
        peak_memory_bytes=spent.peak,
        relabels=entry.kind.relabels,
        trained_only=entry.trained_only,
        order=_ORDER + list(ENTRIES).index(name),
        settings=settings,
        trace=spent.trace,
    )


def _store(
    context: Context, described: Description, values: np.ndarray, suggested: list[str | None] | None
) -> None:
    count = len(context.train)
    values = np.asarray(values, dtype=np.float64)
    planted = described.suspicion(values[count:]).tolist()
    write_result(context.run.path, replace(described, planted=planted), values[:count], suggested)


def _finished(context: Context, name: str) -> bool:
    """Whether it is there whole: what the score stage gave away suggests no labels."""
    return name in {
        one.name for one in descriptions(context.run.path) if one.name not in ENTRIES or one.relabels
    }


def _work(context: Context, name: str) -> Path:
    folder = context.run.path / "work" / "compare" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@dataclass
class _Spent:
    """Seconds and peak memory of an estimator over all attempts, and what its fit left to tell."""

    path: Path
    seconds: float = 0.0
    peak: int = 0
    trace: list[tuple[int, float]] | tuple = ()

    def keep(self) -> None:
        write_json(self.path, {"seconds": self.seconds, "peak": self.peak, "trace": list(self.trace)})


@contextmanager
def _timed(folder: Path, device: str) -> Iterator[_Spent]:
    path = folder / "spent.json"
    spent = _Spent(path, **json.loads(path.read_text(encoding="utf-8"))) if path.exists() else _Spent(path)
    begun, memory = time.monotonic(), PeakMemory(device)
    try:
        with memory:
            yield spent
    finally:
        spent.seconds += time.monotonic() - begun
        spent.peak = max(spent.peak, memory.bytes)
        spent.keep()


class _Meter:
    """How much of all estimators' work is done, in forward passes of a sample."""

    def __init__(self, context: Context, names: list[str]):
        sizes = Sizes(len(context.rated), len(context.val_inputs.usable()), context.config)
        self._progress = context.progress
        self._costs = {name: phases(name, sizes) for name in names}
        if context.config.compare.figures:
            self._costs[FIGURES] = figure_phases(sizes)
        self._total = sum(sum(costs.values()) for costs in self._costs.values())
        self._done, self._now, self._reached = 0.0, {}, {}
        self.tell("", 0, 1)

    def begin(self, *names: str) -> None:
        """The next estimators start; those before are done."""
        self._done += sum(self._now.values())
        self._now, self._reached = {}, {}
        for name in names:
            for phase, cost in self._costs[name].items():
                self._now[phase] = self._now.get(phase, 0.0) + cost

    def tell(self, phase: str, done: int, total: int) -> None:
        """Note how far a phase is; a phase that comes again counts once, as far as it got."""
        if total:
            self._reached[phase] = max(self._reached.get(phase, 0.0), done / total)
        within = sum(cost * self._reached.get(name, 0.0) for name, cost in self._now.items())
        self._progress.update("compare", int(self._done + within), int(self._total))

    def end(self) -> None:
        """Everything is done."""
        self._progress.update("compare", int(self._total), int(self._total))
