"""Further scores for a run that is finished: choose, see what it takes, start."""

from __future__ import annotations

import streamlit as st

from fvm_core.comparison.results import descriptions
from fvm_core.estimators import registry
from fvm_core.pipeline.estimator_costs import added_seconds
from fvm_core.runs.run_folder import RunFolder
from ui import frame, identity, run_settings, signed_in, starting, wording


def draw(run: RunFolder) -> None:
    """The choice, an estimate from the run's own pace, and the button that queues the work."""
    names, left_out = possible(run)
    chosen = run_settings.estimator_choice("more", names)
    if left_out:
        st.caption(left_out)
    figures = not run.config.compare.figures and st.toggle(
        "The paper's figures",
        key="more-figures",
        help="The standard influence at every saved step, and LiSSA and TracIn at every kept checkpoint.",
    )
    if not chosen and not figures:
        return
    settings = run_settings.estimator_settings(
        [registry.find(name) for name in chosen], run.config.compare.settings, key="more-"
    )
    seconds = added_seconds(run, chosen, figures, settings)
    if seconds is not None:
        st.caption(f"Takes about {wording.duration(seconds)} at the pace of this run.")
    closed = signed_in.reserved("start runs")
    if st.button("Compute", key="compute-more", disabled=closed):
        identity.need_owner("start runs")
        run.add_estimators(chosen, figures=figures, settings=settings)
        starting.resume(run)
        frame.go("run")


def possible(run: RunFolder) -> tuple[list[str], str]:
    """What can still be computed, and why something can't."""
    config, there = run.config, {one.name for one in descriptions(run.path) if one.seconds is not None}
    kinds = [kind for kind in registry.loadable()[0].values() if kind.name not in there]
    checkpoints = any(run.checkpoints.glob("epoch_*.safetensors"))
    names, reasons = [], {}
    for kind in kinds:
        reason = kind.why_not(config, checkpoints=checkpoints)
        if reason:
            reasons.setdefault(kind.needs_checkpoints(), []).append(kind.title)
        elif not kind.is_own(config):
            names.append(kind.name)
    words = {
        True: "checkpoints of training, which this run has not kept",
        False: "a run that trains its model",
    }
    left_out = [
        f"{_listed(titles)} {'need' if len(titles) > 1 else 'needs'} {words[needed]}: name "
        f"{'them' if len(titles) > 1 else 'it'} when you start a run."
        for needed, titles in reasons.items()
    ]
    return names, " ".join(left_out)


def _listed(titles: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(titles[:-1]), titles[-1]]))
