"""Tables for people who open them in a spreadsheet, which takes some texts for formulas."""

from __future__ import annotations

import pandas as pd

from fvm_core.errors import SaltflatError

FORMATS = ("csv", "tsv")
"""The formats that spreadsheets open and that hold no types."""

_DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def spreadsheet_safe(table: pd.DataFrame) -> pd.DataFrame:
    """The table with an apostrophe before every text that a spreadsheet might run as a formula.

    These are texts that begin with `=`, `+`, `-`, `@` (also in full width), a tab or a line break. Numbers
    and all other texts stay as they are. Such a file no longer reads back to the exact labels.
    """
    safe = table.copy()
    for name in table:
        column = table[name]
        if not pd.api.types.is_numeric_dtype(column.dtype):
            texts = column.to_numpy(dtype=object)
            marked = ["'" + text if str(text).startswith(_DANGEROUS) else text for text in texts]
            safe[name] = pd.Series(marked, table.index, dtype=object)
    return safe


def check_format(format: str) -> None:
    """Raise `SaltflatError` for a format in which nothing is made safe for spreadsheets."""
    if format not in FORMATS:
        raise SaltflatError(
            f"Spreadsheets open CSV and TSV; for {format} leave the spreadsheet-safe option out."
        )
