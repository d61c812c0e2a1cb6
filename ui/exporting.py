"""Exports made once for a state of the decisions, as bytes for the browser."""

from __future__ import annotations

import hashlib
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from fvm_core.pipeline.run_folder import RunFolder
from fvm_core.review.decisions import DecisionStore
from fvm_core.review.export import audit_table, export_bytes, export_table, write_audit
from ui import catalog, results, settings

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


def table(run: RunFolder, above: float | None, only_decided: bool) -> pd.DataFrame:
    """The export as a frame, made again only after a new decision or another option."""
    revision = results.store().revision(run.id)
    return _table(str(run.path), results.version(run), revision, above, only_decided)


def download(run: RunFolder, above: float | None, only_decided: bool, kind: str) -> File:
    """The export in one of `FORMATS`."""
    revision = results.store().revision(run.id)
    return _download(str(run.path), results.version(run), revision, above, only_decided, kind)


def audit(run: RunFolder) -> File:
    """Every event, in order, as CSV."""
    return _audit(str(run.path), results.store().revision(run.id), catalog.workspace().database)


def remember(run: RunFolder) -> None:
    """Note that the run was exported, for the list of runs."""
    home = catalog.workspace()
    exported = settings.read(home)["exported"]
    settings.update(home, exported={**exported, run.id: time.time()})


@st.cache_resource(max_entries=2, show_spinner="Putting the labels together …")
def _table(path: str, version: int, revision: int, above: float | None, only_decided: bool) -> pd.DataFrame:
    store = DecisionStore(catalog.workspace().database)
    return export_table(RunFolder(path), store, accept_above=above, decisions_only=only_decided)


@st.cache_data(max_entries=4, show_spinner="Writing the file …")
def _download(
    path: str, version: int, revision: int, above: float | None, only_decided: bool, kind: str
) -> File:
    data = export_bytes(_table(path, version, revision, above, only_decided), kind)
    return File(f"{_stem(path)}-cleaned-{_digest(data)}.{kind}", data)


@st.cache_data(max_entries=4, show_spinner=False)
def _audit(path: str, revision: int, database: str) -> File:
    events = audit_table(RunFolder(path), DecisionStore(database))
    with tempfile.TemporaryDirectory() as folder:
        data = write_audit(events, Path(folder) / "audit.csv").read_bytes()
    return File(f"{_stem(path)}-audit-{_digest(data)}.csv", data)


def _stem(path: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", Path(path).name).strip("-") or "run"


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=4).hexdigest()
