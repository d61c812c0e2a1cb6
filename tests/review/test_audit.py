import numpy as np
import pandas as pd
import pytest

from fvm_core.review.audit import audit_table, iso_times, write_audit
from tests.review.cases import AWKWARD, decide, scored_run, store_at, undo_last

COLUMNS = [
    "event",
    "at",
    "reviewer",
    "row",
    "id",
    "action",
    "old_label",
    "new_label",
    "score",
    "rank",
    "undoes",
]


def test_every_event_with_who_when_and_what(tmp_path):
    run, store = scored_run(tmp_path / "run", ["a", None, "c"], ["b"] * 3), store_at(tmp_path)
    decide(store, run, 2, "relabel", "b", who="ana")
    decide(store, run, 1, "exclude", who="bo")
    undo_last(store, run.id, "ana")
    store.record("another run", [], "ana")
    table = audit_table(run, store)
    assert list(table.columns) == COLUMNS
    assert table["event"].tolist() == [1, 2, 3]
    assert table["reviewer"].tolist() == ["ana", "bo", "ana"]
    assert table["row"].tolist() == [2, 1, 2]
    assert table["id"].tolist() == ["s2", "s1", "s2"]
    assert table["action"].tolist() == ["relabel", "exclude", "undo"]
    assert table["old_label"].tolist() == ["c", "", "b"]
    assert table["new_label"].tolist() == ["b", "", "c"]
    np.testing.assert_allclose(table["score"], [2 / 7, 1 / 7, 2 / 7], rtol=1e-6)
    assert table["rank"].tolist() == [1, 2, 1]
    assert table["undoes"].tolist() == [pd.NA, pd.NA, 1]
    times = pd.to_datetime(table["at"])
    assert times.is_monotonic_increasing
    assert str(times.dt.tz) == "UTC"


def test_the_file_holds_the_same(tmp_path):
    run, store = scored_run(tmp_path / "run", AWKWARD, AWKWARD, ids=AWKWARD), store_at(tmp_path)
    for row, label in enumerate(AWKWARD):
        decide(store, run, row, "relabel", label, who=label)
    undo_last(store, run.id, AWKWARD[-1])
    table = audit_table(run, store)
    path = write_audit(table, tmp_path / "clean.audit.csv")
    read = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert list(read.columns) == COLUMNS
    for name in ("at", "reviewer", "id", "action", "old_label", "new_label"):
        assert read[name].tolist() == table[name].tolist()
    assert [float(value) for value in read["score"]] == table["score"].tolist()
    assert read["undoes"].tolist() == [""] * len(AWKWARD) + [str(len(AWKWARD))]


def test_without_events_there_are_no_rows(tmp_path):
    run = scored_run(tmp_path / "run", ["a"], ["b"])
    table = audit_table(run, store_at(tmp_path))
    assert (list(table.columns), len(table)) == (COLUMNS, 0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "1970-01-01T00:00:00.000000Z"), (1783255696.789012, "2026-07-05T12:48:16.789012Z")],
)
def test_times_are_iso_8601_in_utc(seconds, text):
    assert iso_times(np.array([seconds])).tolist() == [text]
    assert pd.Timestamp(text).timestamp() == pytest.approx(seconds, abs=1e-6)
