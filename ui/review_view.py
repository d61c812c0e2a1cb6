"""What the review shows of a run and what its commands are checked against."""

from __future__ import annotations

from collections.abc import Sequence

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
