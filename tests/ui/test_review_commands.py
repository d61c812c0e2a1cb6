import pytest

from fvm_core.errors import SaltflatError
from fvm_core.review.decisions import DecisionStore
from fvm_core.review.queue import ReviewTable
from tests.ui import runs
from ui.review_commands import Reviewer


@pytest.fixture
def person(workspace):
    run = runs.finished_run(workspace, limit=60)
    scores = run.scores
    table = ReviewTable.from_scores(scores, run.info["classes"])
    store = DecisionStore(workspace.database)
    return Reviewer("ana", "session", run.id, table, scores["id"].tolist(), store, set())


def decide(key, row, action="keep", label=None):
    item = {"row": row, "action": action, "label": label}
    return {"key": key, "session": "session", "items": [item], "undo": False, "target": ""}


def undo(key, target="", session="session"):
    return {"key": key, "session": session, "items": [], "undo": True, "target": target}


def states(person):
    return person.store.state(person.run)["state"].to_dict()


def test_a_list_that_comes_again_changes_nothing(person):
    sent = [decide("a", 1), decide("b", 2, "relabel", "7"), undo("c", "b")]
    assert person.carry_out(sent) == ["a", "b", "c"]
    assert person.carry_out([*sent, decide("d", 3, "exclude")]) == ["a", "b", "c", "d"]
    assert states(person) == {1: "kept", 3: "excluded"}


def test_after_a_restart_an_undo_is_not_repeated(person):
    sent = [decide("a", 1), decide("b", 2), undo("c", "b")]
    person.carry_out(sent)
    again = Reviewer("ana", "another", person.run, person.table, person.ids, person.store, set())
    again.carry_out([*sent, undo("e")])
    assert states(person) == {1: "kept"}


def test_after_a_restart_an_undo_that_was_lost_is_made(person):
    person.carry_out([decide("a", 1), decide("b", 2)])
    again = Reviewer("ana", "another", person.run, person.table, person.ids, person.store, set())
    again.carry_out([decide("a", 1), decide("b", 2), undo("c", "b")])
    assert states(person) == {1: "kept"}


def test_the_audit_knows_score_rank_and_labels(person):
    person.carry_out([decide("a", 5, "relabel", "7")])
    event = person.store.audit(person.run).iloc[0]
    assert event["old_label"] == person.table.classes[person.table.given[5]]
    assert event["new_label"] == "7"
    assert event["score"] == pytest.approx(person.table.suspicion[5])
    assert event["rank"] == person.table.rank[5]
    assert event["sample"] == person.ids[5]


@pytest.mark.parametrize(
    "command",
    [
        decide("a", 99_999),
        decide("a", -1),
        decide("a", "1"),
        decide("a", 1, "delete"),
        decide("a", 1, "relabel", "no such label"),
        decide("", 1),
        decide("k" * 99, 1),
    ],
)
def test_what_does_not_fit_is_refused(person, command):
    with pytest.raises(SaltflatError, match="Reload"):
        person.carry_out([command])
    assert states(person) == {}
