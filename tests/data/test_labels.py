import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fvm_core.data.dataset import UNKNOWN
from fvm_core.data.labels import Labels, from_numbers, from_texts, merge, natural_key


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
