"""What a review has exported is read again: clean labels, ids and exclusions, from wherever the file lies."""

import json

import numpy as np
import pytest
from PIL import Image

from fvm_core.data import UNKNOWN, load_dataset
from fvm_core.errors import SaltflatError
from fvm_core.review.export import FORMATS, export
from tests.review.cases import decide, scored_run, store_at

GIVEN = ["cat", "dog", "cat", "dog", "cat", "dog"]
SUGGESTED = ["dog", "dog", "dog", "cat", "cat", "dog"]


@pytest.fixture
def exported(tmp_path):
    """A function that writes an export of six images, which lie in `photos`."""
    run = scored_run(tmp_path / "run", GIVEN, SUGGESTED, percentile=np.full(6, 50.0))
    store = store_at(tmp_path)
    decide(store, run, 0, "relabel", "bird")
    decide(store, run, 2, "exclude")
    decide(store, run, 3, "keep")
    table = run.scores.assign(path=[f"photos/{row}.png" for row in range(6)])
    table.to_parquet(run.path / "scores.parquet")
    (tmp_path / "photos").mkdir()
    for row in range(6):
        Image.new("L", (8, 8), 40 * row).save(tmp_path / "photos" / f"{row}.png")

    def write(place, format):
        place.mkdir(exist_ok=True)
        export(run, store, place / f"clean.{format}", dataset=object())
        return place / f"clean.{format}"

    return write


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("elsewhere", [False, True])
def test_an_export_is_read_with_its_clean_labels(exported, tmp_path, format, elsewhere):
    file = exported(tmp_path / "elsewhere" if elsewhere else tmp_path, format)
    dataset = load_dataset(file, image_root=tmp_path if elsewhere else None)
    labels = [None if k == UNKNOWN else dataset.classes[k] for k in dataset.given]
    assert labels == ["bird", "dog", None, "dog", "cat", "dog"]
    assert dataset.ids == [f"s{row}" for row in range(6)]
    assert [dataset.images.image(row).getpixel((0, 0)) for row in range(6)] == [0, 40, 80, 120, 160, 200]
    (notice,) = [one for one in dataset.problems if one.kind == "read_from_export"]
    assert notice.message.endswith("1 row that the review excluded takes no part: the label is left out.")
    # Who wants the labels as they were says so.
    before = load_dataset(file, label="given_label", image_root=tmp_path)
    assert [before.classes[k] for k in before.given] == GIVEN
    assert "read_from_export" not in {one.kind for one in before.problems}


def test_an_export_from_another_folder_says_where_it_looked(exported, tmp_path):
    file = exported(tmp_path / "elsewhere", "csv")
    with pytest.raises(SaltflatError, match=r"elsewhere/photos/0\.png"):
        load_dataset(file)


LINES = {
    "no JSON": ('{"path": "0.png", "label": "a"}\nnot this\n', "line 2 is no JSON"),
    "a list": ('["path", "label"]\n', "line 1 is no JSON object"),
    "other columns": ('{"path": "0.png", "label": "a"}\n{"path": "1.png"}\n', "line 2 has other columns"),
    "several values": ('{"path": "0.png", "label": ["a", "b"]}\n', "line 1: 'label' holds several values"),
    "nothing": ("\n", "is empty"),
}


@pytest.mark.parametrize(("text", "message"), LINES.values(), ids=LINES.keys())
def test_lines_that_are_no_table_are_told(tmp_path, text, message):
    (tmp_path / "x.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(SaltflatError, match=message):
        load_dataset(tmp_path / "x.jsonl")


def test_json_lines_are_a_table_like_others(tmp_path):
    lines = []
    for row, label in enumerate(["a", 3, None, -1, "b", 3]):
        Image.new("L", (8, 8), row).save(tmp_path / f"{row}.png")
        lines.append(json.dumps({"label": label, "path": f"{row}.png"}))
    (tmp_path / "x.jsonl").write_text("\n".join(lines), encoding="utf-8")
    dataset = load_dataset(tmp_path / "x.jsonl")
    assert dataset.classes == ("3", "a", "b")
    assert dataset.given.tolist() == [1, 0, UNKNOWN, UNKNOWN, 2, 0]
