"""Features are found again, and the least used ones make room."""

import os
import threading

import numpy as np

from fvm_core.features.cache import kept, make_room, note_stamps, rows_of_stamps
from fvm_core.features.store import FeatureStore, key_of


def fill(cache, about, rows=40):
    with kept(cache, about, lambda: None) as folder:
        store = FeatureStore(folder, about, rows, (8,))
        for number, own in store.pending():
            store.write(number, np.ones((len(own), 8), dtype=np.float16))
    return folder


def test_the_same_features_are_found_again(tmp_path):
    first = fill(tmp_path, {"weights": "a"})
    with kept(tmp_path, {"weights": "a"}, lambda: None) as folder:
        assert folder == first
        assert FeatureStore(folder, {"weights": "a"}, 40, (8,)).complete
    assert fill(tmp_path, {"weights": "b"}) != first


def test_every_value_counts_for_the_key():
    about = {"backbone": "x", "size": 160, "mean": [0.5]}
    keys = {key_of({**about, **change}) for change in ({}, {"size": 224}, {"mean": [0.4]}, {"backbone": "y"})}
    assert len(keys) == 4
    assert key_of(about) == key_of(dict(reversed(about.items())))


def test_the_features_that_were_used_longest_ago_go_first(tmp_path):
    folders = [fill(tmp_path, {"number": number}) for number in range(3)]
    for age, folder in enumerate(folders):
        os.utime(folder, (1000 + age, 1000 + age))
    size = sum(file.stat().st_size for file in folders[0].iterdir())
    make_room(tmp_path / "features", keep=folders[0], most=2 * size + 10)
    assert [folder.exists() for folder in folders] == [True, False, True]


def test_a_second_run_waits_for_the_first_one(tmp_path):
    waited, entered = threading.Event(), threading.Event()

    def second():
        with kept(tmp_path, {"a": 1}, waited.set):
            entered.set()

    with kept(tmp_path, {"a": 1}, lambda: None):
        thread = threading.Thread(target=second)
        thread.start()
        assert waited.wait(10)
        assert not entered.is_set()
    assert entered.wait(10)
    thread.join()


def test_what_is_there_is_told_by_the_stamp_of_the_images(tmp_path):
    about = {"weights": "a", "content": "c"}
    folder = fill(tmp_path, about)
    note_stamps(folder, ["photos"])
    assert rows_of_stamps(tmp_path, {"weights": "a"}, ["photos"], 40) == 40
    assert rows_of_stamps(tmp_path, {"weights": "b"}, ["photos"], 40) == 0
    assert rows_of_stamps(tmp_path, {"weights": "a"}, ["others"], 40) == 0
    (folder / "stamps.json").write_text("{")
    assert rows_of_stamps(tmp_path, {"weights": "a"}, ["photos"], 40) == 0
