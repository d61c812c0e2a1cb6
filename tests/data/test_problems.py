import numpy as np
import pytest

from fvm_core.data import UNKNOWN, load_dataset
from fvm_core.data.dataset import Problem
from fvm_core.data.problems import align_classes, find_problems
from fvm_core.data.thumbnails import Thumbnails

from .images import encoded, encoded_dataset, picture, raw_dataset


def kinds(problems):
    return {(problem.where, problem.kind): problem for problem in problems}


def test_clean_data_has_no_problem():
    train, val = load_dataset("digits", noise=0), load_dataset("digits", split="val")
    assert find_problems(train, val) == []


def test_each_problem_lists_its_rows():
    #                        0  1  2  3  4  5  6  7        8  9 10 11
    train = raw_dataset([0, 1, 0, 1, 0, 1, 2, UNKNOWN, 0, 1, 0, 1], ("a", "b", "c", "empty"),
                        seeds=[0, 0, 2, 3, 4, 4, 6, 0, 8, 8, 8, 11])  # fmt: skip
    train.ids = ["x", *train.ids[1:9], "x", "y", "y"]
    train.problems = [Problem("not_an_image", "2 files skipped.")]
    val = raw_dataset([0, 1, 1, UNKNOWN], ("d", "a"), seeds=[100, 3, 102, 8])
    found = kinds(find_problems(train, val))
    rows = {key: problem.rows for key, problem in found.items()}
    assert rows == {
        ("train", "not_an_image"): (),
        ("train", "missing_label"): (7,),
        ("train", "duplicate_id"): (0, 9, 10, 11),
        ("train", "conflicting_labels"): (0, 1, 4, 5, 8, 9, 10),
        ("train", "empty_class"): (),
        ("train", "shared_image_conflict"): (3,),
        ("train", "shared_image"): (8, 9, 10),
        ("val", "missing_label"): (3,),
        ("val", "val_class_not_in_train"): (0,),
        ("val", "train_class_not_in_val"): (),
    }
    errors = [key for key, problem in found.items() if problem.severity == "error"]
    assert errors == []
    message = {key: problem.message for key, problem in found.items()}
    assert (
        message["train", "empty_class"]
        == "1 class has no training images: empty. Add images, or remove the class."
    )
    assert message["train", "shared_image"].startswith("3 training images are also in the validation set.")
    assert message["train", "shared_image_conflict"] == (
        "1 training image is in the validation set too, with another label: r3 is b in the training set and a in "
        "the validation set. Which is right? Correct it in one set, and remove the image from the other."
    )
    assert found["train", "shared_image_conflict"].notes == ("validation set: a",)
    assert message["train", "conflicting_labels"] == (
        "7 training rows have the same image as another row and another label. At most one of the labels is "
        "right: x (a) and r1 (b); r4 (a) and r5 (b); r8 (a) and x (b)."
    )
    assert found["train", "conflicting_labels"].notes[:2] == ("same image as r1, b", "same image as x, a")
    assert message["val", "train_class_not_in_val"].startswith(
        "2 training classes without validation images: b, c."
    )
    assert message["train", "duplicate_id"].startswith("4 training rows share 2 ids, such as x.")


def test_unreadable_images_with_and_without_thumbnails(tmp_path):
    blobs = [encoded(picture(seed)) for seed in range(14)]
    blobs[3], blobs[7] = None, b"junk"
    train = encoded_dataset(blobs)
    val = encoded_dataset([*blobs[:2], b""])
    expected = {
        ("train", "unreadable_image"): (3, 7),
        ("train", "shared_image"): (0, 1),
        ("val", "unreadable_image"): (2,),
    }
    told = []
    plain = find_problems(train, val, progress=lambda *numbers: told.append(numbers))
    assert {key: problem.rows for key, problem in kinds(plain).items()} == expected
    assert told[0] == (0, 17)
    assert told[-1] == (17, 17)
    small = {
        "train_thumbnails": Thumbnails.build(train, tmp_path / "train"),
        "val_thumbnails": Thumbnails.build(val, tmp_path / "val"),
    }
    read = []
    for dataset in (train, val):
        image = dataset.images.image
        dataset.images.image = lambda row, smallest, image=image: read.append(row) or image(row, smallest)
    assert find_problems(train, val, **small) == plain
    assert find_problems(train, val, deep=False, **small) == plain
    assert find_problems(train, val, deep=False) == []
    assert read == []  # why they can't be read was noted
    assert plain[0].notes[0] == "Row 4 of t.parquet has no image."
    assert plain[0].message == (
        "2 training images can't be read and get no score. You can go on without. "
        "Row 4 (e3): Row 4 of t.parquet has no image; row 8 (e7): Row 8 of t.parquet isn't an image in a known "
        "format (JPEG, PNG, …)."
    )


def test_unreadable_images_are_not_called_equal():
    blobs = [b"", b"", *(encoded(picture(seed)) for seed in range(12))]
    assert list(kinds(find_problems(encoded_dataset(blobs)))) == [("train", "unreadable_image")]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0] * 12, [("too_few_classes", "All usable training images have the label a; at least 2")]),
        ([0, 1] * 4, [("too_few_rows", "You have 8 usable training images; at least 10 are needed.")]),
        (
            [UNKNOWN] * 12,
            [
                ("too_few_rows", "You have 0 usable training images"),
                (
                    "too_few_classes",
                    "No training image can be used with a label; at least 2 classes are needed. Without a label: "
                    "row 1 (r0), row 2 (r1), row 3 (r2) and 9 more.",
                ),
            ],
        ),
    ],
)
def test_too_little_to_learn_from(labels, expected):
    errors = [p for p in find_problems(raw_dataset(labels, ("a", "b"))) if p.severity == "error"]
    assert [problem.kind for problem in errors] == [kind for kind, _ in expected]
    for problem, (_, text) in zip(errors, expected, strict=True):
        assert problem.message.startswith(text)


def test_too_small_a_validation_set():
    train, val = raw_dataset([0, 1] * 6, ("a", "b")), raw_dataset([0], ("a",), seeds=[99])
    found = kinds(find_problems(train, val))
    assert found["val", "too_few_rows"].severity == "error"


def test_large_counts_have_separators():
    train = raw_dataset([0, 1] * 1000 + [UNKNOWN] * 1234, ("a", "b"), seeds=[0] * 3234)
    message = kinds(find_problems(train, deep=False))["train", "missing_label"].message
    assert message.startswith("1,234 rows have no label.")


def test_classes_are_aligned_by_name():
    train = raw_dataset([0, 1, UNKNOWN], ("dog", "cat"))
    val = raw_dataset([0, 1, 2], ("ant", "cat", "dog"))
    val.true = np.array([2, 1, UNKNOWN])
    new_train, new_val = align_classes(train, val)
    assert new_train.classes == new_val.classes == ("dog", "cat", "ant")
    assert new_train.given.tolist() == [0, 1, UNKNOWN]
    assert new_val.given.tolist() == [2, 1, 0]
    assert new_val.true.tolist() == [0, 1, UNKNOWN]


@pytest.mark.parametrize("kind", ["files", "bytes"])
def test_the_first_three_that_cannot_be_read_are_named_with_reasons(tmp_path, kind):
    blobs = [b"", b"not an image", encoded(picture(0))[:60], b"", *[b"more"] * 8]
    if kind == "files":
        for row, blob in enumerate(blobs):
            (tmp_path / f"{row}.png").write_bytes(blob)
        rows = "".join(f"{row}.png,{row % 2}\n" for row in range(len(blobs)))
        (tmp_path / "t.csv").write_text("path,label\n" + rows)
        data = load_dataset(tmp_path / "t.csv")
    else:
        data = encoded_dataset(blobs)
    found = [problem for problem in find_problems(data) if problem.severity == "error"]
    assert [problem.kind for problem in found] == ["too_few_rows", "too_few_classes"]
    for problem in found:
        assert "Not readable are 12 of 12: row 1 (" in problem.message
        for words in ("is empty (0 bytes); row 2 (", "isn't an image in a known", "row 3 (", "is damaged"):
            assert words in problem.message
        assert "row 4" not in problem.message
