"""Stage: cross-fitted probabilities of all samples and trusted images, written to the run folder."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow as pa
from scipy.special import log_softmax

from fvm_core.atomic import replacing
from fvm_core.comparison.calibration import temperature
from fvm_core.comparison.model_selection import averaged
from fvm_core.pipeline.context import Context
from fvm_core.pipeline.crossfit import Round, cross_fit
from fvm_core.pipeline.select import averaged_with

FOLDER = "crossfit"


def crossfit(context: Context) -> dict:
    """See `cross_fit`; where stage `select` found it better, averaged with another classifier's.

    Saves `crossfit/probabilities.npy` (N + Q, K) and `crossfit/trusted.npy` (M, K), both at the scale that
    fits the trusted images, and `crossfit/trusted.parquet` with `row` in the validation set and `label`.

    Returns:
        See `CrossFit.details`.
    """
    if not context.config.crossfit.rounds:
        return {"state": "skipped", "reason": "Cross-fitting is off: it trains a model for every fold."}
    fit = cross_fit(context)
    if fit is None:
        return {"state": "skipped", "reason": "Cross-fitting needs at least two trusted images."}
    trusted, best = fit.deal.trusted, fit.best
    labels = context.val_inputs.labels.numpy()[trusted]
    logits, on_trusted = best.logits, best.trusted
    if (beside := averaged_with(context)) is not None:
        other, share = beside
        second = cross_fit(other)
        assert second is not None  # it has the same trusted images
        logits, on_trusted = (
            averaged(first, more, share)
            for first, more in zip(_scaled(best, labels), _scaled(second.best, labels), strict=True)
        )
    _write(context, logits, on_trusted, trusted, labels)
    details = fit.details
    how = f"proximity {best.tuning.proximity:g} and {best.tuning.steps} tuning steps"
    context.progress.log(
        f"Cross-fitting keeps round {best.number} with {how if best.tuning.steps else 'no tuning'}: "
        f"{100 * best.accuracy:.1f} % of {len(trusted):,} trusted images right, each by a model without it."
    )
    return details


def _scaled(found: Round, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log probabilities of samples and trusted images at the scale that fits the trusted ones."""
    scale = temperature(found.trusted, labels)
    return log_softmax(scale * found.logits, axis=1), log_softmax(scale * found.trusted, axis=1)


def _write(
    context: Context, logits: np.ndarray, on_trusted: np.ndarray, trusted: np.ndarray, labels: np.ndarray
) -> None:
    folder = context.run.path / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    scale = temperature(on_trusted, labels)
    for name, values in (("probabilities", logits), ("trusted", on_trusted)):
        with replacing(folder / f"{name}.npy") as temporary:
            p = np.exp(log_softmax(scale * values, axis=1)).astype(np.float32)
            np.save(temporary, p, allow_pickle=False)
    table = {"row": pa.array(trusted, pa.int32()), "label": pa.array(labels, pa.int32())}
    context.run.write_table(f"{FOLDER}/trusted.parquet", pa.table(table))
