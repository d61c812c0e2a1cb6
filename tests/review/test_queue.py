import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fvm_core.data.dataset import UNKNOWN, Problem
from fvm_core.errors import SaltflatError
from fvm_core.review.commands import Refused, filter_of
from fvm_core.review.queue import (
    Decided,
    QueueFilter,
    ReviewTable,
    first_open_page,
    page_rows,
    pages,
    queue_rows,
)


def made(n: int, k: int = 10, seed: int = 0) -> ReviewTable:
    random = np.random.default_rng(seed)
    suspicion = random.lognormal(size=n)
    return ReviewTable(
        classes=tuple(f"class {c}" for c in range(k)),
        given=random.integers(0, k, n),
        suggested=random.integers(0, k, n),
        suspicion=suspicion,
        percentile=100 * (np.argsort(np.argsort(suspicion)) + 1) / n,
        loss=random.random(n),
        p_given=random.random(n),
        p_suggested=random.random(n),
    )


def scores(**changes) -> pd.DataFrame:
    columns = {
        "given_label": ["cat", "dog", None, "dog"],
        "suggested_label": ["dog", "dog", "cat", None],
        "suspicion": [3.0, 1.0, 2.0, np.nan],
        "percentile": [100.0, 33.0, 66.0, np.nan],
        "loss": [1.0, 2.0, 3.0, np.nan],
        "p_given": [0.1, 0.9, np.nan, np.nan],
        "p_suggested": [0.8, 0.9, 0.5, np.nan],
    }
    return pd.DataFrame({**columns, **changes})


def test_labels_become_codes_and_missing_ones_unknown():
    table = ReviewTable.from_scores(scores(), ["dog", "cat"])
    assert table.given.tolist() == [1, 0, UNKNOWN, 0]
    assert table.suggested.tolist() == [0, 0, 1, UNKNOWN]
    assert table.true is None
    assert table.code("cat") == 1
    assert table.code("cow") == UNKNOWN
    assert table.rank.tolist() == [1, 3, 2, 4]


def test_only_samples_with_a_problem():
    problems = [
        Problem("near_duplicate", "", (2, 0, 9)),
        Problem("near_duplicate", "", (3,)),
        Problem("near_duplicate", "", (1,), "val"),
        Problem("fit", ""),
    ]
    table = ReviewTable.from_scores(scores(), ["dog", "cat"], problems)
    assert {kind: rows.tolist() for kind, rows in table.problems.items()} == {"near_duplicate": [0, 2, 3]}
    wanted = QueueFilter(problem="near_duplicate")
    assert queue_rows(table, wanted, Decided()).tolist() == [0, 2, 3]
    assert queue_rows(table, replace(wanted, given="dog"), Decided()).tolist() == [3]
    assert queue_rows(table, QueueFilter(problem="blank_image"), Decided()).tolist() == []
    assert repr(wanted) != repr(QueueFilter())  # names another queue


def test_a_browser_may_name_a_problem():
    assert filter_of({"problem": "near_duplicate"}, ()).problem == "near_duplicate"
    assert filter_of({"problem": None}, ()).problem is None
    with pytest.raises(Refused, match="whose problem can't be read"):
        filter_of({"problem": 3}, ())


def test_labels_that_the_class_list_lacks_are_added():
    table = ReviewTable.from_scores(scores(true_label=["cow", "dog", "cat", "dog"]), ["dog"])
    assert set(table.classes) == {"dog", "cat", "cow"}
    assert table.classes[table.true[0]] == "cow"


def test_sorted_by_suspicion_and_nothing_without_a_score_above_a_percentile():
    table = ReviewTable.from_scores(scores(), ["dog", "cat"])
    assert queue_rows(table, QueueFilter(), Decided()).tolist() == [0, 2, 1, 3]
    assert queue_rows(table, QueueFilter(above=50), Decided()).tolist() == [0, 2]
    assert queue_rows(table, QueueFilter(above=0.01), Decided()).tolist() == [0, 2, 1]


@pytest.mark.parametrize(
    ("sort", "key"),
    [
        ("suspicion", lambda t: t.suspicion),
        ("margin", lambda t: t.p_suggested - t.p_given),
        ("loss", lambda t: t.loss),
        ("p_given", lambda t: -t.p_given),
    ],
)
def test_every_sort_falls(sort, key):
    table = made(500)
    rows = queue_rows(table, QueueFilter(sort=sort), Decided())
    assert sorted(rows) == list(range(500))
    assert (np.diff(key(table)[rows]) <= 0).all()


def test_filters_by_label_change_and_state():
    table = made(2000)
    decided = Decided(np.array([3, 4, 5]), np.array(["kept", "relabelled", "kept"], dtype=object))
    chosen = queue_rows(table, QueueFilter(given="class 3", suggested="class 7"), decided)
    assert (table.given[chosen] == 3).all()
    assert (table.suggested[chosen] == 7).all()
    changed = queue_rows(table, QueueFilter(changed_only=True), decided)
    assert (table.given[changed] != table.suggested[changed]).all()
    assert queue_rows(table, QueueFilter(state="kept", sort="order"), decided).tolist() == [3, 5]
    unreviewed = queue_rows(table, QueueFilter(state="unreviewed"), decided)
    assert len(unreviewed) == 1997
    assert not np.isin(unreviewed, decided.rows).any()
    assert len(queue_rows(table, QueueFilter(given="no such class"), decided)) == 0


def test_decided_rows_beyond_the_table_are_ignored():
    decided = Decided(np.array([3, 99_999]), np.array(["kept", "kept"], dtype=object))
    assert queue_rows(made(10), QueueFilter(state="kept"), decided).tolist() == [3]


def test_unknown_states_and_sorts_are_told():
    with pytest.raises(SaltflatError, match="state"):
        QueueFilter(state="done").check()
    with pytest.raises(SaltflatError, match="sort order"):
        QueueFilter(sort="age").check()


def test_pages_hold_every_row_once():
    rows = np.arange(125)[::-1]
    assert pages(125, 60) == 3
    assert pages(0, 60) == 1
    assert np.concatenate([page_rows(rows, p, 60) for p in (1, 2, 3)]).tolist() == rows.tolist()
    assert page_rows(rows, 99, 60).tolist() == page_rows(rows, 3, 60).tolist()
    assert page_rows(np.array([], dtype=int), 1, 60).tolist() == []


def test_the_first_open_page():
    rows = np.arange(200)
    states = np.full(61, "kept", dtype=object)
    assert first_open_page(rows, Decided(), 60) == 1
    assert first_open_page(rows, Decided(np.arange(61), states), 60) == 2
    assert first_open_page(np.arange(61), Decided(np.arange(61), states), 60) == 1


def test_a_hundred_thousand_samples_are_fast():
    table = made(100_000)
    decided = Decided(np.arange(20_000), np.full(20_000, "kept", dtype=object))
    wanted = QueueFilter(above=50.0, state="unreviewed", changed_only=True)
    queue_rows(table, wanted, decided)
    start = time.perf_counter()
    rows = queue_rows(table, wanted, decided)
    assert time.perf_counter() - start < 0.5
    keep = (table.percentile >= 50) & (np.arange(100_000) >= 20_000) & (table.given != table.suggested)
    assert set(rows) == set(np.flatnonzero(keep))
