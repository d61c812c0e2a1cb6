"""Scores of other tools: upload or name a file, see what was understood, let it join."""

from __future__ import annotations

import tempfile
from pathlib import Path

import streamlit as st

from fvm_core.access import places
from fvm_core.comparison.external import External, add_external, read_external, remove_external
from fvm_core.comparison.results import descriptions
from fvm_core.errors import SaltflatError
from fvm_core.runs.run_folder import RunFolder
from ui import guards, identity, paths, wording

KINDS = ["csv", "tsv", "parquet", "npy"]


def draw(run: RunFolder) -> None:
    """The file, its columns, the preview and the button; then what has joined, with a way out."""
    if not identity.is_owner():
        st.caption(identity.why_not("let other scores join"))
        return
    with st.expander("Scores or probabilities of another tool", key="external"):
        st.caption(
            "A .csv, .tsv or .parquet with a column of ids, and either scores or one probability a class "
            "(pred_probs); or an .npy with a row a sample, in this run's order."
        )
        file = st.file_uploader("File", KINDS, key="external-file")
        path = None
        with guards.told_errors():
            path = paths.ask("Or its path on this machine", key="external-path")
        left, middle, right = st.columns(3)
        id_column = left.text_input("Column of ids", placeholder="id", key="external-id").strip()
        column = middle.text_input(
            "Column of scores", placeholder="found by name", key="external-column"
        ).strip()
        end = right.selectbox(
            "Suspicious end", ["high", "low"], index=None, placeholder="by name", key="external-end"
        )
        if file is not None or path is not None:
            try:
                with tempfile.TemporaryDirectory() as folder:
                    if file is not None:
                        place = Path(folder) / Path(file.name).name
                        place.write_bytes(file.getvalue())
                    else:
                        place = places.allowed(path)
                    found = read_external(
                        run,
                        place,
                        id_column=id_column or None,
                        score_column=column or None,
                        suspicious=end,
                    )
                _offer(run, found, place)
            except SaltflatError as problem:
                guards.tell(problem)
    joined = [one for one in descriptions(run.path) if one.external]
    for one in joined:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(
                f"{wording.in_markdown(one.title)}, from {wording.in_markdown(one.settings.get('file', ''))}",
                width="content",
            )
            if st.button("Take out", key=f"remove-{one.name}"):
                remove_external(run, one.name)
                st.rerun()


def _offer(run: RunFolder, found: External, place: Path) -> None:
    rated = int((found.values == found.values).sum())
    st.caption(
        f"Understood: {wording.in_markdown(found.column)}, {found.suspicious} = suspicious; "
        f"{wording.count(rated)} of {wording.count(len(found.values), 'sample')} have a value, "
        f"{wording.count(found.extra, 'id')} of the file are not in this run"
        + ("; suggested labels come with it." if found.suggested is not None else ".")
    )
    name = st.text_input("Name", value=place.stem[:64], key="external-name").strip()
    if st.button("Let it join", type="primary", key="external-join", disabled=not name):
        add_external(run, name, found, place.name)
        st.rerun()
