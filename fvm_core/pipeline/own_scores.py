"""The run's own scores among the estimators, and how any of them is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa

from fvm_core.comparison.results import Description, descriptions, write_result
from fvm_core.estimators import registry
from fvm_core.estimators.loss import Loss, TunedLoss
from fvm_core.estimators.minimum import MinimumInfluence
from fvm_core.pipeline.context import Context
from fvm_core.pipeline.score import scores_at


def own_scores(context: Context) -> None:
    """What the score stage has computed anyway, under the names that a comparison uses."""
    if any(one.name == "fvm" for one in descriptions(context.run.path)):
        return
    steps, stages, tune = context.saved_steps(), context.run.info["stages"], context.config.tune
    scores = context.run.read_scores(["influence", "loss", "loss_before", "suggested_label"])
    before_tuning = context.run.trajectory()[1][0]
    title = "VM (SGD)" if tune.solver == "sgd" else f"{_tuned_by(tune.solver)[:-1]}, γ = {tune.gamma:g})"
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
        settings={"saved steps": len(steps), **MinimumInfluence.options(context.config)},
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
    kinds = {kind.name: kind for kind in (TunedLoss, Loss)}
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

    store(context, before, with_planted(before_tuning, "influence", False), None)
    for one, column in zip(losses, ("loss", "loss_before"), strict=True):
        if one.name not in context.config.compare.estimators:
            store(context, one, with_planted(scores[column], "loss", one.name == "tuned_loss"), None)
    store(context, own, with_planted(scores["influence"], "influence", True), suggested)


def store(
    context: Context,
    described: Description,
    values: np.ndarray,
    suggested: list[str | None] | None,
    more: Mapping[str, pa.Array] | None = None,
    planted_suggested: Sequence[str | None] = (),
) -> None:
    """Write an estimator's values of the training samples, what it says of the planted ones beside them."""
    count = len(context.train)
    values = np.asarray(values, dtype=np.float64)
    planted = described.suspicion(values[count:]).tolist()
    described = replace(described, planted=planted, planted_suggested=planted_suggested)
    write_result(context.run.path, described, values[:count], suggested, more)


def _tuned_by(solver: str) -> str:
    return next(kind.title for kind in registry.built_in().values() if kind.solver == solver)
