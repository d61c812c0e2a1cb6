"""Measure a run against true labels, where they are known."""

from __future__ import annotations

import pandas as pd

from fvm_core.atomic import write_json
from fvm_core.errors import SaltflatError
from fvm_core.metrics import detection, relabelling
from fvm_core.runs import checksums, metrics_json
from fvm_core.runs.run_folder import RunFolder


def evaluate(run: RunFolder) -> dict:
    """Detection and relabelling figures as fractions; also written to `metrics.json`.

    `roc_auc` and `average_precision` are those of the suspicion, `relabel_accuracy_all` and
    `relabel_accuracy_mislabelled` the share of suggestions that are the true label. `baselines` holds the
    same detection figures for the loss under θ* (`loss_trained`), the loss under θ̃ (`loss_tuned`) and
    the influence at step 0 (`influence_trained`). Only samples with a given and a true label that are
    ranked count.

    Raises:
        SaltflatError: the run has no true labels, or none of them is known.
    """
    scores = run.scores
    if "true_label" not in scores:
        raise SaltflatError(
            f"{run.name} has no true labels to compare with. Name their column with --true-label-column "
            f"when you start a run."
        )
    labelled = scores["true_label"].notna() & scores["given_label"].notna()
    known = labelled.to_numpy() & ~labelled.index.isin(run.unscored().index)
    if not known.any():
        raise SaltflatError(f"{run.name} has no sample of which both the given and the true label are known.")
    codes = pd.Index(run.info["classes"])
    given, true, suggested = (
        codes.get_indexer(scores.loc[known, column])
        for column in ("given_label", "true_label", "suggested_label")
    )
    wrong = given != true
    _steps, influence = run.trajectory()
    baselines = {
        "loss_trained": scores["loss_before"].to_numpy(),
        "loss_tuned": scores["loss"].to_numpy(),
        "influence_trained": influence[0],
    }
    found = {
        **detection(scores["suspicion"].to_numpy()[known], wrong),
        **relabelling(suggested, given, true),
        "samples": int(known.sum()),
        "wrong_labels": int(wrong.sum()),
        "baselines": {name: detection(values[known], wrong) for name, values in baselines.items()},
    }
    write_json(run.path / metrics_json.FILE, found)
    checksums.renew(run.path, metrics_json.FILE)
    return found
