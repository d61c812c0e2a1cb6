import sqlite3

import pytest

from fvm_core.database import connect
from fvm_core.errors import SaltflatError
from fvm_core.review import consistency
from fvm_core.review.decisions import Decision, DecisionStore

RUN = "run-1"


@pytest.fixture
def store(database_address):
    found = DecisionStore(database_address)
    found.record(RUN, [Decision(row, f"s{row}", "keep", key=f"k{row}", batch="a") for row in range(5)], "ana")
    found.carry_out(RUN, "b", [Decision(0, "s0", "relabel", "x", "y")], ["a"], "bo")
    found.carry_out(RUN, "c", [Decision(1, "s1", "exclude")], ["a"], "bo")
    found.undo(RUN, "c", "bo")
    found.carry_out(RUN, "d", [Decision(9, "s9", "unsure")], [""], "bo")
    found.undo(RUN, "d", "bo")
    return found


def test_a_sound_database(store, database_address):
    assert [right for right, _ in consistency.findings(database_address)] == [True]
    assert consistency.rebuild(database_address) == 0


HARMS = [
    'DELETE FROM decision_state WHERE "row" = 1',
    "UPDATE decision_state SET state = 'excluded' WHERE \"row\" = 2",
    "UPDATE decision_state SET version = 'other' WHERE \"row\" = 9",
    'UPDATE decision_state SET new_label = NULL WHERE "row" = 0',
    'INSERT INTO decision_state (run, "row", sample, state, reviewer, at, version) '
    "VALUES ('ghost', 1, 's', 'kept', 'x', 1.0, 'v')",
]


@pytest.mark.fault("the kept states differ from the events")
@pytest.mark.parametrize("harm", HARMS)
def test_states_that_differ_from_the_events_are_told_and_mended(store, database_address, harm):
    before = store.state(RUN), store.versions(RUN)
    with connect(database_address).begin() as connection:
        connection.exec_driver_sql(harm)
    (right, sentence), *_ = consistency.findings(database_address)
    assert not right
    assert "1 samples have another state" in sentence
    assert consistency.rebuild(database_address) == 1
    assert [right for right, _ in consistency.findings(database_address)] == [True]
    assert store.state(RUN).equals(before[0])
    assert store.versions(RUN) == before[1]


def test_a_damaged_file_is_told(tmp_path):
    file = tmp_path / "saltflat.db"
    store = DecisionStore(f"sqlite:///{file}")
    store.record(RUN, [Decision(row, f"s{row}" * 50, "keep") for row in range(400)], "ana")
    connect(f"sqlite:///{file}").dispose()
    with sqlite3.connect(file) as alone:
        alone.execute("PRAGMA journal_mode=DELETE")
    data = bytearray(file.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4096] = b"\xff" * 4096
    file.write_bytes(data)
    try:
        found = list(consistency.findings(f"sqlite:///{file}"))
    except SaltflatError as error:
        assert "malformed" in str(error)
    else:
        assert found[0][0] is False
        assert "damaged" in found[0][1]
