"""Compare: scores side by side, which one the review should rank by, and where they disagree."""

from __future__ import annotations

from urllib.parse import urlencode

import numpy as np
import pandas as pd
import streamlit as st

from fvm_core.comparison import choice
from fvm_core.comparison.reasons import ranking_reason
from fvm_core.estimators import registry
from ui import (
    add_estimators,
    comparison,
    external_scores,
    frame,
    guards,
    identity,
    results,
    signed_in,
    wording,
)
from ui.charts import boxes, compare, drawing

TILES = 24
DRAWN = 6

run = guards.need_scores(
    "Here you will see several scores side by side, how well each finds wrong labels, and where they "
    "disagree, and choose the one that the review ranks by."
)
folder = run.folder
scores = comparison.scores(folder)
titles = {name: one.about.title for name, one in scores.items()}
figures = comparison.figures(folder)
chosen = comparison.chosen_name(folder)
wrong = comparison.planted(folder)
with_truth = "roc_auc" in figures


def table(top: int) -> None:
    """One row a score."""
    decided = comparison.decided(folder, top)
    shown = pd.DataFrame(
        {
            "": ["●" if name == chosen else "" for name in figures["name"]],
            "score": figures["title"].map(wording.plain),
            "suspicious end": figures["suspicious"],
        }
    )
    columns: dict[str, object] = {"": st.column_config.TextColumn(width=20, help="The review ranks by it.")}

    def percent(title: str, key: str, meaning: str) -> None:
        if key in figures:
            shown[title] = 100 * figures[key].astype(float)
            columns[title] = st.column_config.NumberColumn(format="%.2f %%", help=meaning)

    percent("ROC AUC", "roc_auc", "Against the true labels: 50 % is guessing, 100 % perfect.")
    percent("AP", "average_precision", "Average precision against the true labels.")
    percent("relabelled right", "relabel_accuracy_all", "Suggestions that are the true label, all samples.")
    percent(
        "… of the wrong",
        "relabel_accuracy_mislabelled",
        "Suggestions that are the true label, over the mislabelled samples.",
    )
    for title, key in (("planted ROC AUC", "planted_roc_auc"), ("planted AP", "planted_ap")):
        percent(title, key, "On planted wrong labels; beside it the 95 % interval.")
        if key in figures:
            spans = zip(figures[f"{key}_low"], figures[f"{key}_high"], strict=True)
            shown[f"{title}, 95 %"] = [
                "–" if pd.isna(low) else f"{100 * low:.1f} to {100 * high:.1f}" for low, high in spans
            ]
    if any(seen for _interval, seen in decided.values()):
        pairs = [decided[name] for name in figures["name"]]
        shown["your decisions"] = [100 * interval.value for interval, _seen in pairs]
        columns["your decisions"] = st.column_config.NumberColumn(
            format="%.1f %%",
            help=f"Of the samples in the top {top:,} that you decided: the share that you relabelled or "
            "excluded. You decided on what the review showed you, so it says little about the rest.",
        )
        shown["95 %, decided"] = [
            "–"
            if not seen
            else f"{100 * interval.low:.0f} to {100 * interval.high:.0f}, of {wording.count(seen)}"
            for interval, seen in pairs
        ]
    shown["seconds"] = figures["seconds"].astype(float)
    columns["seconds"] = st.column_config.NumberColumn(
        format="%.1f", help="What it took by itself. The first row includes tuning and all saved steps."
    )
    shown["peak memory"] = figures["memory"].astype(float) / 2**20
    columns["peak memory"] = st.column_config.NumberColumn(
        format="%.0f MB", help="Of the whole process, or of the GPU's memory, while it ran."
    )
    st.dataframe(
        shown, hide_index=True, column_config=columns, width="stretch", height="content", placeholder="–"
    )


def choose() -> None:
    """The score that the review ranks by, with the evidence beside it."""
    drawing.titled(
        "Which score should the review rank by?",
        "The order of the review, the percentiles and the export follow it, and the suggested labels where "
        "the score has its own. No decision changes.",
    )
    found = comparison.recommendation(folder)
    left, right = st.container(key="wide-choose").columns([2, 3], gap="large")
    with left:
        options = [name for name in scores if np.isfinite(scores[name].suspicion).any()]
        start = found.name if found.name in options else chosen
        picked = st.selectbox(
            "Score",
            options,
            index=options.index(start if start in options else options[0]),
            format_func=lambda name: titles[name] + (" · in use" if name == chosen else ""),
            key="pick",
        )
        closed = signed_in.reserved("choose what the review ranks by")
        if st.button("Rank the review by this", key="use", disabled=closed or picked == chosen):
            identity.need_owner("choose what the review ranks by")
            choice.choose(folder, picked)
            st.rerun()
    with right:
        if found.name:
            st.markdown(f"**Recommended: {wording.in_markdown(titles[found.name])}.**")
        else:
            st.markdown("**No recommendation.**")
        st.caption(wording.in_markdown(found.reason))
        if reason := ranking_reason(folder):
            st.caption(f"In use now: {wording.in_markdown(reason)}")
        own = figures[figures["name"] == picked].iloc[0]
        if with_truth and pd.notna(own.get("roc_auc")):
            st.caption(
                f"Against the true labels {wording.in_markdown(titles[picked])} has a ROC AUC of "
                f"{own['roc_auc']:.3f}. True labels are never used for the recommendation."
            )


def curves() -> None:
    """ROC and precision-recall of several scores over each other."""
    kinds = {"truth": "True labels", "planted": "Planted wrong labels"}
    kinds = {
        kind: words for kind, words in kinds.items() if (with_truth if kind == "truth" else len(wrong) > 0)
    }
    if not kinds:
        return
    drawing.titled(
        "Which score finds wrong labels first?",
        "Left: the closer to the upper left corner the better. Right: the share that is really wrong while "
        "you go down the list. Dotted is guessing.",
    )
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    with left:
        names = lines("drawn")
    kind = next(iter(kinds))
    if len(kinds) > 1:
        with right:
            kind = st.segmented_control(
                "Measured on",
                list(kinds),
                default=kind,
                format_func=kinds.get,
                required=True,
                wrap=True,
                key="measured",
                bind="query-params",
            )
    found = [(titles[name], comparison.curves(folder, name, kind == "planted")) for name in names]
    found = [(title, one) for title, one in found if one is not None]
    if not found:
        st.caption("Choose at least one score.")
        return
    left, right = st.container(key="wide-curves").columns(2)
    with left:
        drawing.show(compare.roc(found), "roc", "ROC curves")
    with right:
        drawing.show(compare.precision_recall(found), "pr", "Precision-recall curves")


def lines(key: str) -> list[str]:
    """A choice of scores to draw."""
    default = list(dict.fromkeys([chosen, "fvm", *scores]))[:DRAWN]
    return st.multiselect(
        "Scores", list(scores), default=default, format_func=titles.get, key=key, bind="query-params"
    )


def agreements() -> None:
    """Rank correlation of all pairs, and the overlap of their tops with the review's."""
    drawing.titled(
        "Do the scores agree?",
        "Left: 1 is the same order, 0 no relation, below 0 the opposite order. Right: of the n most "
        "suspicious samples, how many both scores have.",
    )
    left, right = st.container(key="wide-agreement").columns([6, 5])
    names = tuple(scores)
    with left:
        drawing.show(
            compare.agreement([titles[name] for name in names], comparison.agreement(folder, names)),
            "agreement",
            "Heat map of rank correlations between scores",
        )
    with right:
        others = st.session_state.get("drawn") or list(scores)[:DRAWN]
        drawn = [
            (number, titles[name], *comparison.overlap(folder, chosen, name))
            for number, name in enumerate(others)
            if name != chosen
        ]
        drawing.show(
            compare.overlap(drawn, titles[chosen]), "overlap", "Shared share of the n most suspicious samples"
        )


def disagree() -> None:
    """The samples on which two scores differ most, one click from the review."""
    drawing.titled(
        "Where do two scores disagree most?",
        "Under each image its suspicion percentile by the one and by the other. Click an image to review it.",
    )
    names = list(scores)
    left, right, way = st.columns([3, 3, 2], vertical_alignment="bottom")
    with left:
        one = st.selectbox("One", names, format_func=titles.get, key="one", bind="query-params")
    with right:
        other = st.selectbox("Other", names, 1, format_func=titles.get, key="other", bind="query-params")
    rows = comparison.disagreements(folder, one, other, TILES)
    if one == other or not len(rows):
        st.caption("Choose two different scores.")
        return
    with way:
        if st.button(f"Review these {len(rows)}", key="review-these"):
            frame.go("review", above="0", rows=",".join(map(str, rows.tolist())))
    st.html(f'<div class="sf-pairs">{"".join(_tile(row, one, other) for row in rows.tolist())}</div>')


def _tile(row: int, one: str, other: str) -> str:
    images, known = results.thumbnails(folder), results.table(folder)
    names = (*known.classes, "no label")
    source = images.data_uri(row) if images is not None else None
    picture = f'<img src="{source}" alt="">' if source else '<span class="sf-none">no image</span>'
    pair = " · ".join(wording.percentile(float(scores[name].percentile[row])) for name in (one, other))
    label = wording.in_html(names[known.given[row]])
    way = wording.in_html("review?" + urlencode({"run": run.key, "above": "0", "rows": row}))
    return (
        f'<a href="{way}" target="_self" title="Review this sample"><figure>{picture}'
        f"<figcaption>{label}<br><small>{pair}</small></figcaption></figure></a>"
    )


def converged() -> None:
    """LiSSA's trace, folded away."""
    traces = [(titles[name], one.about.trace) for name, one in scores.items() if len(one.about.trace)]
    if not traces:
        return
    with st.expander("Did LiSSA converge?", key="traces"):
        st.caption(
            "Relative change of the estimate between points of its recursion; it should fall and stay low."
        )
        drawing.show(compare.convergence(traces), "convergence", "Relative change over LiSSA's steps")


def over_training_and_tuning() -> None:
    """The paper's figures 2, 3a and 3b from this run."""
    epochs, steps, quantiles = (
        draw(folder) for draw in (comparison.over_epochs, comparison.over_steps, comparison.clean_boxes)
    )
    measured = "" if with_truth else " Measured on the planted labels."
    if epochs is not None:
        drawing.titled(
            "When in training do standard scores work?",
            "ROC AUC of LiSSA and TracIn at kept checkpoints beside the validation accuracy: they rise and "
            f"fall together while the model learns, then memorises (the paper's figure 2).{measured}",
        )
        drawing.show(compare.over_epochs(epochs), "epochs", "Areas and validation accuracy over epochs")
    if steps is not None:
        drawing.titled(
            "What does tuning do to the old and the new influence?",
            "ROC AUC over tuning steps: in the paper the standard influence falls while the new one rises "
            f"(figure 3a).{measured}",
        )
        drawing.show(compare.over_steps(steps), "steps", "Areas of both influences over tuning steps")
    if quantiles is not None:
        drawing.titled(
            "How does tuning change the influence of right labels?",
            "Boxes hold the middle half, whiskers the middle 90 % of the samples with a right label (of all, "
            "where no truth is known). Left: standard influence, negative = harmful. Right: the new one, "
            "large = suspicious (the paper's figure 3b).",
        )
        left, right = st.container(key="wide-boxes").columns(2)
        for column, part, name, log in (
            (left, quantiles[0], "standard", False),
            (right, quantiles[1], "new", True),
        ):
            with column:
                drawing.show(
                    boxes.boxes(part, [f"{name} influence"], None, log),
                    f"boxes-{name}",
                    f"Box plots of the {name} influence over tuning steps",
                )


frame.heading("Compare")
if wrong.size:
    learnt = run.info.get("planted", {}).get("in_training", True)
    st.caption(
        f"{wording.count(len(wrong))} trusted images were held back from tuning, "
        f"{wording.count(int(wrong.sum()))} of them with a planted wrong label: they measure the scores and "
        "are in no review and no export."
        + (
            ""
            if learnt
            else " The checkpoint has never seen them, which flatters scores of the trained model."
        )
    )
for name, reason in run.info["stages"].get("compare", {}).get("failed", {}).items():
    st.warning(f"{registry.title(name)} could not be computed. {wording.in_markdown(reason)}")
flagged = run.info.get("summary", {}).get("flagged", 0)
table(max(flagged, 100))
choose()
curves()
agreements()
disagree()
converged()
over_training_and_tuning()
st.subheader("Add to the comparison", anchor=False)
add_estimators.draw(folder)
external_scores.draw(folder)
