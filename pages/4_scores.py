"""Scores: where the suspicion lies, how tuning changed it, and how well it finds wrong labels."""

from __future__ import annotations

import numpy as np
import streamlit as st

from ui import frame, guards, results, theme, wording
from ui.charts import boxes, distribution, drawing, flow, ranking, sensitivity, trajectories

run = guards.need_scores(
    "Here you will see how suspicion is spread over your samples, which labels get mixed up, "
    "and, where the true labels are known, how well suspicion finds the wrong ones."
)
folder = run.folder
scores = results.table(folder)
truth = results.truth_groups(scores)
scored = int(np.isfinite(scores.suspicion).sum())
ranked_by = results.ranked_by(folder)


@guards.fragment()
def threshold_and_flow() -> None:
    """The distribution with its threshold, then, below the box plots, the class flow above it."""
    drawing.titled(
        "How many labels look wrong?",
        "Each bar counts samples by suspicion; the further right, the more the label works against the "
        "images you trust. Move the threshold into the gap if there is one.",
    )
    above, axis, split = st.columns([4, 2, 2], vertical_alignment="bottom")
    with above:
        least = st.slider(
            "Flag samples above this percentile",
            0.0,
            100.0,
            results.default_above(folder),
            0.01,
            format="%.2f %%",
            key="threshold",  # not `above`: a bound name could not be handed on to Review
            bind="query-params",
        )
    with axis:
        counts_axis = st.segmented_control(
            "Count axis",
            ["linear", "log"],
            default="linear",
            required=True,
            key="counts",
            bind="query-params",
        )
    by_truth = False
    if truth is not None:
        with split:
            by_truth = st.toggle("Show the truth", key="truth", bind="query-params")
    threshold, number = results.threshold(folder, least)
    way = st.container(horizontal=True, vertical_alignment="center")
    way.markdown(f"**{distribution.sentence(number, scored)}**", width="content")
    if number and way.button(f"Review these {wording.count(number)}", key="review-above"):
        frame.go("review", above=f"{least:.2f}")
    drawing.show(
        distribution.distribution(
            results.distribution(folder, by_truth),
            threshold,
            counts_axis,
            wording.in_html(ranked_by) if ranked_by else "influence at the last saved step",
        ),
        "distribution",
        "Histogram of suspicion with the threshold",
    )
    over_tuning()
    class_flow(least)


def class_flow(least: float) -> None:
    """Which labels would become which; a click on a cell opens Review with that filter."""
    counted = results.flow(folder, least)
    drawing.titled(
        "Which labels get mixed up?",
        "Flagged samples by given and suggested label, a stronger colour is more; the diagonal keeps its "
        "label. Click a cell to review its samples.",
    )
    if not counted.counts.any():
        st.caption("No sample is above the threshold.")
        return
    event = st.plotly_chart(
        flow.flow(counted, scores.classes),
        key="flow",
        theme=None,
        config=drawing.CONFIG,
        on_select="rerun",
        selection_mode="points",
        alt="Heat map of given and suggested labels",
    )
    if counted.left_out:
        st.caption(f"{wording.count(counted.left_out, 'sample')} of classes with fewer moves are not drawn.")
    if event.selection.points:
        cell = event.selection.points[0]["customdata"]
        given, suggested = divmod(int(cell[0] if isinstance(cell, list) else cell), len(scores.classes))
        names = wording.distinct(scores.classes)
        frame.go("review", above=f"{least:.2f}", given=names[given], suggested=names[suggested])


@guards.fragment()
def over_tuning() -> None:
    """Box plots of influence over the saved steps."""
    drawing.titled(
        "Does tuning separate wrong labels?",
        "Boxes hold the middle half of the samples, whiskers the middle 90 %. Good tuning pulls the "
        "suspicious samples up and the others down.",
    )
    splits = {"all": "All samples", "class": "By given class"}
    if truth is not None:
        splits["truth"] = "Right and wrong labels"
    split_column, axis_column = st.columns([3, 2])
    split = split_column.segmented_control(
        "Split",
        list(splits),
        default="truth" if truth is not None else "all",
        format_func=splits.get,
        required=True,
        wrap=True,
        key="split",
        bind="query-params",
    )
    log = axis_column.segmented_control(
        "Influence axis",
        ["log", "linear"],
        default="log",
        required=True,
        wrap=True,
        key="axis",
        bind="query-params",
    )
    quantiles = results.boxes(folder, split)
    names, colours = {
        "all": (["all samples"], None),
        "class": (scores.classes, None),
        "truth": (["right label", "wrong label"], [theme.CLEAN, theme.WRONG]),
    }[split]
    if split == "class" and len(scores.classes) > boxes.MOST_GROUPS:
        widest = boxes.most_suspicious(quantiles)
        quantiles = quantiles[quantiles["group"].isin(widest)]
        st.caption(f"The {boxes.MOST_GROUPS} classes with the highest upper quartile at the last step.")
    drawing.show(
        boxes.boxes(quantiles, [wording.plain(name) for name in names], colours, log == "log"),
        "boxes",
        "Box plots of influence over tuning steps",
    )


@guards.fragment()
def single_samples() -> None:
    """Influence of chosen samples over the saved steps."""
    drawing.titled(
        "What happened to single samples?",
        "Each line is one sample over the tuning steps, in front of the middle half of all samples. "
        "A line that leaves the band upwards is a label that tuning turned against.",
    )
    names = results.ids(folder)
    top = np.argsort(np.where(np.isnan(scores.suspicion), np.inf, -scores.suspicion))[:4]
    typed = st.text_input(
        "Ids, separated by commas",
        key="samples",
        bind="query-params",
        placeholder="the four most suspicious samples",
    )
    rows, missing = results.rows_of(folder, [part.strip() for part in typed.split(",") if part.strip()][:8])
    if missing:
        st.caption("Not in this run: " + wording.in_markdown(", ".join(missing)))
    rows = rows if len(rows) else top
    steps, values = results.trajectory(folder)
    drawing.show(
        trajectories.trajectories(
            steps,
            values[:, rows],
            [names[int(row)].as_py() for row in rows],
            results.boxes(folder, "all"),
            st.session_state.get("axis", "log") == "log",
        ),
        "trajectories",
        "Influence of single samples over tuning steps",
    )


def where_truth_is_known() -> None:
    """ROC and precision-recall with their areas, and the baselines of the run."""
    curves = results.ranking(folder)
    if curves is None:
        return
    drawing.titled(
        "How well does suspicion find wrong labels?",
        f"{wording.count(curves.wrong)} of {wording.count(curves.total)} labels with known truth are wrong. "
        "Left: the closer to the upper left corner the better. Right: the share that is really wrong while "
        "you go down the list. Dotted is guessing.",
    )
    left, right = st.columns(2)
    with left:
        drawing.show(ranking.roc(curves), "roc", "ROC curve")
    with right:
        drawing.show(ranking.precision_recall(curves), "pr", "Precision-recall curve")
    found = ranking.comparison(folder.metrics, curves, ranked_by)
    if len(found) > 1:
        st.dataframe(found, hide_index=True, width="content")


def other_dampings() -> None:
    """How far the ranking depends on the damping, from the check at the end of the score stage."""
    found = folder.info["stages"].get("score", {}).get("sensitivity")
    if found is None:  # runs from before the check
        return
    drawing.titled(
        "Does the ranking depend on the damping?",
        f"{wording.count(found['samples'], 'sample')} scored again with other dampings. Lines near 1 say "
        "that the choice hardly matters; where they fall, compare runs before you trust the order.",
    )
    drawing.show(
        sensitivity.sensitivity(found), "sensitivity", "Rank correlation with other dampings over damping"
    )


frame.heading("Scores")
frame.why_ranked(run)
for part in (threshold_and_flow, where_truth_is_known, single_samples, other_dampings):
    with guards.told_errors():  # one damaged file takes away one part
        part()
