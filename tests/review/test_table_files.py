import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fvm_core.errors import SaltflatError
from fvm_core.review.export import COLUMNS, FORMATS, export_bytes, export_table, read_export, write_export
from tests.review.cases import AWKWARD, decide, scored_run, store_at

TEXTS = [name for name in COLUMNS if name not in ("influence", "percentile")]
QUICK = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(AWKWARD)
number = st.floats(allow_infinity=False) | st.floats(width=32, allow_infinity=False)


def frame(rows: list[tuple[list[str], float, float]]) -> pd.DataFrame:
    columns = {
        name: pd.Series([texts[k] for texts, _, _ in rows], dtype="str") for k, name in enumerate(TEXTS)
    }
    columns["influence"] = np.array([value for _, value, _ in rows], dtype=np.float64)
    columns["percentile"] = np.array([value for _, _, value in rows], dtype=np.float64)
    return pd.DataFrame(columns)[list(COLUMNS)]


def awkward_frame() -> pd.DataFrame:
    """Every awkward text in every text column."""
    count = len(AWKWARD)
    return frame(
        [([AWKWARD[(k + shift) % count] for shift in range(len(TEXTS))], k / 3, k / 7) for k in range(count)]
    )


def as_text(path, separator: str = ",") -> pd.DataFrame:
    return pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False)


@QUICK
@given(
    rows=st.lists(
        st.tuples(st.lists(text, min_size=len(TEXTS), max_size=len(TEXTS)), number, number), max_size=5
    )
)
@pytest.mark.parametrize("format", FORMATS)
def test_every_table_reads_back_the_same(tmp_path, format, rows):
    table = frame(rows)
    path = write_export(table, tmp_path / f"table.{format}")
    pd.testing.assert_frame_equal(read_export(path), table, check_exact=True, check_index_type=False)
    assert path.read_bytes() == export_bytes(table, format)


@pytest.mark.parametrize("format", FORMATS)
def test_awkward_texts_in_every_column(tmp_path, format):
    table = awkward_frame()
    path = write_export(table, tmp_path / "awkward", format)
    pd.testing.assert_frame_equal(read_export(path, format), table, check_exact=True)


@pytest.mark.parametrize(("format", "separator"), [("csv", ","), ("tsv", "\t")])
def test_pandas_reads_the_same_texts_and_numbers(tmp_path, format, separator):
    table = awkward_frame()
    read = as_text(write_export(table, tmp_path / f"t.{format}"), separator)
    assert list(read.columns) == list(COLUMNS)
    for name in TEXTS:
        assert read[name].tolist() == table[name].tolist()
    assert [float(value) for value in read["influence"]] == table["influence"].tolist()


def test_json_lines_and_parquet_are_plain_for_others(tmp_path):
    table = awkward_frame()
    lines = write_export(table, tmp_path / "t.jsonl").read_bytes().removesuffix(b"\n").split(b"\n")
    assert [list(json.loads(line).values()) for line in lines] == table.to_numpy(dtype=object).tolist()
    pd.testing.assert_frame_equal(pd.read_parquet(write_export(table, tmp_path / "t.parquet")), table)


def test_numbers_come_back_as_the_same_float32_and_float64(tmp_path):
    single = np.array([0.1, 1 / 3, 3.4e38, 1e-45, 16777217, 0.0, np.nan], dtype=np.float32)
    double = np.array([0.1, 1 / 3, 1.7e308, 5e-324, 2.0**53 + 2, -0.0, np.nan])
    table = frame([([""] * len(TEXTS), float(a), float(b)) for a, b in zip(single, double, strict=True)])
    for format in ("csv", "jsonl"):
        read = read_export(write_export(table, tmp_path / f"t.{format}"))
        assert read["influence"].to_numpy(np.float32).tobytes() == single.tobytes()
        assert read["percentile"].to_numpy().tobytes() == double.tobytes()
    assert as_text(tmp_path / "t.csv")["influence"].iloc[-1] == ""
    assert '"influence": null' in (tmp_path / "t.jsonl").read_text().splitlines()[-1]


def test_a_reviewed_run_with_awkward_labels_paths_and_reviewers(tmp_path):
    count = len(AWKWARD)
    paths = [f"folder, {text}/{k}.png" for k, text in enumerate(AWKWARD)]
    run = scored_run(tmp_path / "run", AWKWARD, AWKWARD[::-1], ids=paths, paths=paths, name='=run, "1"\n')
    store = store_at(tmp_path)
    for row in range(0, count, 2):
        decide(store, run, row, "relabel", AWKWARD[row - 1], who=AWKWARD[row])
    table = export_table(run, store)
    read = as_text(write_export(table, tmp_path / "clean.csv"))
    assert read["path"].tolist() == paths
    assert read["given_label"].tolist() == AWKWARD
    expected = [AWKWARD[row if row % 2 else row - 1] for row in range(count)]
    assert read["clean_label"].tolist() == expected
    assert read["reviewer"].tolist() == ["" if row % 2 else AWKWARD[row] for row in range(count)]
    assert set(read["run"]) == {'=run, "1"\n'}


def test_halves_of_surrogate_pairs_are_written_as_escapes(tmp_path):
    table = awkward_frame().astype({"path": object})
    table.loc[0, "path"] = "caf\udce9.png"
    for format in FORMATS:
        assert read_export(write_export(table, tmp_path / f"t.{format}"))["path"].iloc[0] == "caf\\udce9.png"


def test_writing_leaves_no_other_files_and_replaces_an_older_export(tmp_path):
    path = tmp_path / "clean.csv"
    path.write_text("old")
    write_export(awkward_frame(), path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["clean.csv"]
    assert len(read_export(path)) == len(AWKWARD)


def test_places_that_cannot_be_written_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(SaltflatError, match=r"file.t\.csv can't be written"):
        write_export(awkward_frame(), tmp_path / "file" / "t.csv")
    with pytest.raises(SaltflatError, match=r"folder\.csv can't be written"):
        write_export(awkward_frame(), tmp_path / "folder.csv")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder.csv"]


def test_files_that_are_no_export_are_refused(tmp_path):
    with pytest.raises(SaltflatError, match="There is no file"):
        read_export(tmp_path / "none.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SaltflatError, match="lacks the columns id, path"):
        read_export(tmp_path / "other.csv")
    for name, content in [("a.parquet", b"PAR1"), ("b.jsonl", b"{"), ("c.csv", b""), ("d.tsv", b"\xff\xfe")]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SaltflatError, match=name):
            read_export(tmp_path / name)
