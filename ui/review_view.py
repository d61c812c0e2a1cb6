"""What the review shows of a run and what its commands are checked against."""

from __future__ import annotations

from collections.abc import Sequence

from fvm_core.comparison import choice
from fvm_core.estimators import registry
from fvm_core.review.commands import RunView
from fvm_core.review.decisions import DecisionStore
from fvm_core.runs.run_folder import RunFolder
from ui import results


def view(run: RunFolder) -> RunView:
    """The run with its scores; these are kept by the server, so this costs nothing twice."""
    return RunView(run.id, data_of(run), ranking_of(run), results.table(run), results.ids(run))


def data_of(run: RunFolder) -> str:
    """Fingerprint of the training data; empty for a run that does not know it."""
    train = run.info.get("data", {}).get("train")
    return train.get("fingerprint", "") if isinstance(train, dict) else ""


def ranking_of(run: RunFolder) -> str:
    """Names the scores and the choice among them."""
    return str(results.version(run))


def states(run_id: str, rows: Sequence[int], store: DecisionStore) -> dict:
    """The states of some rows for the browser: `revision`, and `states` by row number as text.

    A state is `[state, new label, reviewer, version]`; rows that nobody has touched are absent.
    """
    revision, found = store.states_of(run_id, rows)
    return {
        "revision": revision,
        "states": {
            str(row): [now.state, now.new_label, now.reviewer, now.version] for row, now in found.items()
        },
    }


def why_of(run: RunFolder) -> str:
    """What a percentile of the suspicion says of a sample, as the end of a sentence."""
    name = choice.chosen(run)
    share = "the labels of that share of all samples"
    if name == choice.OWN:
        return f"the label works against the images you trust more than {share} do."
    if "cross_fitted" in _needs(name):
        return f"models that have not learnt this label doubt it more than {share}."
    title = choice.scores_of(run)[name]
    return f"by the score “{title}” the label is more doubtful than those of that share of all samples."


def _needs(name: str) -> frozenset[str]:
    kind = registry.built_in().get(name)
    return kind.needs if kind else frozenset()
