"""What the Compare screen reads, kept by folder and time of change."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from fvm_core.comparison import agreement as agreeing
from fvm_core.comparison import evidence
from fvm_core.comparison.choice import chosen
from fvm_core.comparison.collect import Scored, against_truth, collect, planted_wrong, truth
from fvm_core.metrics import detection
from fvm_core.review.summary import RankingCurves, box_statistics, roc_and_pr_curves
from fvm_core.runs.run_folder import RunFolder
from ui import results


def version(run: RunFolder) -> tuple:
    """Changes whenever a score joins, changes or goes."""
    folder = run.path / "estimators"
    files = sorted((path.name, path.stat().st_mtime_ns) for path in folder.glob("*.json"))
    return (results.version(run), *files)


def scores(run: RunFolder) -> dict[str, Scored]:
    """All scores of a run by name, the run's own first."""
    return _scores(str(run.path), version(run))


@st.cache_resource(max_entries=2, show_spinner="Reading the scores …")
def _scores(path: str, version: tuple) -> dict[str, Scored]:
    return {one.about.name: one for one in collect(RunFolder(path))}


def planted(run: RunFolder) -> np.ndarray:
    """(Q,) which planted samples are wrong."""
    return planted_wrong(run)


def figures(run: RunFolder) -> pd.DataFrame:
    """One row a score: what is known of it from truth, planted labels and its run."""
    return _figures(str(run.path), version(run))


@st.cache_data(max_entries=8, show_spinner="Measuring the scores …")
def _figures(path: str, version: tuple) -> pd.DataFrame:
    run = RunFolder(path)
    wrong, rows = planted_wrong(run), []
    for name, one in _scores(path, version).items():
        found: dict = {"name": name, "title": one.about.title, "suspicious": one.about.suspicious}
        found |= against_truth(run, one)
        if len(wrong) and len(one.planted) == len(wrong):
            for key, interval in (
                ("planted_roc_auc", evidence.roc_auc_interval(one.planted, wrong)),
                ("planted_ap", evidence.average_precision_interval(one.planted, wrong)),
            ):
                found |= {key: interval.value, f"{key}_low": interval.low, f"{key}_high": interval.high}
        found |= {"seconds": one.about.seconds, "memory": one.about.peak_memory_bytes}
        rows.append(found)
    return pd.DataFrame(rows)


def recommendation(run: RunFolder) -> evidence.Recommendation:
    """The score that planted wrong labels speak for."""
    in_training = run.info.get("planted", {}).get("in_training", True)
    return evidence.recommend(list(scores(run).values()), planted_wrong(run), in_training)


def decided(run: RunFolder, top: int) -> dict[str, tuple[evidence.Interval, int]]:
    """Precision by the user's decisions in the top of every score."""
    return _decided(str(run.path), version(run), run.id, results.store().revision(run.id), top)


@st.cache_data(max_entries=8, show_spinner=False)
def _decided(
    path: str, version: tuple, run_id: str, revision: int, top: int
) -> dict[str, tuple[evidence.Interval, int]]:
    state = results.store().state(run_id)
    found = _scores(path, version)
    return {name: evidence.decided_precision(one.suspicion, state, top) for name, one in found.items()}


def disagreements(run: RunFolder, one: str, other: str, count: int) -> np.ndarray:
    """The rows on which two scores differ most."""
    return _disagreements(str(run.path), version(run), one, other, count)


@st.cache_data(max_entries=32, show_spinner=False)
def _disagreements(path: str, version: tuple, one: str, other: str, count: int) -> np.ndarray:
    found = _scores(path, version)
    return agreeing.disagreements(found[one].suspicion, found[other].suspicion, count)


def curves(run: RunFolder, name: str, by_planted: bool) -> RankingCurves | None:
    """ROC and precision-recall of a score, against the truth or on planted samples."""
    return _curves(str(run.path), version(run), name, by_planted)


@st.cache_data(max_entries=64, show_spinner=False)
def _curves(path: str, version: tuple, name: str, by_planted: bool) -> RankingCurves | None:
    run, one = RunFolder(path), _scores(path, version)[name]
    if by_planted:
        wrong = planted_wrong(run)
        return roc_and_pr_curves(one.planted, wrong) if len(one.planted) == len(wrong) else None
    known = truth(run)
    if known is None:
        return None
    there, given, true = known
    return roc_and_pr_curves(one.suspicion[there], (given != true)[there])


def agreement(run: RunFolder, names: tuple[str, ...]) -> np.ndarray:
    """(E, E) rank correlation."""
    return _agreement(str(run.path), version(run), names)


@st.cache_data(max_entries=16, show_spinner="Comparing the rankings …")
def _agreement(path: str, version: tuple, names: tuple[str, ...]) -> np.ndarray:
    found = _scores(path, version)
    return agreeing.rank_agreement([found[name].suspicion for name in names])


def overlap(run: RunFolder, reference: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Share of the top that two scores have in common."""
    return _overlap(str(run.path), version(run), reference, name)


@st.cache_data(max_entries=128, show_spinner=False)
def _overlap(path: str, version: tuple, reference: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    found = _scores(path, version)
    return agreeing.overlap(found[reference].suspicion, found[name].suspicion)


def chosen_name(run: RunFolder) -> str:
    """Name of the score that the review ranks by."""
    return chosen(run)


def over_epochs(run: RunFolder) -> pd.DataFrame | None:
    """`epoch, title, roc_auc, val_accuracy` for figure 2; None where it was not computed."""
    return _over_epochs(str(run.path), version(run))


@st.cache_data(max_entries=8, show_spinner=False)
def _over_epochs(path: str, version: tuple) -> pd.DataFrame | None:
    table = RunFolder(path).figure("epochs.parquet")
    if table is None:
        return None
    table["roc_auc"] = [_area(path, *pair) for pair in zip(table["suspicion"], table["planted"], strict=True)]
    found = table[["epoch", "title", "roc_auc", "val_accuracy"]].dropna()
    return found if len(found) else None


def over_steps(run: RunFolder) -> pd.DataFrame | None:
    """`step, standard, new` for figure 3a: ROC AUC of both influences; None where it was not computed."""
    return _over_steps(str(run.path), version(run))


@st.cache_data(max_entries=8, show_spinner=False)
def _over_steps(path: str, version: tuple) -> pd.DataFrame | None:
    table = _steps(path)
    run = RunFolder(path)
    if table is None:
        return None
    influence, planted_influence = run.trajectory()[1], run.planted_trajectory()
    if planted_influence is None:
        planted_influence = [None] * len(influence)
    new = [_area(path, *pair) for pair in zip(influence, planted_influence, strict=True)]
    standard = [_area(path, *pair) for pair in zip(table["suspicion"], table["planted"], strict=True)]
    found = pd.DataFrame({"step": table["step"], "standard": standard, "new": new}).dropna()
    return found if len(found) else None


def clean_boxes(run: RunFolder) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Quantiles of the raw standard and the new influence over tuning steps (figure 3b).

    Of the samples whose label is right, where that is known, else of all.
    """
    return _clean_boxes(str(run.path), version(run))


@st.cache_data(max_entries=8, show_spinner=False)
def _clean_boxes(path: str, version: tuple) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    table = _steps(path)
    if table is None:
        return None
    run = RunFolder(path)
    known = truth(run)
    rows = np.flatnonzero(known[0] & (known[1] == known[2])) if known else slice(None)
    standard = -np.stack(table["suspicion"].to_list())[:, rows]
    steps, new = run.trajectory()
    return box_statistics(steps, standard), box_statistics(steps, new[:, rows])


def _steps(path: str) -> pd.DataFrame | None:
    return RunFolder(path).figure("steps.parquet")


def _area(path: str, suspicion: np.ndarray, planted_suspicion: np.ndarray | None) -> float:
    """ROC AUC against the truth, else on planted samples."""
    run = RunFolder(path)
    known = truth(run)
    if known is not None:
        there, given, true = known
        return detection(np.asarray(suspicion)[there], (given != true)[there]).get("roc_auc", np.nan)
    wrong = planted_wrong(run)
    if planted_suspicion is None or not len(wrong):
        return np.nan
    return detection(np.asarray(planted_suspicion, dtype=np.float64), wrong).get("roc_auc", np.nan)
