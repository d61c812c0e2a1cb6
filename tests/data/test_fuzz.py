"""Whatever a file holds: a dataset of as many rows as went in, or words that say what to do."""

import csv
import io
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fvm_core.data import UNKNOWN, load_dataset
from fvm_core.data.problems import find_problems
from fvm_core.errors import SaltflatError

from .images import encoded, picture, write

ROWS = 6
FUZZ = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))

ODD_TEXTS = st.one_of(
    st.sampled_from(
        [
            "",
            "nan",
            "None",
            "-1",
            "\0",
            "\ud800",
            "C:\\a\\0.png",
            "http://h/0.png",
            "file://%00",
            "../0.png",
            "~/0.png",
        ]
    ),
    st.sampled_from(
        [
            "0.png",
            "1.png",
            "1",
            "sub/2.png",
            "x" * 300,
            "/data/local-files/?d=0.png",
            "/data/upload/1/a-1.png",
        ]
    ),
    st.text(max_size=12),
)
HEADER = st.sampled_from(["path", "label", "id", "none", ""])
PARTS = st.sampled_from(["train", "train", "val", "val", "test", "Testing", "", "x"])
BYTES = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4)
CUT = st.one_of(st.just(0), st.integers(0, 400))


def read(source, rows, **options):
    """Open it as a run would; rows that went in come out, and every one can be asked for."""
    try:
        data = load_dataset(source, **options)
    except SaltflatError as error:
        assert str(error).strip()
        return
    assert rows is None or len(data) == rows
    assert len(data.ids) == len(data.images) == len(data)
    assert data.given.min(initial=0) >= UNKNOWN and data.given.max(initial=0) < max(len(data.classes), 1)
    assert data.fingerprint() == data.take(np.arange(len(data))).fingerprint()
    find_problems(data)


def mutated(content, changes, cut):
    """Bytes changed at some places, and the end cut off."""
    content = bytearray(content)
    for place, value in changes:
        if content:
            content[place % len(content)] = value
    return bytes(content[: len(content) - cut % (len(content) + 1)] if cut else content)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    for name in ("0.png", "1.png", "sub/2.png"):
        write(folder / name)
    return folder


@pytest.mark.parametrize("kind", ["csv", "tsv"])
@given(
    rows=st.lists(st.tuples(ODD_TEXTS, ODD_TEXTS, ODD_TEXTS), min_size=1, max_size=ROWS),
    options=st.fixed_dictionaries({}, optional={"label": HEADER, "id": HEADER, "split": PARTS}),
)
@FUZZ
def test_any_cells(place, kind, rows, options):
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter={"csv": ",", "tsv": "\t"}[kind], quoting=csv.QUOTE_ALL)
    writer.writerows([("path", "label", "id"), *rows])
    file = place / f"cells.{kind}"
    file.write_bytes(text.getvalue().encode("utf-8", "surrogatepass"))
    read(file, len(rows), **options)


@pytest.mark.parametrize("kind", ["csv", "tsv"])
@given(
    content=st.one_of(
        st.binary(max_size=80),
        st.text('path,label\t;"\r\n\0é ab01.png', max_size=80).map(str.encode),
        st.builds(mutated, st.just(b"path,label\n0.png,a\n1.png,b\n"), BYTES, CUT),
    )
)
@FUZZ
def test_any_text_table(place, kind, content):
    file = place / f"bytes.{kind}"
    file.write_bytes(content)
    read(file, None)


@given(
    content=st.one_of(
        st.lists(
            st.dictionaries(
                st.sampled_from(["path", "label", "id"]),
                st.none() | ODD_TEXTS | st.integers() | st.floats() | st.booleans() | st.lists(ODD_TEXTS),
            ),
            max_size=ROWS,
        ).map(lambda rows: "\n".join(map(json.dumps, rows)).encode("utf-8", "surrogatepass")),
        st.builds(
            mutated, st.just(b'{"path": "0.png", "label": "a"}\n{"path": "1.png", "label": 1}\n'), BYTES, CUT
        ),
        st.just(b"[" * 100_000),
    )
)
@FUZZ
def test_any_json_lines(place, content):
    file = place / "lines.jsonl"
    file.write_bytes(content)
    read(file, None)


COLUMNS = st.one_of(
    st.lists(st.none() | ODD_TEXTS.filter(lambda text: text.isprintable()), min_size=ROWS, max_size=ROWS).map(
        lambda values: pa.array(values, pa.string())
    ),
    st.lists(st.none() | st.binary(max_size=6), min_size=ROWS, max_size=ROWS).map(
        lambda values: pa.array(values, pa.binary())
    ),
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=ROWS, max_size=ROWS).map(
        lambda values: pa.array(values, pa.int64())
    ),
    st.lists(st.none() | st.integers(0, 2**64 - 1), min_size=ROWS, max_size=ROWS).map(
        lambda values: pa.array(values, pa.uint64())
    ),
    st.lists(st.none() | st.floats(), min_size=ROWS, max_size=ROWS).map(lambda v: pa.array(v, pa.float64())),
    st.lists(st.none() | st.floats(width=16), min_size=ROWS, max_size=ROWS).map(
        lambda values: pa.array([None if v is None else np.float16(v) for v in values], pa.float16())
    ),
    st.sampled_from(
        [
            pa.nulls(ROWS),
            pa.array([True, None] * (ROWS // 2)),
            pa.array(["a", None] * (ROWS // 2)).dictionary_encode(),
            pa.array([1, -1] * (ROWS // 2)).dictionary_encode(),
            pa.array([[1], None] * (ROWS // 2)),
            pa.array([{"bytes": encoded(picture(1)), "path": "0.png"}, None] * (ROWS // 2)),
            pa.array(
                [{"bytes": None, "path": "0.png"}] * ROWS,
                pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
            ),
            pa.array([{"bytes": "text", "path": 5}] * ROWS),
            pa.array([{"other": 1}] * ROWS),
            pa.array([0] * ROWS, pa.timestamp("s")),
            pa.array([1] * ROWS, pa.decimal128(5)),
            pa.array([encoded(picture(1))] * ROWS),
            pa.array(["0.png", "1.png"] * (ROWS // 2)),
        ]
    ),
)


def mostly(good, odd):
    return st.integers(0, 2).flatmap(lambda number: good if number else odd)


GOOD_IMAGES = st.sampled_from(
    [pa.array([encoded(picture(n)) for n in range(ROWS)]), pa.array(["0.png", "1", "gone.png"] * (ROWS // 3))]
)
GOOD_LABELS = st.sampled_from([pa.array(["a", "b", None] * (ROWS // 3)), pa.array([1, -1, 2] * (ROWS // 3))])


@given(
    columns=st.fixed_dictionaries(
        {"image": mostly(GOOD_IMAGES, COLUMNS), "label": mostly(GOOD_LABELS, COLUMNS)},
        optional={"id": COLUMNS, "true_label": COLUMNS},
    ),
    group=st.integers(1, ROWS),
    split=PARTS,
)
@FUZZ
def test_any_parquet_columns(place, columns, group, split):
    file = place / "t.parquet"
    try:
        pq.write_table(pa.table(columns), file, row_group_size=group)
    except pa.ArrowException:
        return  # what Arrow itself can't write
    read(file, ROWS, split=split)


@given(changes=BYTES, cut=CUT)
@FUZZ
def test_damaged_parquet(place, changes, cut):
    file = place / "damaged.parquet"
    table = pa.table({"image": [encoded(picture(n)) for n in range(ROWS)], "label": ["a", "b"] * (ROWS // 2)})
    pq.write_table(table, file, row_group_size=2, compression="none")
    file.write_bytes(mutated(file.read_bytes(), changes, cut))
    read(file, None)


ARRAYS = st.one_of(
    st.sampled_from(
        [
            np.zeros((ROWS, 4, 4), np.uint8),
            np.zeros((ROWS, 4, 4, 3), np.uint8),
            np.zeros((ROWS, 0, 4), np.uint8),
            np.zeros((0, 4, 4), np.uint8),
            np.zeros((ROWS, 3, 4, 4), np.float32),
            np.array(5),
            np.array([b"\xff"] * ROWS),
            np.array(["a", "nan"] * (ROWS // 2)),
            np.array([1.0, np.nan] * (ROWS // 2)),
            np.array([np.inf, 1e300] * (ROWS // 2)),
            np.array([True, False] * (ROWS // 2)),
            np.array([2**64 - 1] * ROWS, np.uint64),
            np.array([1j] * ROWS),
            np.array(["2020-01-01"] * ROWS, "datetime64[D]"),
            np.zeros(ROWS, [("a", int)]),
        ]
    ),
    st.lists(st.integers(-3, 9), min_size=ROWS, max_size=ROWS).map(np.array),
    st.lists(st.text(max_size=4), min_size=ROWS, max_size=ROWS).map(lambda values: np.array(values, str)),
)
NAMES = (
    "images",
    "labels",
    "ids",
    "true_labels",
    "class_names",
    "Train_images",
    "test_images",
    "test_labels",
)


GOOD = {"images": np.zeros((ROWS, 4, 4), np.uint8), "labels": np.arange(ROWS)}


@given(
    arrays=st.dictionaries(st.sampled_from(NAMES), ARRAYS, max_size=4),
    good=st.booleans(),
    packed=st.booleans(),
    split=PARTS,
)
@FUZZ
def test_any_arrays(place, arrays, good, packed, split):
    arrays = {**(GOOD if good else {}), **arrays}
    (np.savez_compressed if packed else np.savez)(place / "t.npz", **arrays)
    images = arrays.get("images")
    read(place / "t.npz", None if images is None else len(np.atleast_1d(images)), split=split)


@given(changes=BYTES, cut=CUT, packed=st.booleans())
@FUZZ
def test_damaged_archives(place, changes, cut, packed):
    file = place / "damaged.npz"
    save = np.savez_compressed if packed else np.savez
    save(file, images=np.zeros((ROWS, 4, 4), np.uint8), labels=np.arange(ROWS))
    file.write_bytes(mutated(file.read_bytes(), changes, cut))
    read(file, None)


FOLDERS = ["cat", "dog", "train", "Test", "seg_train", "@eaDir", ".x", "None", "é", "data", "a"]
FILES = [
    "1.png",
    "2.JPG",
    "t.parquet",
    "t-0-of-2.csv",
    "t-1-of-2.csv",
    "Thumbs.db",
    "._1.png",
    "notes",
    "\udcff.png",
]


@given(
    paths=st.lists(
        st.tuples(st.lists(st.sampled_from(FOLDERS), max_size=4), st.sampled_from(FILES)), max_size=8
    ),
    content=st.binary(max_size=20),
    split=PARTS,
)
@FUZZ
def test_any_folder(place, paths, content, split):
    folder = place / "folder"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for folders, name in paths:
        path = folder.joinpath(*folders, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if name != "1.png" else encoded(picture(1)))
    read(folder, None, split=split)
