import pytest

from fvm_core.data.columns import Columns, find_columns
from fvm_core.errors import SaltflatError


def test_usual_names_in_any_case():
    found = find_columns(["ID", "File", "Class", "true_label"], "t.csv")
    assert found == Columns(label="Class", image="File", true_label="true_label", id="ID")


def test_asked_columns_win():
    names = ["id", "path", "label", "truth", "photo", "key"]
    found = find_columns(names, "t.csv", label="path", true_label="truth", image="photo", id="key")
    assert found == Columns(label="path", image="photo", true_label="truth", id="key")


def test_a_single_column_with_label_in_its_name_is_enough():
    assert find_columns(["image", "human_label"], "t").label == "human_label"


@pytest.mark.parametrize(
    ("names", "asked", "text"),
    [
        (
            ["path", "label"],
            {"label": "lable"},
            r"t\.csv has no column 'lable'. Its columns are path, label\.",
        ),
        (["path", "label", "label"], {"label": "label"}, "more than one column 'label'"),
        (
            ["where", "label"],
            {},
            r"no column of images .* Its columns are where, label\. Name the image column",
        ),
        (["path", "x", "y"], {}, r"no column of labels .* columns are x, y\. Name the label column"),
        (["path", "worse_label", "aggre_label"], {}, "several columns .*: worse_label, aggre_label"),
        (["path", "label", "class"], {}, "several columns .*: label, class"),
        ([], {}, "Its columns are none"),
    ],
)
def test_errors_list_the_columns(names, asked, text):
    with pytest.raises(SaltflatError, match=text):
        find_columns(names, "t.csv", **asked)


@pytest.mark.parametrize("name", ["Image_ID", "id_code", "img_path", "filepaths", "image_name"])
def test_names_that_public_tables_have(name):
    assert find_columns(["label", name, "age"], "t").image == name
    assert find_columns(["label", name, "path"], "t").image == "path"


@pytest.mark.parametrize("name", ["image", "id", "true_label"])
def test_a_column_that_is_there_twice_is_told_also_where_it_was_found(name):
    with pytest.raises(SaltflatError, match=f"t has more than one column '{name}'"):
        find_columns(["image", "label", "id", "true_label", name], "t")
