import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fvm_core.data import DatasetSpec, load_dataset, open_spec
from fvm_core.data.shards import by_stem, missing
from fvm_core.data.table_columns import column_names
from fvm_core.errors import SaltflatError

from .images import encoded, picture, write

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def parquet(path, seeds, label="x"):
    """One picture of each seed, with the path `SEED.png`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = pa.array([{"bytes": encoded(picture(n)), "path": f"{n}.png"} for n in seeds], type=STRUCT)
    table = pa.table({"image": images, "label": [f"{label}{n % 2}" for n in seeds]})
    pq.write_table(table, path, row_group_size=2)


def text(path, seeds, label="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        mark = "\t" if path.suffix == ".tsv" else ","
        rows = [(f"{n}.png", f"{label}{n % 2}") for n in seeds]
        csv.writer(file, delimiter=mark).writerows([("path", "label"), *rows])
    for n in seeds:
        write(path.parent / f"{n}.png", n)


WRITERS = {".parquet": parquet, ".csv": text, ".tsv": text}


def assert_rows(data, seeds):
    assert list(data.ids) == [f"{n}.png" for n in seeds]
    assert [data.classes[k] for k in data.given] == [f"x{n % 2}" for n in seeds]
    for row, n in enumerate(seeds):
        assert np.array_equal(np.asarray(data.images.image(row)), np.asarray(picture(n)))


def kinds(data):
    return [problem.kind for problem in data.problems]


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("place", ["", "data", "default", "only"])
@pytest.mark.parametrize("asked", ["folder", "pattern", "every folder"])
def test_shards_in_the_order_of_their_numbers(tmp_path, kind, place, asked):
    seeds = iter(range(100))
    wanted = {"train": [], "test": []}
    for part in wanted:
        for number in range(11):  # as text 10 would come before 2
            rows = [next(seeds), next(seeds)]
            wanted[part] += rows
            WRITERS[kind](tmp_path / "set" / place / f"{part}-{number}-of-11{kind}", rows)
    for split, part in [("train", "train"), ("val", "test"), ("test", "test")]:
        source = {
            "folder": tmp_path / "set",
            "pattern": tmp_path / "set" / place / f"{part}-*{kind}",
            "every folder": tmp_path / "set" / "**" / f"{part}-*",
        }[asked]
        data = load_dataset(source, split=split)
        assert_rows(data, wanted[part])
        assert kinds(data) == (["part_taken"] if asked == "folder" and split != "test" else [])
        assert data.name == part
        assert column_names(str(source)) == column_names(data.files[0]) != []
        again = open_spec(DatasetSpec(**data.spec.to_dict()))
        assert again.fingerprint() == data.fingerprint()
        assert [Path(file).name for file in data.files] == [f"{part}-{n}-of-11{kind}" for n in range(11)]


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("asked", ["folder", "pattern"])
def test_a_missing_shard_is_told(tmp_path, kind, asked):
    for number in (0, 3):
        WRITERS[kind](tmp_path / "data" / f"train-{number:05d}-of-00004{kind}", [number])
    data = load_dataset(tmp_path if asked == "folder" else tmp_path / "data" / f"train-*{kind}")
    assert_rows(data, [0, 3])
    (problem,) = data.problems
    assert problem.kind == "missing_shard"
    assert "2 of 4 files of train" in problem.message and "number 00001, 00002" in problem.message


@pytest.mark.parametrize(
    ("names", "gaps"),
    [
        (["train-00000-of-00002-1a2b3c.parquet", "train-00001-of-00002-4d5e6f.parquet"], ""),
        (["t-00001-of-00002.csv", "t-00002-of-00002.csv"], ""),
        (["0000.parquet", "0002.parquet"], "00001"),
        (["part-00000-a1b2.snappy.parquet", "part-00003-a1b2.c000.parquet"], "00001, 00002"),
        (["fold_9.csv", "fold_10.csv", "fold_12.csv"], "00011"),
        (["labels.csv"], ""),
    ],
)
def test_numbers_in_names(names, gaps):
    ((_, shards),) = by_stem([Path(name) for name in reversed(names)]).items()
    assert [one.file.name for one in shards] == names
    assert [f"number {gaps}:" in problem.message for problem in missing(shards)] == ([True] if gaps else [])


def test_one_shard_of_several_is_taken_alone_and_told(tmp_path):
    for number in range(2):
        parquet(tmp_path / f"train-0000{number}-of-00002.parquet", [number])
    data = load_dataset(tmp_path / "train-00001-of-00002.parquet")
    assert_rows(data, [1])
    (problem,) = data.problems
    assert problem.kind == "one_shard" and str(tmp_path / "train*-of-*.parquet") in problem.message
    assert_rows(load_dataset(tmp_path / "train-*-of-00002.parquet"), [0, 1])


def test_folders_of_parts_that_hold_tables(tmp_path):
    for k, part in enumerate(["train", "validation", "test"]):
        for number in range(2):
            parquet(tmp_path / "default" / part / f"000{number}.parquet", [10 * k + number])
    (tmp_path / "README.md").touch()
    for k, split in enumerate(["train", "val", "test"]):
        assert_rows(load_dataset(tmp_path, split=split), [10 * k, 10 * k + 1])
    with pytest.raises(SaltflatError, match=r"has no part 'extra'\. Its parts are test, train, validation"):
        load_dataset(tmp_path, split="extra")


def test_class_names_of_shards_are_matched_by_name(tmp_path):
    for number, label in enumerate("ba"):
        parquet(tmp_path / f"train-0000{number}-of-00002.parquet", [number], label)
    data = load_dataset(tmp_path)
    assert data.classes == ("a1", "b0")
    assert data.given.tolist() == [1, 0]


def test_images_beside_a_table_are_class_folders(tmp_path):
    write(tmp_path / "cat" / "1.png")
    parquet(tmp_path / "embeddings.parquet", [1])
    assert list(load_dataset(tmp_path).ids) == ["cat/1.png"]


def test_row_numbers_of_tables_without_paths_and_ids_go_on(tmp_path):
    for number in range(2):
        table = pa.table({"image": [encoded(picture(k)) for k in (0, 1)], "label": ["a", "b"]})
        pq.write_table(table, tmp_path / f"t-{number}-of-2.parquet")
    data = load_dataset(tmp_path)
    assert list(data.ids) == ["1", "2", "3", "4"]
    assert data.images._name(3) == "Row 2 of t-1-of-2.parquet"


@pytest.mark.parametrize(
    ("names", "source", "words"),
    [
        (["a.parquet", "b.parquet"], "", "holds several tables: a.parquet, b.parquet"),
        (["t-0-of-2.parquet", "t-1-of-3.parquet"], "", "shards of more than one table"),
        (["t-0-of-2-a.parquet", "t-0-of-2-b.parquet"], "t-*", "shards of more than one table"),
        (["a.parquet", "b.csv"], "*", "tables of several kinds (.csv, .parquet)"),
        (["a.parquet"], "b-*.parquet", "No table fits"),
        (["a.parquet"], "*.png", "No table fits"),
        (["t-0-of-999999999.parquet"], "t-*", "can't be one of 999,999,999 files"),
    ],
)
def test_tables_that_can_not_be_told_apart(tmp_path, names, source, words):
    for name in names:
        WRITERS[Path(name).suffix](tmp_path / name, [1])
    with pytest.raises(SaltflatError) as fault:
        load_dataset(tmp_path / source)
    assert words in str(fault.value)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_with_other_columns_is_named(tmp_path, kind):
    WRITERS[kind](tmp_path / f"t-0-of-2{kind}", [1])
    file = tmp_path / f"t-1-of-2{kind}"
    if kind == ".parquet":
        pq.write_table(pa.table({"image": [b""], "class": ["a"]}), file)
    else:
        file.write_text({".csv": "path,class\n1.png,a\n", ".tsv": "path\tclass\n1.png\ta\n"}[kind])
    with pytest.raises(SaltflatError, match=rf"t-1-of-2\{kind} has no column 'label'"):
        load_dataset(tmp_path)


def test_a_folder_called_like_a_pattern(tmp_path):
    parquet(tmp_path / "a[1]" / "t-0-of-1.parquet", [1])
    assert_rows(load_dataset(tmp_path / "a[1]" / "t-*.parquet"), [1])
    assert_rows(load_dataset(tmp_path / "a[1]"), [1])
