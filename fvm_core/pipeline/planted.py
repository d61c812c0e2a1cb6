"""Planted flips: clean validation samples in the role of wrong labels, to measure scores without truth."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch.nn.functional as F
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from fvm_core.errors import SaltflatError
from fvm_core.pipeline.context import Context
from fvm_core.pipeline.inputs import Features, OneSet, WithPlanted

FILE = "planted.parquet"
_SIDE, _COMPONENTS, _NEIGHBOURS = 16, 50, 10
_MOST = 10_000
"""Training samples whose labels the confusion is estimated from."""
_STREAM = 5
"""Keeps these random numbers apart from those of the stages."""
LEAST = 4
"""Samples with which planting makes sense."""


def holds(share: float, labels: np.ndarray) -> bool:
    """Whether a share of a validation set with these labels (M,) leaves enough samples to plant."""
    usable = np.flatnonzero(labels >= 0)
    held = len(_held_back(usable, labels, round(share * len(usable))))
    return held >= LEAST and len(usable) - held >= 2


def check_share(share: float, labels: np.ndarray) -> None:
    """Raise `SaltflatError` if a share that somebody has set (0 for none) does not hold."""
    if share and not holds(share, labels):
        raise SaltflatError(_too_few(share, labels[labels >= 0]))


def plant(context: Context) -> dict | None:
    """Hold back a share of the validation set, give half of it wrong labels, and write `planted.parquet`.

    The wrong labels are drawn from the confusion that the training labels show (`class_confusion`). Every
    class keeps at least one sample to tune on. The samples are trained on and scored like training
    samples, but belong to no table that is reviewed or exported.

    Returns:
        `samples`, `wrong`, and `in_training`: whether θ* learns them; None where none are asked for.

    Raises:
        SaltflatError: the share asked for is less than four samples, or all of the validation set.
    """
    # An attempt that was stopped late has planted already; those samples are no others' now.
    (context.run.path / FILE).unlink(missing_ok=True)
    share = context.config.compare.planted or 0.0
    if share == 0:
        return None
    rng = np.random.default_rng([context.config.seed, _STREAM])
    usable = context.val_inputs.usable()
    labels = context.val.given
    rows = _held_back(rng.permutation(usable), labels, round(share * len(usable)))
    check_share(share, labels[usable])
    wrong = np.zeros(len(rows), dtype=bool)
    wrong[: len(rows) // 2] = True
    confusion = _confusion(context, np.setdiff1d(usable, rows))
    given = labels[rows].copy()
    for place in np.flatnonzero(wrong):
        given[place] = rng.choice(len(context.classes), p=confusion[given[place]])
    order = np.argsort(rows)
    rows, wrong, given = rows[order], wrong[order], given[order]
    names = np.array(context.classes, dtype=object)
    table = {
        "row": pa.array(rows, pa.int32()),
        "id": pa.array([context.val.ids[row] for row in rows], pa.string()),
        "true_label": pa.array(names[labels[rows]], pa.string()),
        "planted_label": pa.array(names[given], pa.string()),
        "wrong": pa.array(wrong),
    }
    context.run.write_table(FILE, pa.table(table))
    learnt = context.config.train.epochs > 0
    return {"samples": len(rows), "wrong": int(wrong.sum()), "in_training": learnt}


def hold_back_planted(context: Context) -> None:
    """Move the planted samples from the validation set to the rated ones."""
    rows, labels = planted_rows(context)
    context.rated = context.train_inputs
    if len(rows):
        context.val_inputs.hold_back(rows)
        context.rated = WithPlanted(context.train_inputs, context.val_inputs, rows, labels)


def planted_rows(context: Context) -> tuple[np.ndarray, np.ndarray]:
    """Rows (Q,) of the validation set and the labels (Q,) that they play; empty where none are planted."""
    path = context.run.path / FILE
    if not path.exists():
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    table = pq.read_table(path)
    codes = {name: code for code, name in enumerate(context.classes)}
    labels = [codes[name] for name in table.column("planted_label").to_pylist()]
    return table.column("row").to_numpy().astype(np.int64), np.array(labels, dtype=np.int64)


def class_confusion(
    features: np.ndarray,
    given: np.ndarray,
    trusted_features: np.ndarray,
    trusted: np.ndarray,
    classes: int,
) -> np.ndarray:
    """(K, K) probability of each wrong label by class; the diagonal is 0, rows sum to 1.

    Samples are sorted by what their nearest trusted neighbours are. Among those that look like class i,
    label j is in excess where it comes more often than among trusted samples that look like i: only the
    excess counts, so that classes which look alike are not taken for ones that are mislabelled. One
    sample's worth of chance is spread over all labels.

    Args:
        features: (N, d).
        given: (N,) labels.
        trusted_features: (M, d), M ≥ 2.
        trusted: (M,) labels that are right.
        classes: K ≥ 2.
    """
    count = min(_NEIGHBOURS, len(trusted) - 1)
    neighbours = NearestNeighbors(n_neighbors=count).fit(trusted_features)
    looks = _vote(trusted[neighbours.kneighbors(features, return_distance=False)], classes)
    # Without arguments kneighbors leaves each sample out of its own neighbours.
    trusted_looks = _vote(trusted[neighbours.kneighbors(return_distance=False)], classes)
    seen, usual = _counts(looks, given, classes), _counts(trusted_looks, trusted, classes)
    number = seen.sum(1, keepdims=True)
    share = usual / np.maximum(usual.sum(1, keepdims=True), 1)
    excess = np.maximum(seen - number * share, 0.0)
    np.fill_diagonal(excess, 0.0)
    chance = (1 - np.eye(classes)) / (classes - 1)
    found = excess + chance
    return found / found.sum(1, keepdims=True)


def _held_back(rows: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """The first `count` rows whose class has another one left."""
    left = np.bincount(labels[rows])
    chosen = []
    for row in rows:
        if len(chosen) == count:
            break
        if left[labels[row]] > 1:
            left[labels[row]] -= 1
            chosen.append(row)
    return np.array(chosen, dtype=np.int64)


def _too_few(share: float, labels: np.ndarray) -> str:
    count = round(share * len(labels))
    possible = len(_held_back(np.arange(len(labels)), labels, len(labels)))
    why = (
        f"that share is {count} of {len(labels):,} validation samples"
        if count < LEAST
        else f"every class keeps a validation sample to tune on, which leaves {possible} of {len(labels):,}"
    )
    return (
        f"Setting `compare.planted` is {share:g}: {why}, and at least {LEAST} are needed to plant. Use "
        f"{'a larger share' if possible >= LEAST else 'more validation samples of each class'}, or 0."
    )


def _confusion(context: Context, trusted: np.ndarray) -> np.ndarray:
    rows = context.train_inputs.usable()
    rng = np.random.default_rng([context.config.seed, _STREAM, 1])
    rows = np.sort(rng.permutation(rows)[:_MOST])
    found = [
        _small(inputs, part) for inputs, part in ((context.train_inputs, rows), (context.val_inputs, trusted))
    ]
    pca = PCA(min(_COMPONENTS, *found[0].shape), random_state=0).fit(found[0])
    features, trusted_features = (pca.transform(values) for values in found)
    classes = len(context.classes)
    return class_confusion(
        features, context.train.given[rows], trusted_features, context.val.given[trusted], classes
    )


def _small(inputs: OneSet, rows: np.ndarray) -> np.ndarray:
    """(rows, features): those of the run, else pixels averaged to at most 16 × 16."""
    parts = []
    for start in range(0, len(rows), 256):
        images = inputs.images(rows[start : start + 256])
        if isinstance(inputs, Features):
            parts.append(images.flatten(1).cpu().numpy())
            continue
        side = min(_SIDE, images.shape[-1])
        parts.append(F.adaptive_avg_pool2d(images, side).flatten(1).cpu().numpy())
    return np.concatenate(parts)


def _vote(labels: np.ndarray, classes: int) -> np.ndarray:
    """(n,) the most frequent of each row's labels (n, neighbours)."""
    votes = np.zeros((len(labels), classes), dtype=np.int32)
    for column in labels.T:
        votes[np.arange(len(labels)), column] += 1
    return votes.argmax(1)


def _counts(looks: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    return np.bincount(looks * classes + labels, minlength=classes**2).reshape(classes, classes).astype(float)
