"""Embeddings from elsewhere: every form is read by row or by id, and what is wrong is named."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fvm_core.errors import SaltflatError
from fvm_core.features.given import read_features

IDS = ["a", "b", "c"]
VALUES = np.arange(12, dtype=np.float32).reshape(3, 4)


def npy(folder, values=VALUES):
    np.save(folder / "own.npy", values)
    return folder / "own.npy"


def npz(folder, **arrays):
    np.savez(folder / "own.npz", **(arrays or {"train": VALUES}))
    return folder / "own.npz"


def parquet(folder, ids=IDS, values=VALUES, kind=None, **names):
    kind = kind or pa.list_(pa.float32())
    half = pa.types.is_list(kind) and pa.types.is_float16(kind.value_type)
    lists = pa.array([one.astype(np.float16) for one in values] if half else list(values), kind)
    table = {names.get("id", "id"): ids, names.get("column", "features"): lists}
    pq.write_table(pa.table(table), folder / "own.parquet")
    return folder / "own.parquet"


@pytest.mark.parametrize(
    "make",
    [
        npy,
        npz,
        parquet,
        lambda folder: npz(folder, features=VALUES),
        lambda folder: npz(folder, train=VALUES[::-1], train_ids=np.array(IDS[::-1])),
        lambda folder: npz(folder, features=VALUES[[2, 0, 1]], ids=np.array(["c", "a", "b"])),
        lambda folder: parquet(folder, IDS[::-1], VALUES[::-1]),
        lambda folder: parquet(folder, [*IDS, "d"], np.vstack([VALUES, VALUES[:1]])),
        lambda folder: parquet(folder, column="embedding"),
        lambda folder: parquet(folder, kind=pa.list_(pa.float16())),
        lambda folder: parquet(folder, kind=pa.list_(pa.float64(), 4)),
    ],
)
def test_rows_come_in_the_order_of_the_samples(tmp_path, make):
    assert np.array_equal(read_features(make(tmp_path), IDS, "train"), VALUES)


def test_a_row_without_values_stays_a_sample_without_features(tmp_path):
    values = VALUES.copy()
    values[1, 2] = np.nan
    assert np.isnan(read_features(npy(tmp_path, values), IDS, "train")[1]).any()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "none.npy", "no file"),
        (lambda folder: npy(folder, VALUES[:2]), "2 rows and the set has 3 samples"),
        (lambda folder: npy(folder, VALUES[0]), r"of shape \(4,\)"),
        (lambda folder: npy(folder, VALUES.astype("U4")), "features are numbers"),
        (lambda folder: npy(folder, np.where(VALUES == 7, np.inf, VALUES)), "sample 'b' are infinite"),
        (lambda folder: npz(folder, val=VALUES), "no array `train` or `features`; it has val"),
        (lambda folder: npz(folder, train=VALUES, ids=np.array(["a", "b"])), "2 ids and 3 rows"),
        (lambda folder: parquet(folder, ["a", "b", "z"]), "1 of 3 samples, the first is 'c'"),
        (lambda folder: parquet(folder, ["a", "b", "b"]), "more than once"),
        (lambda folder: parquet(folder, id="key"), "needs a column `id`"),
        (lambda folder: parquet(folder, column="numbers"), "it has id, numbers"),
        (lambda folder: parquet(folder, values=["x", "y", "z"], kind=pa.string()), "not lists"),
        (
            lambda folder: parquet(folder, values=[[1.0], [1.0, 2.0], [3.0]]),
            "row 1 has 2 features, the first row 1",
        ),
        (lambda folder: _text(folder, "own.npy"), "can't be read as an array"),
        (lambda folder: _text(folder, "own.npz"), "can't be read as arrays"),
        (lambda folder: _text(folder, "own.parquet"), "can't be read as a Parquet file"),
        (lambda folder: _text(folder, "own.csv"), "not from own.csv"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, make, words):
    with pytest.raises(SaltflatError, match=words):
        read_features(make(tmp_path), IDS, "train")


def _text(folder, name):
    (folder / name).write_text("no numbers here")
    return folder / name
