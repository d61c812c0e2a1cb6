import threading

import pytest

from fvm_core.data.parallel import in_chunks, threads
from fvm_core.errors import Cancelled


def test_results_come_in_order_with_progress():
    told = []
    parts = in_chunks(list, 10, chunk=4, progress=lambda done, total: told.append((done, total)))
    assert list(parts) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert told == [(0, 10), (4, 10), (8, 10), (10, 10)]
    assert list(in_chunks(list, 0)) == []


def test_errors_of_the_work_come_out():
    def work(rows):
        raise ValueError(rows.start)

    with pytest.raises(ValueError, match="0"):
        list(in_chunks(work, 10, chunk=2))


def test_cancelling_stops_the_work():
    started = []
    lock = threading.Lock()

    def work(rows):
        with lock:
            started.append(rows.start)

    with pytest.raises(Cancelled):
        list(in_chunks(work, 10_000, chunk=1, cancelled=lambda: True))
    assert len(started) <= 3 * threads()
