"""Stage: the best labels of every sample at the last saved step (22), and the result tables."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch

from fvm_core.chunks import ChunkedArrays
from fvm_core.data.dataset import UNKNOWN
from fvm_core.diagonal.batch_size import BatchSize
from fvm_core.percentiles import percentiles
from fvm_core.pipeline import unscored
from fvm_core.pipeline.context import Context
from fvm_core.pipeline.curvature import batch_size, fitted_at
from fvm_core.pipeline.evaluate import evaluate
from fvm_core.pipeline.evaluation import BATCH
from fvm_core.pipeline.score import CHUNK, scores_at
from fvm_core.pipeline.summary import summarise

_POOLED = 4
"""Batches whose last labels go down the network together."""

EXACT = 2
"""How many of the listed labels have an exact influence: the suggestion and the runner-up."""


def relabel(context: Context) -> dict:
    """Ranks labels by influence, then writes `scores.parquet`, `trajectory.parquet`, `metrics.json`.

    Planted samples are ranked with the training samples; what is suggested for them stands in
    `planted_suggestions.parquet`, from which it is told how many suggestions are right.
    """
    count = len(context.rated)
    best = min(context.config.score.alternatives, len(context.classes))
    columns = {
        "label": ("int32", (best,)),
        "influence": ("float32", (best,)),
        "probability": ("float32", (best,)),
        "p_given": ("float32", ()),
        "evaluations": ("float32", ()),
        "work": ("float32", ()),
    }
    # Another name than that of versions which ranked no planted samples: what these have left has fewer rows.
    arrays = ChunkedArrays(context.run.path / "work" / "relabel_rated", count, columns, CHUNK)
    steps = context.saved_steps()
    # The score stage has compared the precisions already.
    precision = context.run.info["stages"]["score"].get("precision", ["fp32"])[-1]
    estimator = fitted_at(context, steps[-1], precision)
    given = scores_at(context, len(steps) - 1)["influence"]
    sizes = BatchSize(_POOLED * batch_size(context, estimator).size)
    readable = np.ones(count, dtype=bool)
    readable[: len(context.train)] = context.train_inputs.readable
    for chunk, rows in arrays.pending():
        found = {
            name: np.full((len(rows), *shape), -1 if kind == "int32" else np.nan, dtype=kind)
            for name, (kind, shape) in columns.items()
        }
        places = np.flatnonzero(readable[rows])
        done = arrays.finished_rows()

        def one(part: slice, rows=rows, places=places, found=found, done=done) -> None:
            context.progress.update("relabel", done + part.start, count)
            own = places[part]
            passes = max(1, sizes.size // _POOLED)
            _rank(context, estimator, rows[own], given[rows[own]], own, best, found, passes)

        sizes.run(len(places), one)
        arrays.write(chunk, **found)
    context.progress.update("relabel", count, count)
    ranked = {name: arrays[name][: len(context.train)] for name in columns}
    _write_tables(context, ranked, _trusted_probabilities(context, estimator.tapped.model))
    _write_planted(context, arrays["label"][len(context.train) :, 0])
    return {
        "evaluations_per_sample": float(np.nanmean(arrays["evaluations"])),
        "backward_passes_per_sample": float(np.nanmean(arrays["work"])),
    }


def _rank(context, estimator, rows, influence, places, best, found, size) -> None:
    exact = min(EXACT, best)
    given = context.rated.targets(rows)
    known = (given, torch.from_numpy(influence).to(given.device))
    images = context.rated.images(rows)
    ranked = estimator.score_all_labels(images, exact=exact, known=known, batch_size=size)
    first = ranked.smallest(exact)[1]
    # After the exact ones the others follow by probability, without an influence.
    likely = ranked.probabilities.scatter(1, first, -1.0).topk(best - exact, dim=1).indices
    label = torch.cat([first, likely], 1)
    influence = ranked.values.masked_fill(~ranked.exact, torch.nan).gather(1, label)
    found["label"][places] = label.cpu().numpy()
    found["influence"][places] = influence.cpu().numpy()
    found["probability"][places] = ranked.probabilities.gather(1, label).cpu().numpy()
    found["evaluations"][places] = ranked.evaluations.cpu().numpy()
    found["work"][places] = ranked.work.cpu().numpy()
    p_given = ranked.probabilities.gather(1, given.clamp(min=0)[:, None])[:, 0]
    found["p_given"][places] = p_given.masked_fill(given < 0, float("nan")).cpu().numpy()


@torch.no_grad()
def _trusted_probabilities(context: Context, model: torch.nn.Module) -> np.ndarray:
    """(M,) probability of each validation sample's label."""
    inputs = context.val_inputs
    found = [
        model(images).float().softmax(1).gather(1, labels[:, None])[:, 0].cpu()
        for images, labels in inputs.batches(inputs.usable(), BATCH)
    ]
    return torch.cat(found).numpy()


def _write_tables(context: Context, ranked: dict[str, np.ndarray], p_trusted: np.ndarray) -> None:
    steps = context.saved_steps()
    scored = [_of_training(context, number) for number in range(len(steps))]
    influence, loss = scored[-1]["influence"], scored[-1]["loss"]
    why = unscored.reasons(context)
    unscored.write(context, why)
    untrusted = why == unscored.NO_TRUSTED
    suspicion = np.where(untrusted, np.nan, influence)
    suggested = np.where(untrusted, UNKNOWN, ranked["label"][:, 0])
    names = np.array([*context.classes, None], dtype=object)
    train = context.train
    table = {
        "id": pa.array(train.ids, pa.string()),
        "path": pa.array(train.paths if train.paths is not None else [None] * len(train), pa.string()),
        "given_label": pa.array(names[train.given], pa.string()),
        "influence": pa.array(influence, from_pandas=True),
        "suspicion": pa.array(suspicion, from_pandas=True),
        "percentile": pa.array(percentiles(suspicion), from_pandas=True),
        "suggested_label": pa.array(names[suggested], pa.string()),
        "suggested_influence": pa.array(
            np.where(untrusted, np.nan, ranked["influence"][:, 0]), from_pandas=True
        ),
        "alternatives": _alternatives(ranked, names, ~untrusted),
        "loss": pa.array(loss, from_pandas=True),
        "p_given": pa.array(ranked["p_given"], from_pandas=True),
        "p_suggested": pa.array(np.where(untrusted, np.nan, ranked["probability"][:, 0]), from_pandas=True),
        "loss_before": pa.array(scored[0]["loss"], from_pandas=True),
    }
    if train.true is not None:
        table["true_label"] = pa.array(names[train.true], pa.string())
    context.run.write_table("scores.parquet", pa.table(table))
    context.run.write_table(
        "trajectory.parquet",
        pa.table(
            {
                "step": pa.array(steps, pa.int32()),
                "influence": _list_per_step([arrays["influence"] for arrays in scored]),
                "loss": _list_per_step([arrays["loss"] for arrays in scored]),
            }
        ),
    )
    if train.true is not None and ((train.true >= 0) & (train.given >= 0)).any():
        evaluate(context.run)
    p_given = np.where(untrusted, np.nan, ranked["p_given"])
    found = summarise(suspicion, suggested, train.given, p_given, p_trusted)
    context.run.update(summary=found)


def _write_planted(context: Context, suggested: np.ndarray) -> None:
    """Tables of the planted samples, where there are any; `suggested` (Q,) are class indices."""
    if not len(suggested):
        return
    steps, count = context.saved_steps(), len(context.train)
    influence = [scores_at(context, number)["influence"][count:] for number in range(len(steps))]
    table = {"step": pa.array(steps, pa.int32()), "influence": _list_per_step(influence)}
    context.run.write_table("planted_trajectory.parquet", pa.table(table))
    names = np.array(context.classes, dtype=object)
    table = {"suggested_label": pa.array(names[suggested], pa.string())}
    context.run.write_table("planted_suggestions.parquet", pa.table(table))


def _of_training(context: Context, number: int) -> dict[str, np.ndarray]:
    """`influence` and `loss` (N,) at a saved step, without the planted samples."""
    arrays = scores_at(context, number)
    return {name: arrays[name][: len(context.train)] for name in ("influence", "loss")}


def _alternatives(ranked: dict[str, np.ndarray], names: np.ndarray, shown: np.ndarray) -> pa.ListArray:
    labels = ranked["label"]
    there = (labels >= 0) & shown[:, None]
    offsets = np.concatenate([[0], np.cumsum(there.sum(1))]).astype(np.int32)
    inner = pa.StructArray.from_arrays(
        [
            pa.array(names[labels[there]], pa.string()),
            pa.array(ranked["influence"][there], from_pandas=True),
            pa.array(ranked["probability"][there]),
        ],
        ["label", "influence", "probability"],
    )
    return pa.ListArray.from_arrays(pa.array(offsets), inner)


def _list_per_step(values: list[np.ndarray]) -> pa.LargeListArray:
    rows = len(values[0])
    offsets = np.arange(len(values) + 1, dtype=np.int64) * rows
    return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(np.concatenate(values)))
