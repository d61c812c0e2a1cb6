import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from fvm_core import database
from fvm_core.errors import SaltflatError
from fvm_core.review.decisions import STATE_OF_ACTION, Decision, DecisionStore
from tests.review.cases import AWKWARD, undo_last

RUN = "run-1"


@pytest.fixture
def address(database_address) -> str:
    return database_address


@pytest.fixture
def store(address) -> DecisionStore:
    return DecisionStore(address)


def one(row: int, action: str = "keep", label: str | None = None, **more) -> Decision:
    return Decision(row, f"s{row}", action, old_label="old", new_label=label, **more)


def states(store: DecisionStore, run: str = RUN) -> dict[int, str]:
    return store.state(run)["state"].to_dict()


def test_the_last_decision_on_a_sample_counts(store):
    actions = ["keep", "relabel", "exclude", "unsure"]
    for row, action in enumerate(actions):
        store.record(RUN, [one(row, "exclude"), one(row, action, "new")], "ana")
    assert states(store) == {0: "kept", 1: "relabelled", 2: "excluded", 3: "unsure"}
    assert store.state(RUN)["new_label"].tolist()[1] == "new"
    assert store.state(RUN)["new_label"].isna().tolist() == [True, False, True, True]
    store.record(RUN, [one(1, "clear")], "bo")
    assert states(store) == {0: "kept", 2: "excluded", 3: "unsure"}
    assert store.counts(RUN) == {"relabelled": 0, "kept": 1, "excluded": 1, "unsure": 1}


def test_runs_do_not_see_each_other(store):
    store.record(RUN, [one(0, key="same")], "ana")
    assert store.record("run-2", [one(5, key="same")], "ana") == 1
    assert (states(store), states(store, "run-2")) == ({0: "kept"}, {5: "kept"})
    undo_last(store, "run-2")
    assert (states(store), states(store, "run-2")) == ({0: "kept"}, {})


def test_the_same_key_is_recorded_once(store):
    first = [one(0, key="a"), one(1, key="b"), one(1, "exclude", key="b")]
    assert store.record(RUN, first, "ana") == 2
    assert store.record(RUN, [one(0, "exclude", key="a"), one(2, key="c")], "ana") == 1
    assert states(store) == {0: "kept", 1: "kept", 2: "kept"}
    assert len(store.audit(RUN)) == 3
    assert store.record(RUN, [], "ana") == 0


@pytest.mark.parametrize(
    "wrong",
    [one(1, "delete"), one(1, "undo"), one(1, ""), one(1, "relabel"), one(1, "relabel", "caf\udce9")],
)
def test_a_wrong_decision_writes_nothing(store, wrong):
    with pytest.raises(SaltflatError, match="'s1'"):
        store.record(RUN, [one(0), wrong, one(2)], "ana")
    assert len(store.audit(RUN)) == 0
    assert store.revision(RUN) == 0


def test_a_new_label_is_kept_only_for_relabelling(store):
    store.record(RUN, [one(0, "keep", "new")], "ana")
    assert store.audit(RUN)["new_label"].isna().all()


def test_undo_goes_back_one_by_one_and_to_the_decision_before(store):
    store.record(RUN, [one(0, "relabel", "new", score=2.5, rank=1)], "ana")
    store.record(RUN, [one(0, "exclude")], "ana")
    assert store.undoable(RUN, "ana")[0].action == "exclude"
    assert undo_last(store, RUN) == [0]
    assert states(store) == {0: "relabelled"}
    assert store.undoable(RUN, "ana")[0].new_label == "new"
    assert undo_last(store, RUN) == [0]
    assert states(store) == {}
    assert undo_last(store, RUN) == []
    audit = store.audit(RUN)
    assert audit["action"].tolist() == ["relabel", "exclude", "undo", "undo"]
    assert audit["undoes"].tolist()[2:] == [2, 1]
    last = audit.iloc[3]
    assert (last["old_label"], last["new_label"], last["score"], last["rank"]) == ("new", "old", 2.5, 1)


def test_a_batch_is_undone_together(store):
    store.record(RUN, [one(0)], "ana")
    store.record(RUN, [one(row, "exclude", batch="all") for row in range(1, 5)], "ana")
    assert undo_last(store, RUN) == [1, 2, 3, 4]
    assert states(store) == {0: "kept"}
    assert undo_last(store, RUN) == [0]


def test_undo_takes_back_only_what_the_same_reviewer_did(store):
    store.record(RUN, [one(0), one(1)], "ana")
    store.record(RUN, [one(1, "exclude"), one(2)], "bo")
    assert undo_last(store, RUN) == [0]  # that on sample 1 is not what stands there
    assert states(store) == {1: "excluded", 2: "kept"}
    assert undo_last(store, RUN) == []
    assert undo_last(store, RUN, "bo") == [2]


def test_a_decision_after_an_undo_counts_again(store):
    store.record(RUN, [one(0, "keep")], "ana")
    undo_last(store, RUN)
    store.record(RUN, [one(0, "unsure")], "ana")
    assert states(store) == {0: "unsure"}


def test_everything_is_there_after_the_database_was_opened_again(store, address):
    store.record(RUN, [one(0), one(1, "exclude")], "ana")
    undo_last(store, RUN)
    revision = store.revision(RUN)
    database.connect(address).dispose()
    database._opened.cache_clear()
    again = DecisionStore(address)
    assert again.revision(RUN) == revision
    assert states(again) == {0: "kept"}
    assert undo_last(again, RUN) == [0]
    assert states(store) == {}


def test_the_revision_grows_with_every_event_of_the_run(store):
    seen = [store.revision(RUN)]
    store.record(RUN, [one(0)], "ana")
    seen.append(store.revision(RUN))
    store.record("run-2", [one(0)], "ana")
    assert store.revision(RUN) == seen[-1]
    undo_last(store, RUN)
    seen.append(store.revision(RUN))
    assert seen[0] == 0
    assert seen == sorted(set(seen))


def test_texts_come_back_as_they_were(store):
    decisions = [Decision(row, text, "relabel", text, text) for row, text in enumerate(AWKWARD)]
    store.record(RUN, decisions, AWKWARD[-1])
    state, audit = store.state(RUN), store.audit(RUN)
    for column in (state["sample"], state["new_label"], audit["old_label"], audit["new_label"]):
        assert column.tolist() == AWKWARD
    assert set(state["reviewer"]) == {AWKWARD[-1]}


def test_numbers_may_be_those_of_numpy(store):
    decision = one(np.int64(3), score=np.float32(0.5), rank=np.int64(2))
    store.record(RUN, [decision, one(4, score=np.float64("nan"))], "ana")
    audit = store.audit(RUN)
    assert audit["row"].tolist() == [3, 4]
    assert audit["score"].tolist()[0] == 0.5
    assert audit["rank"].tolist()[0] == 2
    assert audit["score"].isna().tolist() == [False, True]


def test_ten_thousand_decisions_at_once(store):
    actions = [action for action in STATE_OF_ACTION if action != "clear"]
    decisions = [one(row, actions[row % 4], "new", key=f"k{row}", batch="all") for row in range(10_000)]
    assert store.record(RUN, decisions, "ana") == 10_000
    assert store.record(RUN, decisions, "ana") == 0
    assert set(store.counts(RUN).values()) == {2_500}
    assert len(undo_last(store, RUN)) == 10_000
    assert states(store) == {}


_WRITER = """
import sys
from tests.review.test_decisions import write_many
print("ready", flush=True)
sys.stdin.readline()
write_many(sys.argv[1], 2)
"""


def write_many(address: str, who: int) -> None:
    """Own decisions, and between them some with keys that the other process uses as well."""
    store = DecisionStore(address)
    for number in range(40):
        store.record(RUN, [one(who * 1000 + number), one(number, key=f"k{number}")], "ana")


def test_two_processes_that_write_at_once_lose_nothing(store, address):
    other = subprocess.Popen(
        [sys.executable, "-c", _WRITER, address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert other.stdout.readline() == "ready\n"
    other.stdin.write("go\n")
    other.stdin.flush()
    write_many(address, 1)
    _, error = other.communicate(timeout=60)
    assert (other.returncode, error) == (0, "")
    rows = [*range(40), *range(1000, 1040), *range(2000, 2040)]
    assert store.state(RUN).index.tolist() == rows
    assert len(store.audit(RUN)) == len(rows)


def test_threads_that_write_at_once_lose_nothing_and_undo_each_command_once(store):
    def record(row: int) -> int:
        return store.record(RUN, [one(row, key=f"k{row // 2}")], "ana")

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(record, range(60))) == 30
        keys = [event.key for event in store.undoable(RUN, "ana", limit=15)] * 2
        outcomes = list(pool.map(lambda key: store.undo(RUN, key, "ana"), keys))
    assert sum(outcome.done for outcome in outcomes) == 15
    assert {outcome.refusal for outcome in outcomes} == {None, "The decision has been taken back already."}
    assert len(states(store)) == 15
