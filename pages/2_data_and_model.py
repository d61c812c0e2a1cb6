"""Data & model: what goes into a run, what it looks like, what it will take."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from fvm_core.config import RunConfig
from fvm_core.data.problems import align_classes
from fvm_core.errors import SaltflatError
from fvm_core.pipeline.defaults import TINY, image_kind
from ui import catalog, data_choice, frame, guards, preview, run_settings, signed_in, starting, wording

frame.heading("Data & model")
if signed_in.reserved("start runs"):
    st.stop()

like = next((card for card in catalog.cards() if card.key == st.query_params.get("like")), None)
if like and st.session_state.get("like") != like.key:
    st.session_state["like"] = like.key
    with guards.told_errors():
        settings = like.folder.config
        data_choice.prefill(data_choice.TRAIN, settings.train_data)
        data_choice.prefill(data_choice.VAL, settings.val_data)
        run_settings.prefill(settings)

with st.container(key="wide-data"):
    left, right = st.columns([5, 6], gap="large")
with left:
    st.subheader("Training images", anchor=False)
    st.caption("The images whose labels you want to clean.")
    train_spec = val_spec = None
    try:
        train_spec = data_choice.choose(data_choice.TRAIN)
    except SaltflatError as problem:
        guards.tell(problem)
    st.subheader("Validation set", anchor=False)
    st.caption(
        "Labels you trust: a few hundred images that a person has checked, some of every class. "
        "The paper uses 10,000; 1,000 still work well."
    )
    try:
        val_spec = data_choice.choose(data_choice.VAL)
    except SaltflatError as problem:
        guards.tell(problem)
    look = {}
    try:
        look = data_choice.conversion()
    except SaltflatError as problem:
        guards.tell(problem)
    st.subheader("Model", anchor=False)
    try:
        model = run_settings.within_reach(run_settings.model())
    except SaltflatError as problem:
        guards.tell(problem)
        st.stop()

with right:
    if train_spec is None:
        st.subheader("What you will see here", anchor=False)
        st.markdown(
            "Four images of every class with their given labels, how many samples each class has, "
            "problems such as unreadable files, and what the run will take."
        )
        st.caption("Name the training images to begin, or choose the digits demo.")
        st.stop()
    train = val = None
    try:
        train, val = preview.opened(train_spec, **look), None
        if val_spec:
            val = preview.opened(val_spec, **look)
        train, val = preview.in_one_conversion(train, val)
    except SaltflatError as problem:
        guards.tell(problem)
    if train is None:
        st.stop()
    of_training = wording.count(len(train.classes), "class", "classes")
    if val is not None:
        train, val = align_classes(train, val)
    st.subheader("Is this your data?", anchor=False)
    total = f"{wording.count(len(train), 'sample')}, {of_training}"
    trusted = f"; {wording.count(len(val), 'sample')} with trusted labels" if val is not None else ""
    st.caption(f"{total}{trusted}. Each row shows four images with that given label.")
    preview.classes(train, val)
    st.subheader("Problems", anchor=False)
    found = preview.problems(train, val)

with left:
    config = RunConfig(
        train_data=train.spec, val_data=val.spec if val is not None else train.spec, model=model
    )
    config = run_settings.settings(config, several=image_kind(train).side > TINY)

with right:
    st.subheader("Run", anchor=False)
    if val is None:
        st.caption("Choose a validation set; then you see what the run will take.")
        st.stop()
    try:
        preview.stops(found)
        expected = preview.cost(config.check(), train, val)
        preview.cost_lines(expected)
    except SaltflatError as problem:
        guards.tell(problem)
        st.stop()
    default_name = Path(train.spec.source).stem or "run"
    name = st.text_input("Name of the run", value=default_name, max_chars=80, key="run-name").strip()
    if st.button("Run", type="primary", key="run-it", disabled=not name):
        frame.go("run", run=starting.start(config.named(name), expected.stages, (train, val)))
