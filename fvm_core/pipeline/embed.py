"""Stage: a two-dimensional map of the penultimate features, by UMAP."""

from __future__ import annotations

import importlib.util
import warnings

import numpy as np
import pyarrow as pa
from sklearn.decomposition import PCA

from fvm_core.models.penultimate import penultimate
from fvm_core.pipeline.context import Context, step_name

BATCH = 256
COMPONENTS = 50
FIT_ROWS = 50_000
"""UMAP is fitted to at most this many samples; the others are placed by its transform."""
LEAST_ROWS = 10


def embed(context: Context) -> dict:
    """Writes `embedding.parquet` with `x, y`, NaN for rows without an image.

    Features come from the tuned model; a PCA to 50 dimensions stands before UMAP.
    """
    rows = np.flatnonzero(context.train_inputs.readable)
    reason = _why_not(context, len(rows))
    if reason:
        context.progress.log(reason)
        return {"state": "skipped", "reason": reason}
    reduced = _reduced_features(context, rows)
    context.progress.log(f"Placing {len(rows):,} samples on the map.")
    import umap

    seed = context.config.seed
    chosen = np.sort(np.random.default_rng([seed, 3]).permutation(len(rows))[:FIT_ROWS])
    placed = np.empty((len(rows), 2), dtype=np.float32)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*n_jobs.*")
            warnings.filterwarnings("ignore", category=UserWarning, module="umap")
            mapper = umap.UMAP(n_neighbors=min(15, len(chosen) - 1), random_state=seed, n_jobs=1)
            placed[chosen] = mapper.fit_transform(reduced[chosen])
            rest = np.setdiff1d(np.arange(len(rows)), chosen)
            if len(rest):
                placed[rest] = mapper.transform(reduced[rest])
    except (ValueError, TypeError, ArithmeticError, np.linalg.LinAlgError) as error:
        # The map is made without having been asked for, and all scores are there.
        reason = f"The map was left out: UMAP could not place these samples ({error})."
        context.progress.log(reason)
        return {"state": "skipped", "reason": reason}
    found = np.full((len(context.train), 2), np.nan, dtype=np.float32)
    found[rows] = placed
    context.run.write_table("embedding.parquet", pa.table({"x": found[:, 0], "y": found[:, 1]}))
    context.progress.update("embed", len(rows), len(rows))
    return {}


def _why_not(context: Context, rows: int) -> str:
    if not context.config.embed:
        return "The map was switched off in the settings."
    if importlib.util.find_spec("umap") is None:
        return "The map was left out: umap-learn is not installed."
    if rows < LEAST_ROWS:
        return f"The map was left out: it needs at least {LEAST_ROWS} images."
    return ""


def _reduced_features(context: Context, rows: np.ndarray) -> np.ndarray:
    """(rows, ≤ 50) features of the tuned model, projected by a PCA that is fitted to a part of them."""
    model = context.model_at(step_name(context.saved_steps()[-1]))

    def features(part: np.ndarray) -> np.ndarray:
        return penultimate(model, context.train_inputs.images(part)).float().cpu().numpy()

    some = np.sort(np.random.default_rng([context.config.seed, 4]).permutation(rows)[:10_000])
    sample = np.concatenate([features(some[i : i + BATCH]) for i in range(0, len(some), BATCH)])
    pca = PCA(min(COMPONENTS, *sample.shape), random_state=context.config.seed).fit(sample)
    parts = []
    for start in range(0, len(rows), BATCH):
        # UMAP itself tells nothing while it works, so its part is not counted.
        context.progress.update("embed", start // 2, len(rows))
        parts.append(pca.transform(features(rows[start : start + BATCH])))
    return np.concatenate(parts).astype(np.float32)
