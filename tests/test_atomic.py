import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fvm_core.atomic import replacing, sweep, write_json, write_text


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_file_appears_at_the_end_with_its_folders(tmp_path):
    path = tmp_path / "a" / "b" / "file.txt"
    with replacing(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == ".txt"
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert names(path.parent) == ["file.txt"]


def test_an_error_keeps_the_old_file_and_leaves_nothing(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_writers_that_go_by_the_ending_write_the_right_format(tmp_path):
    with replacing(tmp_path / "a.npy") as temporary:
        np.save(temporary, np.arange(3))
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), [0, 1, 2])
    assert names(tmp_path) == ["a.npy"]


def test_texts_are_utf_8_with_their_line_ends(tmp_path):
    write_text(tmp_path / "t.txt", "é😀\nשלום\n")
    assert (tmp_path / "t.txt").read_bytes() == "é😀\nשלום\n".encode()
    write_json(tmp_path / "t.json", {"θ": [1, 2.5, None], "empty": ""})
    text = (tmp_path / "t.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"θ": [1, 2.5, None], "empty": ""}
    assert "θ" in text
    assert text.endswith("}\n")


def test_what_cannot_be_json_keeps_the_old_file(tmp_path):
    write_json(tmp_path / "t.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "t.json", {"a": object()})
    assert json.loads((tmp_path / "t.json").read_text()) == {"a": 1}
    assert names(tmp_path) == ["t.json"]


def test_readers_never_see_half_a_file(tmp_path):
    path, stop, seen = tmp_path / "t.txt", threading.Event(), set()
    contents = {letter * 200_000 for letter in "ab"}
    write_text(path, "a" * 200_000)

    def read():
        while not stop.is_set():
            seen.add(path.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(30):
        write_text(path, "ab"[number % 2] * 200_000)
    stop.set()
    reader.join()
    assert seen <= contents


def test_threads_that_write_the_same_file_do_not_meet(tmp_path):
    """As two screens of one server do that export to the same place."""
    path = tmp_path / "t.txt"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: write_text(path, str(number) * 50_000), range(10)))
    assert len(set(path.read_text())) == 1
    assert len(path.read_text()) == 50_000
    assert names(tmp_path) == ["t.txt"]


_KILLED = """
import os, signal, sys
from fvm_core.atomic import replacing
with replacing(sys.argv[1]) as temporary:
    temporary.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.fault("SIGKILL while a file is written")
@pytest.mark.parametrize("name", ["thumbnails.bin", "scores.parquet", "run.json", "plain", "a.b.c"])
def test_what_a_killed_writer_left_is_swept_and_that_of_a_living_one_stays(tmp_path, name):
    place = tmp_path / "deep" / name
    done = subprocess.run([sys.executable, "-c", _KILLED, str(place)], check=False)
    assert done.returncode == -9
    (tmp_path / ".part").touch()
    (tmp_path / "my.part.txt").touch()
    assert len(names(tmp_path / "deep")) == 1
    with replacing(tmp_path / "deep" / "mine.bin") as temporary:
        temporary.write_bytes(b"new")
        assert sweep(tmp_path) == 1
        assert names(tmp_path / "deep") == [temporary.name]
    assert names(tmp_path / "deep") == ["mine.bin"]
    assert {".part", "my.part.txt"} <= {*names(tmp_path)}
