"""Further scores for a run that is finished: choose, see what it takes, start."""

from __future__ import annotations

import streamlit as st

from fvm_core.comparison.results import descriptions
from fvm_core.config import ESTIMATOR_NAMES
from fvm_core.pipeline.defaults import NEED_CHECKPOINTS, OWN_SOLVERS
from fvm_core.pipeline.estimator_costs import added_seconds
from fvm_core.pipeline.run_folder import RunFolder
from ui import frame, run_settings, starting, wording


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
    seconds = added_seconds(run, chosen, figures)
    if seconds is not None:
        st.caption(f"Takes about {wording.duration(seconds)} at the pace of this run.")
    if st.button("Compute", key="compute-more"):
        run.add_estimators(chosen, figures=figures)
        starting.resume(run)
        frame.go("run")


def possible(run: RunFolder) -> tuple[list[str], str]:
    """What can still be computed, and why something can't."""
    config, there = run.config, {one.name for one in descriptions(run.path) if one.seconds is not None}
    names = [
        name for name in ESTIMATOR_NAMES if name not in there and OWN_SOLVERS.get(name) != config.tune.solver
    ]
    reasons = []
    if not any(run.checkpoints.glob("epoch_*.safetensors")):
        names = [name for name in names if name not in NEED_CHECKPOINTS]
        reasons.append(
            "TracIn and the starred scores need checkpoints of training, which this run has not kept: name "
            "them when you start a run."
        )
    if not config.train.epochs and "confident" in names:
        names.remove("confident")
        reasons.append("Out-of-fold confident learning needs a run that trains its model.")
    return names, " ".join(reasons)
