"""ROC and precision-recall where the truth is known."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from fvm_core.review.summary import RankingCurves
from ui import theme, wording
from ui.charts import drawing

NAMES = {
    "loss_tuned": "loss after tuning",
    "loss_trained": "loss before tuning",
    "influence_trained": "influence before tuning",
}
"""What the baselines of a run are called here."""


def roc(curves: RankingCurves) -> go.Figure:
    """True against false positive rate; the dotted line is guessing."""
    return _curve(
        curves.fpr,
        curves.tpr,
        ("right labels flagged", "wrong labels found"),
        ([0, 1], [0, 1]),
        f"AUC {curves.roc_auc:.3f}",
    )


def precision_recall(curves: RankingCurves) -> go.Figure:
    """Precision against recall; the dotted line is the share of wrong labels."""
    share = curves.wrong / curves.total
    return _curve(
        curves.recall,
        curves.precision,
        ("wrong labels found (recall)", "wrong among flagged"),
        ([0, 1], [share, share]),
        f"AP {curves.average_precision:.3f}",
    )


def comparison(metrics: dict | None, curves: RankingCurves, score: str | None) -> pd.DataFrame:
    """The areas of the score that ranks beside those of the run's baselines, best first.

    Args:
        metrics: of the run.
        curves: of the score that ranks.
        score: its title, None for the run's own influence.
    """
    own = "influence after tuning"
    rows = [(wording.plain(score) if score else own, curves.roc_auc, curves.average_precision)]
    if score and metrics:
        rows.append((own, metrics["roc_auc"], metrics["average_precision"]))
    for name, found in ((metrics or {}).get("baselines") or {}).items():
        rows.append((NAMES.get(name, name), found["roc_auc"], found["average_precision"]))
    rows.sort(key=lambda row: -row[1])
    texts = [(name, f"{auc:.3f}", f"{average:.3f}") for name, auc, average in rows]
    return pd.DataFrame(texts, columns=["ranking by", "ROC AUC", "average precision"])


def _curve(x, y, titles: tuple[str, str], guessing: tuple[list, list], area: str) -> go.Figure:
    colours = theme.palette()
    drawn = drawing.figure(320)
    drawn.add_scatter(
        x=guessing[0],
        y=guessing[1],
        mode="lines",
        line={"color": colours.muted, "width": 1, "dash": "dot"},
        hoverinfo="skip",
        showlegend=False,
    )
    drawn.add_scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": colours.ink, "width": 2},
        hovertemplate=f"{titles[0]} %{{x:.1%}}<br>{titles[1]} %{{y:.1%}}<extra></extra>",
        showlegend=False,
    )
    drawn.update_xaxes(title_text=titles[0], range=[-0.01, 1.01], tickformat=".0%", showgrid=True)
    drawn.update_yaxes(title_text=titles[1], range=[-0.01, 1.03], tickformat=".0%")
    drawn.add_annotation(
        x=0.5,
        y=0.5,
        text=f"<b>{area}</b>",
        showarrow=False,
        font={"size": 18, "color": colours.text},
    )
    return drawn
