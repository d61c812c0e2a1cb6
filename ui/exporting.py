"""Exports made once for a state of the decisions, as bytes for the browser."""

from __future__ import annotations

import hashlib
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from fvm_core.acceptance.expected import Expectation
from fvm_core.acceptance.of_run import Outlook, outlook
from fvm_core.pipeline import data_changes
from fvm_core.review.decisions import DecisionStore
from fvm_core.review.export import acceptance, audit_table, export_bytes, export_table, write_audit
from fvm_core.review.spreadsheet import spreadsheet_safe
from fvm_core.runs.run_folder import RunFolder
from ui import catalog, guards, results, settings

FORMATS = {"CSV": "csv", "JSONL": "jsonl", "Parquet": "parquet"}
MIME = {"csv": "text/csv", "jsonl": "application/jsonl", "parquet": "application/vnd.apache.parquet"}
READ = {
    "csv": 'pandas.read_csv("{name}", dtype=str, keep_default_na=False)',
    "jsonl": 'pandas.read_json("{name}", lines=True, dtype=False, convert_dates=False)',
    "parquet": 'pandas.read_parquet("{name}")',
}
CHANGED = ("relabelled", "auto_relabelled", "excluded")


@dataclass(frozen=True)
class File:
    """A file for the download button; the hash in its name keeps the server from sending an old one."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Accept:
    """Which suggestions are taken over without review: of which `precision` percent are right, or those above
    a percentile; with neither, none.
    """

    precision: float | None = None
    above: float | None = None

    @property
    def asked(self) -> bool:
        """Whether any are."""
        return self.precision is not None or self.above is not None


def table(run: RunFolder, accept: Accept, only_decided: bool) -> pd.DataFrame:
    """The export as a frame, made again only after a new decision or another option."""
    revision = results.store().revision(run.id)
    return _table(str(run.path), results.version(run), revision, accept, only_decided)


def expected(run: RunFolder, accept: Accept) -> tuple[str, str | None, Expectation | None]:
    """What accepting is expected to do: in words, a warning or None, and in numbers where they are known."""
    revision = results.store().revision(run.id)
    return _expected(str(run.path), results.version(run), revision, accept)


def download(
    run: RunFolder, accept: Accept, only_decided: bool, kind: str, for_spreadsheets: bool = False
) -> File:
    """The export in one of `FORMATS`."""
    revision = results.store().revision(run.id)
    options = (accept, only_decided, kind, for_spreadsheets)
    return _download(str(run.path), results.version(run), revision, *options)


def audit(run: RunFolder, for_spreadsheets: bool = False) -> File:
    """Every event, in order, as CSV."""
    revision = results.store().revision(run.id)
    return _audit(str(run.path), revision, catalog.workspace().database, for_spreadsheets)


def changed_data(run: RunFolder) -> str | None:
    """What has changed in the data since the run; looked at once a minute."""
    return _changed_data(str(run.path), results.version(run))


@st.cache_data(max_entries=16, ttl=60, show_spinner="Looking whether the data is as it was …")
def _changed_data(path: str, version: int) -> str | None:
    return data_changes.warning(RunFolder(path))


def remember(run: RunFolder) -> None:
    """Note that the run was exported, for the list of runs."""
    with guards.told_errors():  # the file is there; only the list of runs does not know it
        settings.remember_export(catalog.workspace(), run.id)


@st.cache_resource(max_entries=2, show_spinner="Putting the labels together …")
def _table(path: str, version: int, revision: int, accept: Accept, only_decided: bool) -> pd.DataFrame:
    return export_table(
        RunFolder(path),
        DecisionStore(catalog.workspace().database),
        accept_above=accept.above,
        accept_precision=accept.precision,
        decisions_only=only_decided,
        known=None if accept.precision is None else _outlook(path, version),
    )


@st.cache_resource(max_entries=2, show_spinner="Estimating how many suggestions are right …")
def _outlook(path: str, version: int) -> Outlook:
    return outlook(RunFolder(path))


@st.cache_data(max_entries=64, show_spinner=False)
def _expected(
    path: str, version: int, revision: int, accept: Accept
) -> tuple[str, str | None, Expectation | None]:
    found = acceptance(
        RunFolder(path),
        DecisionStore(catalog.workspace().database),
        accept_above=accept.above,
        accept_precision=accept.precision,
        known=_outlook(path, version),
    )
    numbers = found.outlook.expect(found.accepted, found.undecided) if found.accepted.any() else None
    return found.sentence, found.warning, numbers


@st.cache_data(max_entries=4, show_spinner="Writing the file …")
def _download(
    path: str,
    version: int,
    revision: int,
    accept: Accept,
    only_decided: bool,
    kind: str,
    for_spreadsheets: bool,
) -> File:
    table = _table(path, version, revision, accept, only_decided)
    data = export_bytes(spreadsheet_safe(table) if for_spreadsheets else table, kind)
    return File(f"{_stem(path)}-cleaned-{_digest(data)}.{kind}", data)


@st.cache_data(max_entries=4, show_spinner=False)
def _audit(path: str, revision: int, database: str, for_spreadsheets: bool) -> File:
    events = audit_table(RunFolder(path), DecisionStore(database))
    events = spreadsheet_safe(events) if for_spreadsheets else events
    with tempfile.TemporaryDirectory() as folder:
        data = write_audit(events, Path(folder) / "audit.csv").read_bytes()
    return File(f"{_stem(path)}-audit-{_digest(data)}.csv", data)


def _stem(path: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", Path(path).name).strip("-") or "run"


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=4).hexdigest()
