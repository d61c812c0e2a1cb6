import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fvm_core.data import load_dataset
from fvm_core.data.part_names import part_names
from fvm_core.data.splits import are_parts, choose, role
from fvm_core.errors import SaltflatError

from .images import picture, write


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        (
            ("train", "Train", "TRAIN", "training", "seg_train", "train2017", "trainset", "TrainingSet"),
            "train",
        ),
        (("val", "Valid", "validation", "dev", "images-val", "val_set"), "val"),
        (("test", "Testing", "seg_test", "testA", "TestSet"), "test"),
        (("seg_pred", "Prediction"), "pred"),
        (("Meta",), "meta"),
        (("cat", "trains", "contest", "devil", "évaluation", "train_val", "2017", ""), None),
    ],
)
def test_what_names_mean(names, meant):
    assert {name: role(name) for name in names} == dict.fromkeys(names, meant)


@pytest.mark.parametrize(
    "names",
    [
        ["train"],
        ["Train", "Testing"],
        ["Train", "Meta", "Test"],
        ["seg_train", "seg_test", "seg_pred"],
        ["train_images", "test_images", "sample_submission"],
        ["train", "val", "docs"],
    ],
)
def test_parts(names):
    assert are_parts(names)


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["cat", "dog"],
        ["train", "bus", "car"],
        ["train_station", "test_tube"],
        ["cats_train", "dogs_train"],
        ["Meta", "Google"],
    ],
)
def test_classes(names):
    assert not are_parts(names)


@pytest.mark.parametrize(
    ("names", "asked", "taken"),
    [
        (["Train", "Testing"], "train", "Train"),
        (["Train", "Testing"], "val", "Testing"),
        (["Train", "Valid", "Test"], "val", "Valid"),
        (["Train", "Valid", "Test"], "test", "Test"),
        (["train", "Training"], "Training", "Training"),
        (["seg_train", "seg_test", "seg_pred"], "seg_pred", "seg_pred"),
        (["seg_train", "seg_test", "seg_pred"], "SEG_PRED", "seg_pred"),
        (["seg_train", "seg_test", "seg_pred"], "pred", "seg_pred"),
        (["train", "Meta"], "meta", "Meta"),
    ],
)
def test_the_choice(names, asked, taken):
    assert choose(names, asked, "pets")[0] == taken


@pytest.mark.parametrize(
    ("names", "asked", "text"),
    [
        (["train", "test"], "nothing", "pets has no part 'nothing'. Its parts are train, test. Name one"),
        (["test", "val"], "train", "pets has no part 'train'"),
        (
            ["trainA", "trainB", "testA"],
            "train",
            "several parts that may be meant by 'train': trainA, trainB",
        ),
    ],
)
def test_a_choice_that_cannot_be(names, asked, text):
    with pytest.raises(SaltflatError) as fault:
        choose(names, asked, "pets")
    assert text in str(fault.value) and "--val-split" in str(fault.value)


LAYOUTS = {
    "any case": ("Train", "Testing", "Meta"),
    "one word of the name": ("seg_train", "seg_test", "seg_pred"),
    "one in another": ("seg_train/seg_train", "seg_test/seg_test", "seg_pred/seg_pred"),
    "all in another": ("all/all/train", "all/all/test", "all/all/more"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_with_parts(tmp_path, layout):
    for number, part in enumerate(LAYOUTS[layout]):
        for k, name in enumerate(["cat", "dog"][: 2 if number < 2 else 1]):
            write(tmp_path / "all" / part / name / f"{number}{k}.png", 10 * number + k)
    train, val = load_dataset(tmp_path / "all"), load_dataset(tmp_path / "all", split="val")
    for number, data in enumerate([train, val]):
        assert data.classes == ("cat", "dog")
        assert list(data.ids) == [f"cat/{number}0.png", f"dog/{number}1.png"]
        for k in range(2):
            assert np.array_equal(np.asarray(data.images.image(k)), np.asarray(picture(10 * number + k)))
        assert [problem.kind for problem in data.problems] == ["part_taken"]
        name = LAYOUTS[layout][number].rpartition("/")[2]
        assert f"{name} was taken" in data.problems[0].message
    assert "no validation set" in val.problems[0].message
    third = LAYOUTS[layout][2].rpartition("/")[2]
    assert list(load_dataset(tmp_path / "all", split=third).ids) == ["cat/20.png"]
    with pytest.raises(SaltflatError, match="has no part 'other'"):
        load_dataset(tmp_path / "all", split="other")


def test_one_part_beside_other_things(tmp_path):
    write(tmp_path / "train" / "cat" / "1.png")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "readme.txt").touch()
    assert list(load_dataset(tmp_path).ids) == ["cat/1.png"]


def test_a_class_called_train_stays_one(tmp_path):
    for name in ("train", "bus"):
        write(tmp_path / name / "2020" / "1.png")
    assert load_dataset(tmp_path).classes == ("bus", "train")


def test_folders_without_parts_are_whole(tmp_path):
    write(tmp_path / "cat" / "1.png")
    for split in ("train", "val"):
        assert load_dataset(tmp_path, split=split).problems == []
    (problem,) = load_dataset(tmp_path, split="test").problems
    assert "has no parts, so all of it was taken for 'test'" in problem.message
    with pytest.raises(SaltflatError, match="has no parts, so there is no 'seg_pred'"):
        load_dataset(tmp_path, split="seg_pred")


@pytest.mark.parametrize(("split", "labels"), [("train", [1, 1]), ("val", [2]), ("Test", [2])])
def test_arrays_with_parts(tmp_path, split, labels):
    arrays = {
        "Training_images": np.zeros((2, 4, 4), np.uint8),
        "Training_labels": [1, 1],
        "Test_images": np.zeros((1, 4, 4), np.uint8),
        "Test_labels": [2],
    }
    np.savez(tmp_path / "t.npz", **arrays)
    data = load_dataset(tmp_path / "t.npz", split=split)
    assert [int(data.classes[k]) for k in data.given] == labels


def test_parts_are_named_before_one_is_opened(tmp_path):
    for part in ("train", "Testing"):
        write(tmp_path / "folder" / "folder" / part / "cat" / "1.png")
        (tmp_path / "tables" / "data").mkdir(parents=True, exist_ok=True)
        table = pa.table({"image": [b""], "label": ["x"]})
        pq.write_table(table, tmp_path / "tables" / "data" / f"{part}-00000-of-00001.parquet")
    pixels = np.zeros((1, 4, 4), np.uint8)
    np.savez(tmp_path / "t.npz", train_images=pixels, Testing_images=pixels)
    np.savez(tmp_path / "one.npz", images=pixels)
    for source in ("folder", "tables", "tables/data/*.parquet", "t.npz"):
        assert sorted(part_names(str(tmp_path / source))) == ["Testing", "train"]
    for source in (
        "folder/folder/train",
        "one.npz",
        "none",
        "tables/data/train-*",
        "digits",
        "a" * 5000,
        "\0",
    ):
        assert part_names(str(tmp_path / source)) == []
