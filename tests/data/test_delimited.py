import csv

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fvm_core.data import UNKNOWN, load_dataset
from fvm_core.data.labels import is_missing
from fvm_core.errors import SaltflatError

from .images import picture, write

ODD = [
    "a,b",
    'say "hi"',
    "two\nlines",
    "\r\n",
    "🐈",
    "קטן",
    "=1+1",
    "NA",
    "null",
    "007",
    " x ",
    "\t",
    "é",
    "e\u0301",
    "<b>",
]


def save(path, rows, header=("path", "label"), **options):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL, **options).writerows([header, *rows])
    return path


def labels_of(data):
    return [None if k == UNKNOWN else data.classes[k] for k in data.given]


def test_odd_labels_survive(tmp_path):
    write(tmp_path / "0.png")
    data = load_dataset(save(tmp_path / "t.csv", [(f"{i}.png", text) for i, text in enumerate(ODD)]))
    assert labels_of(data) == ODD
    assert sorted(data.classes) == sorted(ODD)


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8"), min_size=1, max_size=8),
            st.text(st.characters(codec="utf-8"), max_size=8),
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from([("t.csv", ","), ("t.tsv", "\t")]),
    st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_any_text_round_trips(tmp_path_factory, rows, kind, with_pandas):
    name, mark = kind
    path = write(tmp_path_factory.getbasetemp() / "texts" / "there.png").with_name(name)
    rows = [("there.png", "x"), *rows]  # of the others none is there, most probably
    if with_pandas:
        frame = pd.DataFrame(rows, columns=["path", "label"], dtype=object)
        frame.to_csv(path, index=False, sep=mark, quoting=csv.QUOTE_ALL, encoding="utf-8-sig")
    else:
        save(path, rows, delimiter=mark)
    data = load_dataset(path)
    assert list(data.ids) == list(data.paths) == [path for path, _ in rows]
    assert labels_of(data) == [None if is_missing(label) else label for _, label in rows]


def test_images_ids_and_true_labels(tmp_path):
    write(tmp_path / "sub" / "a.png", 1)
    elsewhere = write(tmp_path / "b.png", 2)
    header = ("label", "file_name", "true_label", "id", "note")
    rows = [("cat", "a.png", "dog", "first", ""), ("dog", str(elsewhere), "", "second", "x")]
    data = load_dataset(save(tmp_path / "sub" / "t.csv", rows, header))
    assert data.classes == ("cat", "dog")
    assert data.given.tolist() == [0, 1]
    assert data.true.tolist() == [1, UNKNOWN]
    assert list(data.ids) == ["first", "second"]
    assert list(data.paths) == ["a.png", str(elsewhere)]
    for row, seed in enumerate([1, 2]):
        assert np.array_equal(np.asarray(data.images.image(row)), np.asarray(picture(seed)))


def test_empty_labels_are_a_problem(tmp_path):
    write(tmp_path / "a")
    data = load_dataset(save(tmp_path / "t.csv", [("a", "x"), ("b", ""), ("c", "y"), ("d", "")]))
    assert data.given.tolist() == [0, UNKNOWN, 1, UNKNOWN]
    (problem,) = data.problems
    assert (problem.kind, problem.rows) == ("missing_label", (1, 3))
    assert problem.message.startswith("2 rows have no label.")


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_separator_and_byte_order_mark(tmp_path, mark):
    path = write(tmp_path / "a.png").with_name("t.csv")
    path.write_text(mark.join(["path", "label"]) + "\n\n" + mark.join(["a.png", "x"]) + "\n", "utf-8-sig")
    data = load_dataset(path)
    assert list(data.ids) == ["a.png"]
    assert data.classes == ("x",)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is empty; the first line must name the columns"),
        (b"path,label\n", "has a header and no rows"),
        (
            b"path,label\na.png,caf\xe9\n",
            r"isn't UTF-8 text: line 2 has the byte 0xE9 \(byte 21 of the file\)",
        ),
        (b"\xef\xbb\xbfpath,label\na.png,caf\xe9\n", r"line 2 has the byte 0xE9 \(byte 24"),
        ("path,label\n".encode("utf-16"), "isn't UTF-8 text: line 1 has the byte 0xFF"),
        (b"path,label\na,b\na,b,c\n", "line 3: 3 fields where the header has 2"),
        (b'path,label\na,"b"c\n', "line 2: "),
        (b'path,label\na,"b\n', "line 2: "),
        (b"one,two\na,b\n", r"no column of images .* Its columns are one, two"),
    ],
)
def test_files_that_are_no_table(tmp_path, content, text):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(SaltflatError, match=text):
        load_dataset(path)
