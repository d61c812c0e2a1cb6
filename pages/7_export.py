"""Export: what changed, and the file with the cleaned labels."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from fvm_core.access import places
from fvm_core.data import open_spec
from fvm_core.errors import SaltflatError
from fvm_core.review.export import write_class_folders, write_export
from fvm_core.review.spreadsheet import spreadsheet_safe
from ui import exporting, frame, guards, identity, paths, results, signed_in, theme, wording
from ui.charts import drawing, expected

FIRST = 20
FOLDERS = "Class folders"
RIGHT, ABOVE = "Where most are right", "Above a suspicion percentile"

run = guards.need_scores(
    "Here you will get the cleaned labels as a file, with every row and id in its order."
)
folder = run.folder
frame.heading("Export")
if waiting := frame.unsaved():
    st.warning(
        f"{wording.count(waiting, 'decision')} of this browser "
        f"{'is' if waiting == 1 else 'are'} not saved yet and not in this file.",
        icon=":material/hourglass_empty:",
    )

if changed := exporting.changed_data(folder):
    st.warning(wording.in_markdown(changed), icon=":material/difference:")

choice, options = st.container(), st.container()
with choice:
    kind = st.segmented_control(
        "Format",
        [*exporting.FORMATS, FOLDERS],
        default="CSV",
        required=True,
        wrap=True,
        key="format",
        bind="query-params",
    )
    only = st.toggle(
        "Only samples with a decision",
        key="only",
        bind="query-params",
        help="Otherwise every row is exported.",
    )
    sheet = kind == "CSV" and st.toggle(
        "Safe to open in a spreadsheet",
        key="sheet",
        bind="query-params",
        help="Puts an apostrophe before texts that begin with =, +, -, @, a tab or a line break, which a "
        "spreadsheet would run as formulas. Such labels no longer read back exactly.",
    )
accept = exporting.Accept()
with options:
    frame.why_ranked(run)
    automatic = st.toggle(
        "Accept suggestions without review",
        key="auto",
        bind="query-params",
        help="They get the status auto_relabelled, so they can be told apart from what you decided.",
    )
    if automatic:
        way = st.segmented_control(
            "Which suggestions",
            [RIGHT, ABOVE],
            default=RIGHT,
            required=True,
            key="auto-by",
            bind="query-params",
        )
        if way == RIGHT:
            share = st.slider(
                "At least so many are right",
                50.0,
                99.5,
                95.0,
                0.5,
                format="%.1f %%",
                key="auto-right",
                bind="query-params",
                help="The surest suggestions, as many as this holds for, counted with care: by cross-fitted "
                "probabilities, else by what was suggested for planted samples.",
            )
            accept = exporting.Accept(precision=share)
        else:
            above = st.slider(
                "Above this suspicion percentile",
                0.0,
                100.0,
                max(results.default_above(folder), 95.0),
                0.1,
                format="%.1f %%",
                key="auto-above",
                bind="query-params",
            )
            accept = exporting.Accept(above=above)

table = exporting.table(folder, accept, only)
counts = table["status"].value_counts()
if accept.asked:
    number = int(counts.get("auto_relabelled", 0))
    sentence, warning, numbers = exporting.expected(folder, accept)
    with options:
        st.caption(f"This changes {wording.count(number, 'label')} that nobody has looked at.")
        st.markdown(wording.in_markdown(sentence))
        if warning:
            st.warning(wording.in_markdown(warning), icon=":material/warning:")
        if numbers is not None:
            drawing.titled(
                "Are there fewer wrong labels afterwards?",
                "Wrong labels among the samples that nobody has decided on; the line is the 95 % interval. "
                "Where people mislabel what is hard to tell apart, both are higher; the difference holds.",
            )
            drawing.show(expected.before_after(numbers), "auto-expected", sentence)

st.subheader("What changed?", anchor=False)
states = [
    "relabelled",
    *(["auto_relabelled"] if automatic else []),
    "kept",
    "excluded",
    "unsure",
    "unreviewed",
]
numbers = st.container(horizontal=True, gap="medium")
for state in states:
    look = theme.STATES[state]
    title = f"{look.icon} {look.word.capitalize()}".strip()
    numbers.metric(title, wording.count(counts.get(state, 0)), width="content")
changed = table[table["status"].isin(exporting.CHANGED)]
if len(changed):
    first = changed.head(FIRST)
    marks = [theme.STATES[state] for state in first["status"]]
    shown = pd.DataFrame(
        {
            "id": first["id"].map(wording.plain),
            "given label": first["given_label"].map(wording.plain),
            "clean label": first["clean_label"].map(wording.plain),
            "status": [f"{look.icon} {look.word}" for look in marks],
            "suspicion": first["percentile"].map(wording.percentile),
            "reviewer": first["reviewer"],
        }
    )
    colours = dict(zip(shown.index, [look.colour for look in marks], strict=True))
    styled = shown.style.apply(
        lambda column: [f"color: {colours[row]}; font-weight: 600" for row in column.index], subset=["status"]
    )
    st.dataframe(styled, hide_index=True, width="stretch")
    if len(changed) > FIRST:
        st.caption(f"The first {FIRST} of {wording.count(len(changed), 'change')}.")
else:
    st.caption("Nothing is changed yet. Review some samples, or accept suggestions without review.")

st.subheader("Get the file", anchor=False)
audit = exporting.audit(folder, sheet)
if kind != FOLDERS:
    form = exporting.FORMATS[kind]
    file = exporting.download(folder, accept, only, form, sheet)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            f"Download {wording.count(len(table), 'row')} as {kind} ({wording.size(len(file.data))})",
            file.data,
            file_name=file.name,
            mime=exporting.MIME[form],
            type="primary",
            key="download",
            on_click=exporting.remember,
            args=(folder,),
        )
        st.download_button(
            "Download the audit file", audit.data, file_name=audit.name, mime="text/csv", key="audit"
        )
    st.caption(
        "Read it back, with the apostrophes that the spreadsheet needs:"
        if sheet
        else "Read it back, every label exactly as it is:"
    )
    st.code("import pandas\n" + exporting.READ[form].format(name=file.name), language="python")
else:
    st.caption("Images are copied into one folder for each clean label; excluded images are left out.")

with st.container(key="write-to"):
    closed = signed_in.reserved("write files on the server")
    hint = "a new folder" if kind == FOLDERS else "a file"
    place = paths.ask(
        "Or write it to a place on this machine" if kind != FOLDERS else "Write the folders to",
        key="target",
        placeholder=f"path of {hint}",
        help="A relative path begins in the folder in which the app was started.",
    )
    if st.button("Write", key="write", disabled=closed or place is None):
        try:
            identity.need_owner("write files on the server")
            place = places.allowed(place)
            if kind == FOLDERS:
                if changed:
                    raise SaltflatError(f"{changed} Class folders copy its images: put the data back first.")
                bar = st.progress(0.0, "Copying images …")
                write_class_folders(
                    table,
                    open_spec(folder.config.train_data),
                    place,
                    lambda done, total: bar.progress(done / max(total, 1), "Copying images …"),
                )
                bar.empty()
            elif place.exists():
                raise SaltflatError(f"{place} exists already. Choose another name; nothing is overwritten.")
            else:
                write_export(spreadsheet_safe(table) if sheet else table, place, exporting.FORMATS[kind])
        except SaltflatError as problem:
            guards.tell(problem)
        except OSError as problem:
            guards.tell(SaltflatError(f"{place} can't be written: {problem.strerror}. Choose another place."))
        else:
            exporting.remember(folder)
            st.success(f"Written to {wording.in_markdown(place)}", icon=":material/check:")
    if kind == FOLDERS:
        st.download_button(
            "Download the audit file", audit.data, file_name=audit.name, mime="text/csv", key="audit-folders"
        )
