"""The score that the review ranks by."""

import numpy as np
import pytest

from fvm_core.comparison.choice import OWN, choose, chosen, read_scores, stamp
from fvm_core.comparison.results import read_result
from fvm_core.errors import SaltflatError
from fvm_core.review.decisions import Decision, DecisionStore
from fvm_core.review.export import export_table
from tests.comparison.cases import copied


def test_the_runs_own_until_another_is_chosen(finished_run, tmp_path, workspace):
    run = copied(finished_run, tmp_path)
    (run.path / "choice.json").unlink()  # as in runs from before they chose
    assert chosen(run) == OWN
    assert read_scores(run).equals(run.scores)
    before = stamp(run)
    choose(run, "tuned_loss")
    assert chosen(run) == "tuned_loss" and stamp(run) != before
    found = read_scores(run)
    loss = read_result(run.path, "tuned_loss")["suspicion"]
    assert (found["suspicion"] == loss).all()
    assert np.allclose(found["percentile"], 100 * (loss.rank() - 1) / len(loss))
    # Everything else is the run's.
    for name in ("influence", "suggested_label", "suggested_influence", "loss"):
        assert found[name].equals(run.scores[name])


def test_export_accepts_by_the_chosen_score(finished_run, tmp_path, workspace):
    run, store = copied(finished_run, tmp_path), DecisionStore(workspace.database)
    first = run.scores["id"][0]
    store.record(run.id, [Decision(0, first, "exclude", old_label="x")], "me")
    choose(run, "loss")
    table = export_table(run, store, accept_above=90)
    found = read_scores(run)
    assert table["percentile"].equals(found["percentile"])
    changed = found["suggested_label"] != found["given_label"]
    wanted = (found["percentile"] > 90) & changed
    wanted[0] = False
    assert ((table["status"] == "auto_relabelled") == wanted).all()
    assert table["status"][0] == "excluded"


def test_scores_that_are_not_there_are_told(finished_run, tmp_path):
    run = copied(finished_run, tmp_path)
    with pytest.raises(SaltflatError, match="no score `gex`; it has: fvm"):
        choose(run, "gex")
    (run.path / "choice.json").write_text("{")
    with pytest.raises(SaltflatError, match=r"choice\.json is damaged"):
        chosen(run)
    (run.path / "choice.json").write_text('{"score": "gone"}')
    assert chosen(run) == OWN
