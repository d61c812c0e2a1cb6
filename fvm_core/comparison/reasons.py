"""Why a run has the classifier and the ranking that it has, in words."""

from __future__ import annotations

from fvm_core.comparison.choice import choice_of, scores_of
from fvm_core.runs.run_folder import RunFolder


def classifier_reason(run: RunFolder) -> str:
    """Which classifiers were tried and which one is kept; empty where one was named."""
    found = run.info["stages"].get("select", {})
    return found.get("reason", "") if found.get("tried") or found.get("left_out") else ""


def ranking_reason(run: RunFolder) -> str:
    """Why the review ranks by the score that it ranks by; empty where nothing is known."""
    found = choice_of(run)
    if found.by_person:
        return f"Ranked by {scores_of(run)[found.name]}, as somebody has chosen on Compare."
    return found.reason


def reasons(run: RunFolder) -> list[str]:
    """Both, without what is empty."""
    return [text for text in (classifier_reason(run), ranking_reason(run)) if text]
