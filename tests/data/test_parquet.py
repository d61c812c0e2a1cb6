import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fvm_core.data import UNKNOWN, load_dataset
from fvm_core.data.row_groups import ParquetColumn
from fvm_core.data.table_columns import column_names
from fvm_core.errors import SaltflatError, UnreadableImage

from .images import encoded, picture, write

BLOBS = [encoded(picture(seed)) for seed in range(4)]
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def save(path, metadata=None, rows_per_group=2, /, **columns):
    table = pa.table(columns)
    pq.write_table(table.replace_schema_metadata(metadata), path, row_group_size=rows_per_group)
    return path


def hugging_face(**features):
    return {"huggingface": json.dumps({"info": {"features": features}})}


def assert_pictures(data, seeds=range(4)):
    for row, seed in enumerate(seeds):
        assert np.array_equal(np.asarray(data.images.image(row)), np.asarray(picture(seed)))


def struct(paths=(None,) * 4, blobs=BLOBS):
    return pa.array([{"bytes": b, "path": p} for b, p in zip(blobs, paths, strict=True)], type=STRUCT)


def test_hugging_face_layout_with_class_label(tmp_path):
    about = hugging_face(
        label={"names": ["dog", "cat", "ant"], "_type": "ClassLabel"}, image={"_type": "Image"}
    )
    paths = ["a.png", "b.png", "c.png", "d.png"]
    file = save(tmp_path / "t.parquet", about, image=struct(paths), label=pa.array([1, 0, None, 1]))
    data = load_dataset(file)
    assert data.classes == ("dog", "cat", "ant")
    assert data.given.tolist() == [1, 0, UNKNOWN, 1]
    assert list(data.ids) == list(data.paths) == paths
    assert [problem.rows for problem in data.problems] == [(2,)]
    assert_pictures(data)


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["b", "a", None, ""]),
        pa.array(["b", "a", None, ""], type=pa.large_string()),
        pa.array(["b", "a", None, ""], type=pa.string_view()),
        pa.array(["b", "a", None, ""]).dictionary_encode(),
    ],
    ids=lambda column: str(column.type),
)
def test_texts(tmp_path, column):
    data = load_dataset(save(tmp_path / "t.parquet", image=pa.array(BLOBS), label=column))
    assert data.classes == ("a", "b")
    assert data.given.tolist() == [1, 0, UNKNOWN, UNKNOWN]
    assert list(data.ids) == ["1", "2", "3", "4"]
    assert data.paths is None
    assert_pictures(data)


@pytest.mark.parametrize(
    ("column", "classes", "codes"),
    [
        (pa.array([10, 9, None, 10], type=pa.int8()), ("9", "10"), [1, 0, UNKNOWN, 1]),
        (pa.array([10.0, 9.0, None, 10.0]), ("9", "10"), [1, 0, UNKNOWN, 1]),
        (pa.array([-1, 2, 3, 2]), ("2", "3"), [UNKNOWN, 0, 1, 0]),
        (pa.array([10, 9, None, 9]).dictionary_encode(), ("9", "10"), [1, 0, UNKNOWN, 0]),
        (pa.array([True, False, None, True]), ("false", "true"), [1, 0, UNKNOWN, 1]),
        (pa.nulls(4), (), [UNKNOWN] * 4),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_numbers_without_names(tmp_path, column, classes, codes):
    data = load_dataset(save(tmp_path / "t.parquet", image=pa.array(BLOBS), label=column))
    assert data.classes == classes
    assert data.given.tolist() == codes


def test_what_pandas_writes(tmp_path):
    frame = pd.DataFrame(
        {"image": BLOBS, "label": pd.Categorical(["x", "y", None, "x"]), "id": [7, 8, 9, 10]}
    )
    frame.to_parquet(tmp_path / "t.parquet")
    data = load_dataset(tmp_path / "t.parquet")
    assert data.given.tolist() == [0, 1, UNKNOWN, 0]
    assert list(data.ids) == ["7", "8", "9", "10"]


def test_paths_start_at_the_file(tmp_path):
    write(tmp_path / "sub" / "a.png", 1)
    file = save(tmp_path / "t.parquet", path=["sub/a.png", None], label=["x", "y"])
    data = load_dataset(file)
    assert list(data.ids) == ["sub/a.png", "2"]
    assert list(data.paths) == ["sub/a.png", ""]
    assert_pictures(data, [1])
    with pytest.raises(UnreadableImage, match="Row 2 names no image"):
        data.images.image(1)
    only_paths = struct(["sub/a.png", None], [None, None])
    data = load_dataset(save(tmp_path / "s.parquet", image=only_paths, label=["x", "y"]))
    assert_pictures(data, [1])


def test_null_images_are_unreadable_rows(tmp_path):
    data = load_dataset(save(tmp_path / "t.parquet", image=pa.array([None, BLOBS[1]]), label=["x", "y"]))
    with pytest.raises(UnreadableImage, match=r"Row 1 of t\.parquet has no image"):
        data.images.image(0)
    whole = pa.array([None, {"bytes": BLOBS[1], "path": "p"}], type=STRUCT)
    data = load_dataset(save(tmp_path / "t.parquet", image=whole, label=["x", "y"]))
    with pytest.raises(UnreadableImage, match="has no image"):
        data.images.image(0)
    assert np.array_equal(np.asarray(data.images.image(1)), np.asarray(picture(1)))
    assert list(data.ids) == ["1", "p"]


def test_given_and_true_labels_share_classes(tmp_path):
    file = save(
        tmp_path / "t.parquet", image=pa.array(BLOBS), noisy=["a", "b", "a", "c"], clean=["a", "d", "b", None]
    )
    data = load_dataset(file, label="noisy", true_label="clean")
    assert data.classes == ("a", "b", "c", "d")
    assert data.given.tolist() == [0, 1, 0, 2]
    assert data.true.tolist() == [0, 3, 1, UNKNOWN]


def test_columns_that_nobody_needs_are_not_read(tmp_path):
    columns = {"image": pa.array(BLOBS), "label": ["a", "b", "a", "b"], "big": ["x" * 100_000] * 4}
    file = save(tmp_path / "t.parquet", **columns)
    content = bytearray(file.read_bytes())
    about = pq.ParquetFile(file).metadata.row_group(0).column(2)
    assert about.path_in_schema == "big"
    start = about.dictionary_page_offset
    content[start : start + about.total_compressed_size] = bytes(about.total_compressed_size)
    file.write_bytes(content)
    assert_pictures(load_dataset(file))


def test_ambiguous_labels_list_the_candidates(tmp_path):
    file = save(tmp_path / "t.parquet", image=pa.array(BLOBS), one_label=["a"] * 4, two_label=["b"] * 4)
    with pytest.raises(
        SaltflatError, match=r"t\.parquet has several columns .*: one_label, two_label\. Name"
    ):
        load_dataset(file)


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"image": [1, 2], "label": ["a", "b"]}, "'image' of t.parquet has type int64; images must be"),
        ({"image": BLOBS[:2], "label": [0.5, 1.0]}, "'label' of t.parquet holds fractions"),
        (
            {"image": BLOBS[:2], "label": [["a"], ["b"]]},
            "has type list<.*labels must be texts or whole numbers",
        ),
    ],
)
def test_columns_of_a_wrong_type(tmp_path, columns, text):
    with pytest.raises(SaltflatError, match=text):
        load_dataset(save(tmp_path / "t.parquet", **columns))


def test_not_parquet(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(SaltflatError, match=r"t\.parquet can't be read as Parquet"):
        load_dataset(tmp_path / "t.parquet")


def test_an_image_is_read_with_its_row_group_when_it_is_asked_for(tmp_path, monkeypatch):
    blobs = [bytes([row]) * 100_000 for row in range(40)]
    file = save(tmp_path / "t.parquet", None, 4, image=pa.array(blobs), label=["a", "b"] * 20)
    before = pa.total_allocated_bytes()
    data = load_dataset(file)
    assert pa.total_allocated_bytes() - before < 100_000
    reads = []
    read = ParquetColumn._read
    monkeypatch.setattr(ParquetColumn, "_read", lambda self, group: reads.append(group) or read(self, group))
    assert [data.images.content(row) for row in range(40)] == blobs
    assert reads == list(range(10))


def test_few_row_groups_are_in_memory(tmp_path):
    blobs = [bytes([row]) * 100_000 for row in range(200)]
    file = save(tmp_path / "t.parquet", None, 10, image=pa.array(blobs), label=["a", "b"] * 100)
    column = ParquetColumn([file], "image", budget_bytes=3_500_000)
    begun = pa.total_allocated_bytes()
    most = 0
    for row in range(200):
        assert column[row].as_py() == blobs[row]
        most = max(most, pa.total_allocated_bytes() - begun)
    assert most < 6_000_000 < sum(map(len, blobs))
    order = np.random.default_rng(0).permutation(200)
    assert [column[int(row)].as_py() for row in order] == [blobs[row] for row in order]


def test_threads_read_a_row_group_once(tmp_path, monkeypatch):
    blobs = [bytes([row]) * 1000 for row in range(64)]
    data = load_dataset(save(tmp_path / "t.parquet", None, 16, image=pa.array(blobs), label=["a", "b"] * 32))
    reads = []
    read = ParquetColumn._read
    monkeypatch.setattr(ParquetColumn, "_read", lambda self, group: reads.append(group) or read(self, group))
    taken = data.images.take(np.arange(64)[::-1])
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(taken.content, range(64))) == blobs[::-1]
    assert sorted(reads) == [0, 1, 2, 3]
    copy = pickle.loads(pickle.dumps(taken))
    assert copy.content(0) == blobs[63] and copy.stamp() == taken.stamp()
    assert len(pickle.dumps(taken)) < 10_000


def test_a_damaged_row_group_is_told_by_its_rows(tmp_path):
    file = save(tmp_path / "t.parquet", image=pa.array(BLOBS), label=list("abab"))
    about = pq.ParquetFile(file).metadata.row_group(1).column(0)
    content = bytearray(file.read_bytes())
    start = about.dictionary_page_offset or about.data_page_offset
    content[start : start + about.total_compressed_size] = bytes(about.total_compressed_size)
    file.write_bytes(content)
    data = load_dataset(file)
    assert_pictures(data.take(np.arange(2)), range(2))
    for row in (2, 3):
        with pytest.raises(UnreadableImage, match=rf"Row {row + 1} of t\.parquet can't be read"):
            data.images.image(row)


def test_a_file_that_changes_while_it_is_open_is_told(tmp_path):
    file = save(tmp_path / "t.parquet", image=pa.array(BLOBS), label=list("abab"))
    data = load_dataset(file)
    save(file, image=pa.array(BLOBS[::-1] * 2), label=list("abababab"))
    with pytest.raises(SaltflatError, match="has changed since it was opened"):
        data.images.content(0)


def test_no_rows(tmp_path):
    with pytest.raises(SaltflatError, match=r"t\.parquet has no rows"):
        load_dataset(
            save(tmp_path / "t.parquet", image=pa.array([], pa.binary()), label=pa.array([], pa.string()))
        )


def test_ids_that_are_no_texts_name_their_column(tmp_path):
    columns = {"image": pa.array(BLOBS), "label": list("abab"), "id": [[1]] * 4}
    with pytest.raises(
        SaltflatError, match=r"Column 'id' of t\.parquet has type list.*another column of ids"
    ):
        load_dataset(save(tmp_path / "t.parquet", **columns))


def test_names_that_are_no_text_are_damage(tmp_path):
    file = save(tmp_path / "t.parquet", image=pa.array(BLOBS), label=list("abab"))
    file.write_bytes(file.read_bytes().replace(b"label", b"l\x80bel"))
    with pytest.raises(SaltflatError, match=r"t\.parquet can't be read as Parquet"):
        load_dataset(file)
    assert column_names(str(file)) == []
