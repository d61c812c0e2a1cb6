import csv

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fvm_core.data import load_dataset
from fvm_core.data.dataset import UNKNOWN
from fvm_core.data.labels import Labels, from_floats, from_numbers, from_texts, joined, merge, natural_key
from fvm_core.errors import SaltflatError

from .images import encoded, picture, write


def test_numbers_sort_by_value_and_before_texts():
    names = ["10", "9", "-1", "2.5", "img10", "img9", "Zebra", "ant", "img09", "1" * 5000]
    expected = ["-1", "2.5", "9", "10", "1" * 5000, "Zebra", "ant", "img09", "img9", "img10"]
    assert sorted(names, key=natural_key) == expected


@given(st.lists(st.text(max_size=6)))
@settings(max_examples=100, deadline=None)
def test_natural_order_does_not_depend_on_the_input(names):
    backwards = names[::-1]
    assert sorted(names, key=natural_key) == sorted(backwards, key=natural_key)


def test_texts_stay_as_they_are():
    labels = from_texts(["NA", " a ", "", None, "a"])
    codes, _, classes = merge(labels, None)
    assert classes == (" a ", "NA", "a")
    assert codes.tolist() == [1, 0, UNKNOWN, UNKNOWN, 2]


def test_numbers_without_names():
    codes, _, classes = merge(from_numbers(np.array([10, 9, -1, 10])), None)
    assert classes == ("9", "10")
    assert codes.tolist() == [1, 0, UNKNOWN, 1]


def test_numbers_with_names_keep_their_order_and_unused_names():
    labels = from_numbers(np.array([1, -1, 3, 0]), ["dog", "cat", "ant"])
    codes, _, classes = merge(labels, None)
    assert classes == ("dog", "cat", "ant")
    assert codes.tolist() == [1, UNKNOWN, UNKNOWN, 0]


def test_true_labels_share_the_class_list():
    given_labels = from_texts(["b", "a", ""])
    codes, true, classes = merge(given_labels, from_texts(["c", "a", "b"]))
    assert classes == ("a", "b", "c")
    assert codes.tolist() == [1, 0, UNKNOWN]
    assert true.tolist() == [2, 0, 1]
    _, _, classes = merge(from_numbers(np.array([0]), ["z", "y"]), Labels(np.array([0]), ("b",)))
    assert classes == ("z", "y", "b")


def test_fractions_are_named():
    assert from_floats(np.array([2.0, np.nan, -1.0]), "x").codes.tolist() == [0, UNKNOWN, UNKNOWN]
    for value in (0.5, np.inf, 1e300):
        with pytest.raises(SaltflatError, match=r"Column 'y' holds fractions, such as .* in row 2"):
            from_floats(np.array([1.0, value]), "Column 'y'")


def test_tables_one_behind_the_other_share_names():
    one, two = from_texts(["b", "nan", "a"]), from_texts(["a", "c", "nan"])
    labels = joined([one, two])
    assert [labels.names[k] if k != UNKNOWN else None for k in labels.codes] == [
        "b",
        None,
        "a",
        "a",
        "c",
        None,
    ]
    assert labels.missing == {"nan": 2} and not labels.ordered
    names = joined([from_numbers(np.array([1, -1]), ["x", "y"]), from_numbers(np.array([0]), ["x", "y"])])
    assert names.codes.tolist() == [1, UNKNOWN, 0] and names.names == ("x", "y") and names.ordered


def _table(name, mark):
    def save(folder, texts):
        for row in range(len(texts)):
            write(folder / f"{row}.png", row)
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            rows = [(f"{row}.png", text) for row, text in enumerate(texts)]
            csv.writer(file, delimiter=mark).writerows([("path", "label"), *rows])
        return folder / name

    return save


def _parquet(folder, texts):
    images = [encoded(picture(row)) for row in range(len(texts))]
    pq.write_table(pa.table({"image": images, "label": texts}), folder / "t.parquet")
    return folder / "t.parquet"


def _dictionary(folder, texts):
    images = [encoded(picture(row)) for row in range(len(texts))]
    labels = pa.array(texts).dictionary_encode()
    pq.write_table(pa.table({"image": images, "label": labels}), folder / "d.parquet")
    return folder / "d.parquet"


def _npz(folder, texts):
    np.savez(folder / "t.npz", images=np.zeros((len(texts), 4, 4), np.uint8), labels=np.array(texts))
    return folder / "t.npz"


def _folder(folder, texts):
    for row, text in enumerate(texts):
        write(folder / "all" / (text or "nan") / f"{row}.png", row)
    return folder / "all"


FORMATS = {
    "csv": _table("t.csv", ","),
    "tsv": _table("t.tsv", "\t"),
    "parquet": _parquet,
    "dictionary": _dictionary,
    "npz": _npz,
    "folder": _folder,
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("text", ["", "-1", "-1.0", "nan", "NaN", "None", "<NA>", "NaT"])
def test_no_label_is_the_same_in_every_format(tmp_path, kind, text):
    data = load_dataset(FORMATS[kind](tmp_path, ["cat", text, "dog"]))
    assert data.classes == ("cat", "dog")
    assert sorted(data.given.tolist()) == [UNKNOWN, 0, 1]
    told = {problem.kind: problem for problem in data.problems}
    row = data.given.tolist().index(UNKNOWN)
    assert told["missing_label"].rows == (row,)
    if text:
        assert f"`{text}` (1×) was taken as no label" in told["taken_as_no_label"].message


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("text", ["NA", "null", "none", "N", "0", "-2", "False", "nano", "no label"])
def test_what_looks_alike_is_a_class(tmp_path, kind, text):
    data = load_dataset(FORMATS[kind](tmp_path, ["cat", text, "dog"]))
    assert set(data.classes) == {"cat", text, "dog"}
    assert sorted(data.classes[k] for k in data.given) == sorted(["cat", text, "dog"])
    assert data.problems == []


@pytest.mark.parametrize("values", [[1, -1, 2], [1.0, np.nan, 2.0], [1.0, -1.0, 2.0]])
@pytest.mark.parametrize("kind", ["parquet", "npz"])
def test_numbers_are_the_same_in_every_format(tmp_path, kind, values):
    data = load_dataset(FORMATS[kind](tmp_path, values))
    assert data.classes == ("1", "2")
    assert data.given.tolist() == [0, UNKNOWN, 1]
