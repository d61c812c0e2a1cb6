"""Results of a run, read once and kept by folder and time of change; screens ask here, never the disk."""

from __future__ import annotations

import base64
import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import streamlit as st

from fvm_core.comparison import choice
from fvm_core.data import ImageDataset, open_spec
from fvm_core.data.thumbnails import MAX_SIDE, Thumbnails
from fvm_core.errors import DamagedFile, SaltflatError
from fvm_core.review import summary
from fvm_core.review.decisions import DecisionStore
from fvm_core.review.queue import COLUMNS, ReviewTable
from fvm_core.runs.problems_json import load_problems
from fvm_core.runs.run_folder import RunFolder
from ui import catalog

LARGE = 640
"""Longer side of the picture in the evidence, in pixels."""


def version(run: RunFolder) -> int:
    """Changes whenever the scores are written or another is chosen: it names everything cached here."""
    try:
        return (run.path / "scores.parquet").stat().st_mtime_ns + choice.stamp(run)
    except OSError:
        raise SaltflatError(
            f"{run.path / 'scores.parquet'} is gone. Choose another run, or repair this one."
        ) from None


def store() -> DecisionStore:
    """The decisions of the workspace."""
    return DecisionStore(catalog.workspace().database)


def table(run: RunFolder) -> ReviewTable:
    """The scores as arrays."""
    return _table(str(run.path), version(run))


def details(run: RunFolder, rows: np.ndarray) -> pd.DataFrame:
    """`id, path, alternatives, influence` of some rows, in that order."""
    return _details(str(run.path), version(run)).take(pa.array(rows)).to_pandas()


def unscored(run: RunFolder) -> pd.Series:
    """Why samples have no percentile, by row number."""
    return _unscored(str(run.path), version(run))


def ids(run: RunFolder) -> pa.ChunkedArray:
    """The ids of all samples."""
    return _details(str(run.path), version(run)).column("id")


def trajectory(run: RunFolder) -> tuple[np.ndarray, np.ndarray]:
    """Saved steps (S,) and influence (S, N)."""
    return _trajectory(str(run.path), version(run))


def thumbnails(run: RunFolder) -> Thumbnails | None:
    """The run's small images, None if they were not made or are damaged: labels can be judged without."""
    folder = run.path / "thumbnails"
    files = tuple((path.name, path.stat().st_mtime_ns) for path in sorted(folder.glob("*")))
    try:
        return _thumbnails(str(folder), files) if folder.is_dir() else None
    except DamagedFile:
        return None


def picture(run: RunFolder, row: int) -> str | None:
    """An image at up to `LARGE` pixels as a data address; None where the thumbnail shows it all."""
    return _picture(str(run.path), version(run), row)


@st.cache_data(max_entries=64, show_spinner=False)
def _picture(path: str, version: int, row: int) -> str | None:
    try:
        dataset = _dataset(path, version)
        if row >= len(dataset) or str(dataset.ids[row]) != _details(path, version).column("id")[row].as_py():
            return None  # the data has changed since the run: no picture is better than a wrong one
        image = dataset.images.image(row)
    except SaltflatError:
        return None  # the data has moved since the run; the thumbnail is still there
    if max(image.size) <= MAX_SIDE:
        return None
    image.thumbnail((LARGE, LARGE))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


@st.cache_resource(max_entries=2, show_spinner=False)
def _dataset(path: str, version: int) -> ImageDataset:
    return open_spec(RunFolder(path).config.train_data)


def ranked_by(run: RunFolder) -> str | None:
    """Title of the score that the review ranks by; None for the run's own influence."""
    name = choice.chosen(run)
    return None if name == choice.OWN else choice.scores_of(run)[name]


def default_above(run: RunFolder) -> float:
    """The suspicion percentile above which the run itself flags samples, to two decimals."""
    found = run.info.get("summary")
    scores = table(run)
    scored = int(np.isfinite(scores.suspicion).sum())
    if not found or not scored:
        return 90.0
    if choice.chosen(run) == choice.OWN:
        flagged = scores.percentile[scores.suspicion > found["threshold"]]
    else:  # as many samples as the run itself flags
        flagged = np.sort(scores.percentile[np.isfinite(scores.suspicion)])[::-1][: found["flagged"]]
    return float(np.floor(flagged.min() * 100) / 100) if len(flagged) else 90.0


@st.cache_resource(max_entries=4, show_spinner="Reading the scores …")
def _table(path: str, version: int) -> ReviewTable:
    run = RunFolder(path)
    columns = COLUMNS + (["true_label"] if run.has_column("true_label") else [])
    try:
        problems = load_problems(run.path)
    except DamagedFile:
        problems = []  # labels can be judged without
    return ReviewTable.from_scores(choice.read_scores(run, columns), run.info.get("classes", []), problems)


@st.cache_resource(max_entries=2, show_spinner=False)
def _details(path: str, version: int) -> pa.Table:
    return choice.read_details(RunFolder(path), ["id", "path", "alternatives", "influence"])


@st.cache_resource(max_entries=4, show_spinner=False)
def _unscored(path: str, version: int) -> pd.Series:
    return RunFolder(path).unscored()


@st.cache_resource(max_entries=2, show_spinner=False)
def _trajectory(path: str, version: int) -> tuple[np.ndarray, np.ndarray]:
    return RunFolder(path).trajectory()


@st.cache_resource(max_entries=4, show_spinner=False)
def _thumbnails(path: str, files: tuple) -> Thumbnails:
    return Thumbnails(path)


# Summaries: small, so they are kept as values.


def truth_groups(scores: ReviewTable) -> np.ndarray | None:
    """0 = right label, 1 = wrong label, -1 = not known; None where no truth is known at all."""
    if scores.true is None:
        return None
    known = (scores.true >= 0) & (scores.given >= 0)
    return np.where(known, (scores.true != scores.given).astype(np.int64), -1)


def distribution(run: RunFolder, by_truth: bool) -> summary.Histogram:
    """The histogram of suspicion, in two groups where the truth is used."""
    return _distribution(str(run.path), version(run), by_truth)


@st.cache_data(max_entries=32, show_spinner=False)
def _distribution(path: str, version: int, by_truth: bool) -> summary.Histogram:
    scores = _table(path, version)
    groups = truth_groups(scores) if by_truth else None
    return summary.histogram(scores.suspicion, groups, 2 if groups is not None else 1)


def boxes(run: RunFolder, split: str) -> pd.DataFrame:
    """Quantiles over the saved steps; `split` is `all`, `class` or `truth`."""
    return _boxes(str(run.path), version(run), split)


@st.cache_data(max_entries=32, show_spinner=False)
def _boxes(path: str, version: int, split: str) -> pd.DataFrame:
    scores = _table(path, version)
    steps, values = _trajectory(path, version)
    if split == "class":
        return summary.box_statistics(steps, values, scores.given, len(scores.classes))
    if split == "truth":
        return summary.box_statistics(steps, values, truth_groups(scores), 2)
    return summary.box_statistics(steps, values)


def threshold(run: RunFolder, above: float) -> tuple[float, int]:
    """Suspicion at a percentile and how many samples are at or above it."""
    return _threshold(str(run.path), version(run), above)


@st.cache_data(max_entries=256, show_spinner=False)
def _threshold(path: str, version: int, above: float) -> tuple[float, int]:
    scores = _table(path, version)
    return summary.threshold_at(scores.suspicion, scores.percentile, above)


def rows_of(run: RunFolder, wanted: list[str]) -> tuple[list[int], list[str]]:
    """Row numbers of some ids, and the ids that the run does not have."""
    names = ids(run)
    places = [(name, pc.index(names, name).as_py()) for name in wanted]
    return [row for _, row in places if row >= 0], [name for name, row in places if row < 0]


def flow(run: RunFolder, above: float) -> summary.Flow:
    """Given × suggested among the samples above a percentile."""
    return _flow(str(run.path), version(run), above)


@st.cache_data(max_entries=64, show_spinner=False)
def _flow(path: str, version: int, above: float) -> summary.Flow:
    scores = _table(path, version)
    chosen = scores.percentile >= above
    return summary.class_flow(scores.given, scores.suggested, chosen, len(scores.classes))


def ranking(run: RunFolder) -> summary.RankingCurves | None:
    """ROC and precision-recall, None where no truth is known."""
    return _ranking(str(run.path), version(run))


@st.cache_data(max_entries=8, show_spinner=False)
def _ranking(path: str, version: int) -> summary.RankingCurves | None:
    scores = _table(path, version)
    groups = truth_groups(scores)
    if groups is None:
        return None
    known = groups >= 0
    return summary.roc_and_pr_curves(scores.suspicion[known], groups[known] == 1)
