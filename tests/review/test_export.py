import shutil
import time
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from fvm_core.errors import SaltflatError
from fvm_core.review.decisions import Decision, DecisionStore
from fvm_core.review.export import COLUMNS, ExportSummary, export, export_table, read_export
from fvm_core.runs.run_folder import RunFolder
from tests.review.cases import decide, scored_run, store_at, undo_last

GIVEN = ["cat", "dog", "cat", None, "dog", "cat"]
SUGGESTED = ["dog", "dog", "dog", "cat", "cat", "dog"]
PERCENTILE = np.array([60.0, 100.0, 80.0, np.nan, 20.0, 100.0])


@pytest.fixture
def place(tmp_path):
    run = scored_run(tmp_path / "run", GIVEN, SUGGESTED, percentile=PERCENTILE, name="first, try")
    return run, store_at(tmp_path)


def test_every_row_in_order_with_every_status(place):
    run, store = place
    before = time.time()
    decide(store, run, 0, "relabel", "bird")
    decide(store, run, 1, "keep")
    decide(store, run, 2, "exclude", who="bo")
    decide(store, run, 4, "unsure")
    table = export_table(run, store)
    assert list(table.columns) == list(COLUMNS)
    assert table["id"].tolist() == [f"s{row}" for row in range(6)]
    assert table["given_label"].tolist() == ["cat", "dog", "cat", "", "dog", "cat"]
    assert table["note"].tolist() == [""] * 6
    assert table["clean_label"].tolist() == ["bird", "dog", "cat", "", "dog", "cat"]
    assert table["status"].tolist() == [
        "relabelled",
        "kept",
        "excluded",
        "unreviewed",
        "unsure",
        "unreviewed",
    ]
    assert table["reviewer"].tolist() == ["ana", "ana", "bo", "", "ana", ""]
    assert table["run"].tolist() == ["first, try"] * 6
    assert table["decided_at"].iloc[3] == ""
    when = pd.Timestamp(table["decided_at"].iloc[0])
    assert str(when.tz) == "UTC"
    assert before - 0.001 <= when.timestamp() <= time.time()
    np.testing.assert_array_equal(table["percentile"], PERCENTILE)
    np.testing.assert_array_equal(
        table["influence"].to_numpy(np.float32), np.arange(6, dtype=np.float32) / 7, strict=True
    )
    assert not table.drop(columns=["influence", "percentile"]).isna().any(axis=None)


@pytest.mark.parametrize(
    ("above", "accepted"),
    [(None, []), (100, []), (99.9, [5]), (80, [5]), (79, [2, 5]), (59, [0, 2, 5]), (0, [0, 2, 4, 5])],
)
def test_suggestions_are_accepted_strictly_above_a_percentile(place, above, accepted):
    run, store = place
    table = export_table(run, store, accept_above=above)
    assert np.flatnonzero(table["status"] == "auto_relabelled").tolist() == accepted
    expected = [SUGGESTED[k] if k in accepted else GIVEN[k] or "" for k in range(6)]
    assert table["clean_label"].tolist() == expected
    assert set(table["reviewer"]) == set(table["decided_at"]) == {""}


def test_a_decision_wins_over_automatic_acceptance_until_it_is_undone(place):
    run, store = place
    for action in ("keep", "unsure", "exclude"):
        decide(store, run, 5, action)
        assert export_table(run, store, accept_above=0)["clean_label"].iloc[5] == "cat"
    for _ in range(3):
        undo_last(store, run.id, "ana")
    assert export_table(run, store, accept_above=0)["status"].iloc[5] == "auto_relabelled"
    decide(store, run, 5, "clear")
    assert export_table(run, store)["status"].iloc[5] == "unreviewed"


@pytest.mark.parametrize("above", [-1, 100.5, float("nan")])
def test_a_percentile_out_of_range_is_refused(place, above):
    with pytest.raises(SaltflatError, match="0 to 100"):
        export_table(*place, accept_above=above)


def test_decisions_only_keeps_the_row_numbers(place):
    run, store = place
    decide(store, run, 4, "keep")
    decide(store, run, 1, "relabel", "cat")
    table = export_table(run, store, decisions_only=True, accept_above=99)
    assert table.index.tolist() == [1, 4, 5]
    assert table["id"].tolist() == ["s1", "s4", "s5"]
    assert table["status"].tolist() == ["relabelled", "kept", "auto_relabelled"]
    assert len(export_table(run, store_at(run.path), decisions_only=True)) == 0


def test_relabelling_to_an_empty_or_new_label_counts(place):
    run, store = place
    decide(store, run, 0, "relabel", "")
    decide(store, run, 3, "relabel", "cat")
    table = export_table(run, store)
    assert table["clean_label"].tolist() == ["", "dog", "cat", "cat", "dog", "cat"]


@pytest.mark.parametrize(("row", "sample"), [(1, "s2"), (6, "s6"), (-1, "s5")])
def test_decisions_on_other_samples_are_refused(place, row, sample):
    run, store = place
    store.record(run.id, [Decision(row, sample, "keep")], "ana")
    with pytest.raises(SaltflatError, match=f"'{sample}'"):
        export_table(run, store)


def test_a_run_without_scores_says_so(tmp_path):
    run = scored_run(tmp_path / "run", ["a"], ["b"])
    (run.path / "scores.parquet").unlink()
    with pytest.raises(SaltflatError, match="Resume"):
        export_table(run, store_at(tmp_path))


def test_one_call_writes_table_and_audit(place, tmp_path):
    run, store = place
    decide(store, run, 0, "relabel", "dog")
    decide(store, run, 1, "keep")
    undo_last(store, run.id, "ana")
    done = export(run, store, tmp_path / "new" / "clean.labels.csv", accept_above=99.5)
    folder = (tmp_path / "new").resolve()
    paths = (folder / "clean.labels.csv", folder / "clean.labels.audit.csv")
    counts = {"unreviewed": 4, "kept": 0, "relabelled": 1, "excluded": 0, "unsure": 0, "auto_relabelled": 1}
    assert asdict(done) == asdict(ExportSummary(6, counts, 2, paths))
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in paths)
    pd.testing.assert_frame_equal(read_export(paths[0]), export_table(run, store, accept_above=99.5))
    audit = pd.read_csv(paths[1], dtype=str, keep_default_na=False)
    assert audit["action"].tolist() == ["relabel", "keep", "undo"]


def test_without_events_there_is_no_audit_file(place, tmp_path):
    done = export(*place, tmp_path / "clean.parquet")
    assert done.paths == ((tmp_path / "clean.parquet").resolve(),)
    assert not (tmp_path / "clean.audit.csv").exists()


def test_the_ending_decides_unless_a_format_is_given(place, tmp_path):
    run, store = place
    export(run, store, tmp_path / "labels.txt", format="jsonl")
    assert len(read_export(tmp_path / "labels.txt", "jsonl")) == 6
    with pytest.raises(SaltflatError, match=r"'labels.xlsx'.*\.csv"):
        export(run, store, tmp_path / "labels.xlsx")
    with pytest.raises(SaltflatError, match=r"'excel'.*csv"):
        export(run, store, tmp_path / "labels.csv", format="excel")


@pytest.mark.fault("the data was changed after the run, then labels are exported")
def test_data_that_changed_since_the_run_is_told_and_not_copied(finished_run, tmp_path, workspace):
    run = RunFolder(tmp_path / "run")
    shutil.copytree(finished_run.path, run.path)
    store = DecisionStore(workspace.database)
    assert export(run, store, tmp_path / "a.csv").notice is None
    data = run.info["data"]
    run.update(data={**data, "train": {**data["train"], "fingerprint": "of other images"}})
    done = export(run, store, tmp_path / "b.csv")
    assert "training data" in done.notice and "has changed" in done.notice
    assert (tmp_path / "b.csv").read_bytes() == (tmp_path / "a.csv").read_bytes()
    with pytest.raises(SaltflatError, match=r"has changed.*put the data back"):
        export(run, store, tmp_path / "folders")
    assert not (tmp_path / "folders").exists()
