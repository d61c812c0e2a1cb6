"""Class names of two sets: one class however it is written, and never two lists without a common name."""

import unicodedata

import numpy as np
import pytest

from fvm_core.config import RunConfig
from fvm_core.data import UNKNOWN, DatasetSpec
from fvm_core.data.class_names import MATCHED, form
from fvm_core.data.problems import align_classes, find_problems
from fvm_core.errors import SaltflatError
from fvm_core.pipeline.preflight import checked

from .images import raw_dataset

SAME = {
    "a float": ("1.0", "1"),
    "leading zeros": ("001", "1"),
    "both": ("01.50", "1.5"),
    "zero": ("-0.0", "0"),
    "a plus": ("+7", "7"),
    "a space before": (" cat", "cat"),
    "a tab and a no-break space behind": ("cat\t\u00a0", "cat"),
    "inner spaces": ("hot  dog", "hot dog"),
    "an underscore": ("hot_dog", "hot dog"),
    "a hyphen": ("hot-dog", "hot_dog"),
    "case": ("Cat", "cat"),
    "sharp s": ("STRASSE", "straße"),
    "truth": ("True", "true"),
    "Unicode form": (unicodedata.normalize("NFD", "Käfer"), unicodedata.normalize("NFC", "Käfer")),
    "full width": ("ｃａｔ", "cat"),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME.keys())
def test_names_of_one_form_are_one_class_and_it_is_said(one, other):
    assert form(one) == form(other)
    train = raw_dataset([0, 1] * 6 + [UNKNOWN], (one, "fixed"))
    val = raw_dataset([0, 1, 0], ("fixed", other), seeds=[100, 101, 102])
    new_train, new_val = align_classes(train, val)
    assert new_train.classes == new_val.classes == (one, "fixed")
    assert new_train.given.tolist() == [0, 1] * 6 + [UNKNOWN]
    assert new_val.given.tolist() == [1, 0, 1]
    for found in (find_problems(train, val), find_problems(new_train, new_val)):
        (notice,) = [problem for problem in found if problem.kind == MATCHED]
        assert notice.where == "val" and notice.severity == "notice"
        assert repr(other) in notice.message and repr(one) in notice.message and "1 row" in notice.message
        assert not [problem for problem in found if "class_not_in" in problem.kind]
    again = align_classes(new_train, new_val)
    assert [one.problems for one in again] == [new_train.problems, new_val.problems]


DIFFERENT = [("1", "10"), ("1.5", "15"), ("cat", "cats"), ("1a", "1b"), ("C++", "C"), ("-", "_"), ("1", "-1")]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_names_that_differ_stay_different(one, other):
    assert form(one) != form(other)


def test_one_class_in_several_spellings_within_a_set():
    train = raw_dataset([0, 1, 2, 3] * 3 + [1], ("cat", "Cat", " CAT", "dog"))
    train.true = np.array([2, 2, 2, 3] * 3 + [UNKNOWN])
    val = raw_dataset([0, 1], ("cat", "dog"), seeds=[100, 101])
    new, _val = align_classes(train, val)
    assert new.classes == ("Cat", "dog")  # the training set's most frequent spelling: it is what is exported
    assert new.given.tolist() == [0, 0, 0, 1] * 3 + [0]
    assert new.true.tolist() == [0, 0, 0, 1] * 3 + [UNKNOWN]


def test_sets_that_tell_case_apart_keep_their_classes():
    letters = ("a", "A", "b", "B")
    train = raw_dataset([0, 1, 2, 3] * 3, letters)
    val = raw_dataset([0, 1, 2], letters[:3], seeds=[100, 101, 102])
    new, other = align_classes(train, val)
    assert new.classes == other.classes == letters and new.given.tolist() == [0, 1, 2, 3] * 3
    assert not [one for one in find_problems(train, val) if one.severity == "error" or one.kind == MATCHED]
    unclear = raw_dataset([0, 1, 2], ("a", "A", "B"), seeds=[100, 101, 102])
    (error,) = [
        one
        for one in find_problems(raw_dataset([0, 1, 2] * 4, ("a", "A", "b")), unclear)
        if one.severity == "error"
    ]
    assert error.message.startswith("Are these the same classes? Training: b. Validation: B.")


def test_lists_without_a_common_name_are_refused_and_shown():
    train = raw_dataset([0, 1, 2] * 4, ("airplane", "bird", "cat"))
    val = raw_dataset([0, 1, 2], ("0", "1", "2"), seeds=[100, 101, 102])
    for sets in ((train, val), align_classes(train, val)):
        (error,) = [problem for problem in find_problems(*sets) if problem.severity == "error"]
        assert error.kind == "no_common_class"
        assert "Training: airplane, bird, cat. Validation: 0, 1, 2." in error.message
    config = RunConfig(train_data=DatasetSpec("digits"), val_data=DatasetSpec("digits", split="val"))
    with pytest.raises(SaltflatError, match=r"no class in common.*airplane, bird, cat.*0, 1, 2"):
        checked(config, train, val)
