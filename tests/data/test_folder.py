import os
import sys
from pathlib import Path

import numpy as np
import pytest

from fvm_core.data import folder, load_dataset
from fvm_core.errors import SaltflatError

from .images import picture, write


def test_classes_rows_and_problems(tmp_path):
    write(tmp_path / "class10" / "b.PNG", 1)
    write(tmp_path / "class10" / "deep" / "er" / "a.png", 2)
    write(tmp_path / "class9" / "é ü.png", 3)
    write(tmp_path / "class9" / ".hidden.png")
    write(tmp_path / ".cache" / "a.png")
    write(tmp_path / "loose.png")
    (tmp_path / "class9" / "notes.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    data = load_dataset(tmp_path)
    assert data.classes == ("class9", "class10", "empty")
    assert list(data.ids) == ["class9/é ü.png", "class10/b.PNG", "class10/deep/er/a.png"]
    assert list(data.paths) == list(data.ids)
    assert data.given.tolist() == [0, 1, 1]
    assert data.true is None
    for row, seed in enumerate([3, 1, 2]):
        assert np.array_equal(np.asarray(data.images.image(row)), np.asarray(picture(seed)))
    messages = {problem.kind: problem.message for problem in data.problems}
    assert messages == {
        "not_an_image": "1 file skipped, not images by their endings: class9/notes.txt.",
        "outside_class_folders": "1 image outside the class folders skipped: loose.png.",
        "left_out": "2 hidden files or folders of other programs left out: .cache, class9/.hidden.png.",
    }


def test_opening_decodes_nothing(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "broken.jpg").write_bytes(b"")
    assert len(load_dataset(tmp_path)) == 1


def test_a_link_back_up_ends(tmp_path):
    write(tmp_path / "data" / "a" / "1.png")
    (tmp_path / "data" / "a" / "up").symlink_to(tmp_path / "data", target_is_directory=True)
    assert list(load_dataset(tmp_path / "data").ids) == ["a/1.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse names that aren't UTF-8")
def test_names_that_are_not_utf8(tmp_path):
    write(tmp_path / "a" / os.fsdecode(b"caf\xe9.png"), 5)
    data = load_dataset(tmp_path)
    assert list(data.ids) == ["a/caf\\udce9.png"]
    assert np.array_equal(np.asarray(data.images.image(0)), np.asarray(picture(5)))
    assert data.fingerprint() == load_dataset(tmp_path).fingerprint()


def test_folders_that_are_no_dataset(tmp_path):
    with pytest.raises(SaltflatError, match=r"has no class folders\. Put the images"):
        load_dataset(tmp_path)
    (tmp_path / "labels.csv").touch()
    with pytest.raises(SaltflatError, match=r"name the table of the labels instead: .*/labels\.csv"):
        load_dataset(tmp_path)
    (tmp_path / "train" / "cat").mkdir(parents=True)
    (tmp_path / "train" / "cat" / "notes.txt").touch()
    with pytest.raises(SaltflatError, match=r"hold no images.* There are cat/notes\.txt"):
        load_dataset(tmp_path / "train")
    with pytest.raises(SaltflatError, match="leave out label='x'"):
        load_dataset(tmp_path / "train", label="x")


@pytest.mark.parametrize("kind", ["itself", "a link to it", "a class that links to it", "deep below a class"])
def test_a_whole_file_system_is_refused(tmp_path, kind):
    (tmp_path / "data" / "cat" / "deep").mkdir(parents=True)
    place = {
        "itself": Path("/"),
        "a link to it": tmp_path / "link",
        "a class that links to it": tmp_path / "data",
        "deep below a class": tmp_path / "data",
    }[kind]
    (tmp_path / "link").symlink_to("/")
    if kind == "a class that links to it":
        (tmp_path / "data" / "dog").symlink_to("/")
    (tmp_path / "data" / "cat" / "deep" / "up").symlink_to("/")
    with pytest.raises(SaltflatError, match=r"is the whole file system\. Choose"):
        load_dataset(place)


def test_a_folder_of_other_things_is_refused_before_it_is_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "_MOST_STRANGE", 20)
    (tmp_path / "usr" / "lib").mkdir(parents=True)
    for number in range(30):
        (tmp_path / "usr" / "lib" / f"{number}.so").touch()
    with pytest.raises(SaltflatError, match="more than 20 files that are no images"):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "@eaDir",
        "__MACOSX",
        ".ipynb_checkpoints",
        ".thumbnails",
        "$RECYCLE.BIN",
        "#recycle",
        ".@__thumb",
        "@EADIR",
    ],
)
@pytest.mark.parametrize("place", [".", "cat", "cat/deep/er"])
def test_folders_of_other_programs_are_left_out_at_any_depth(tmp_path, name, place):
    write(tmp_path / "cat" / "deep" / "er" / "1.png")
    write(tmp_path / "dog" / "2.png")
    write(tmp_path / place / name / "1.png" / "thumb.png")
    data = load_dataset(tmp_path)
    assert list(data.ids) == ["cat/deep/er/1.png", "dog/2.png"]
    assert data.classes == ("cat", "dog")
    (problem,) = data.problems
    path = name if place == "." else f"{place}/{name}"
    assert problem.kind == "left_out"
    assert problem.message == f"1 hidden file or folder of other programs left out: {path}."


@pytest.mark.parametrize(
    "name", ["Thumbs.db", ".DS_Store", "._1.png", "desktop.ini", "ehthumbs.db", "Icon\r"]
)
def test_files_of_other_programs_are_counted_and_no_images(tmp_path, name):
    for place in ("cat", "cat/deep", "dog"):
        write(tmp_path / place / "1.png")
        (tmp_path / place / name).write_bytes(b"x")
    data = load_dataset(tmp_path)
    assert len(data) == 3
    (problem,) = data.problems
    assert (problem.kind, problem.message[:2]) == ("left_out", "3 ")
