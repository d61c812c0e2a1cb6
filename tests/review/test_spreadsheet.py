import numpy as np
import pandas as pd
import pytest

from fvm_core.errors import SaltflatError
from fvm_core.review.export import export, export_bytes, read_export
from fvm_core.review.spreadsheet import spreadsheet_safe
from fvm_core.review.table_files import COLUMNS
from tests.cli.test_commands import call
from tests.ui import runs

DANGEROUS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠x", "=", "-"]
HARMLESS = ["", "cat", "a=b", "1-1", " =1", "'=1", "NA", '"=1"', "a,b;c", "1e5", "−1"]


def table(texts: list[str]) -> pd.DataFrame:
    numbers = np.linspace(-1, 1, len(texts))
    return pd.DataFrame({name: numbers if name in ("influence", "percentile") else texts for name in COLUMNS})


@pytest.mark.parametrize("format", ["csv", "tsv"])
def test_formulas_get_an_apostrophe_and_nothing_else_changes(tmp_path, format):
    given = table(DANGEROUS + HARMLESS)
    path = tmp_path / f"x.{format}"
    path.write_bytes(export_bytes(spreadsheet_safe(given), format))
    found = read_export(path)
    for name in COLUMNS:
        if name in ("influence", "percentile"):
            assert found[name].tolist() == given[name].tolist(), "negative numbers are numbers"
        else:
            assert found[name].tolist() == ["'" + text for text in DANGEROUS] + HARMLESS
    cells = export_bytes(spreadsheet_safe(given), format).decode()
    separator = "," if format == "csv" else "\t"
    assert not any(f'{separator}"{sign}' in cells for sign in "=+-@\t\r\n＝＋－＠")


def test_by_default_not_a_byte_changes():
    given = table(DANGEROUS + HARMLESS)
    before = export_bytes(given, "csv")
    spreadsheet_safe(given)
    assert export_bytes(given, "csv") == before
    assert b'"=1+1"' in before and b"'=1+1" not in before


@pytest.mark.parametrize("name", ["x.jsonl", "x.parquet", "folders"])
def test_other_formats_are_refused(tmp_path, name):
    with pytest.raises(SaltflatError, match="CSV and TSV"):
        export(None, None, tmp_path / name, for_spreadsheets=True)


def test_the_option_of_the_command_line(workspace, tmp_path):
    run = runs.finished_run(workspace, limit=60, rename={"5": "=1+1"})
    for name, options in (("exact", []), ("safe", ["--spreadsheet-safe"])):
        call("export", run.path, "--out", tmp_path / f"{name}.csv", *options)
    exact, safe = (read_export(tmp_path / f"{name}.csv") for name in ("exact", "safe"))
    assert (exact["given_label"] == "=1+1").any()
    assert safe["given_label"].tolist() == exact["given_label"].replace("=1+1", "'=1+1").tolist()
