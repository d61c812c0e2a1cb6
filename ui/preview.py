"""What is in a dataset, before a run: opened once, thumbnails and counts by class, problems, estimate."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import numpy as np
import streamlit as st

from fvm_core.access import places
from fvm_core.config import RunConfig
from fvm_core.data import DatasetSpec, ImageDataset, Problem, open_spec
from fvm_core.data.conversion_choice import with_conversion
from fvm_core.data.image_paths import ImagesNotFound
from fvm_core.data.problems import find_problems
from fvm_core.data.sources import FileImages, file_stamp
from fvm_core.data.tables import files_of
from fvm_core.data.thumbnails import encode_thumbnail
from fvm_core.errors import SaltflatError, UnreadableImage
from fvm_core.pipeline.estimate import Estimate, estimate
from fvm_core.review.summary import class_counts
from ui import wording

A_CLASS = 4
MOST_CLASSES = 12
MOST_ROWS = 24
_ICONS = {"error": ":material/error:", "warning": ":material/warning:", "notice": ":material/info:"}
LOOK_AT_ONCE = 5000
"""Up to this many images all are read for problems at once; above, when the person asks for it."""


def opened(spec: DatasetSpec, **conversion: object) -> ImageDataset:
    """The dataset; opened again only when the settings or the file have changed.

    Args:
        spec: where it is.
        **conversion: `window` and `background`, where the person has set them.
    """
    spec = replace(spec, source=places.allowed_source(spec.source), **conversion)
    if spec.image_root is not None:
        spec = replace(spec, image_root=str(places.allowed(spec.image_root)))
    folders = tuple(map(str, places.roots())) if places.restricted() else ()
    return _opened(spec, _stamp(files_of(spec.source, spec.split), spec), folders)


@st.cache_resource(max_entries=4, show_spinner="Opening the dataset …")
def _opened(spec: DatasetSpec, stamp: str, folders: tuple[str, ...]) -> ImageDataset:
    try:
        dataset = open_spec(spec)
    except ImagesNotFound as error:
        if folders:  # what lies outside is refused in the same words whether it is there or not
            places.check_files(path for path in error.paths if path)
        raise
    if folders:
        places.check_files(dataset.files)
    if folders and isinstance(dataset.images, FileImages):
        places.check_files(path for path in dataset.images.paths if path)
    return dataset


def in_one_conversion(
    train: ImageDataset, val: ImageDataset | None
) -> tuple[ImageDataset, ImageDataset | None]:
    """Both sets as a run will see them: with what it chooses where the person leaves it open."""
    kept = st.session_state.get("conversion-of")
    if not kept or kept[0] is not train or kept[1] is not val:
        kept = (train, val, with_conversion(train, val))
        st.session_state["conversion-of"] = kept
    return kept[2]


def classes(train: ImageDataset, val: ImageDataset | None) -> None:
    """One row a class: name, four images, number of training and validation samples."""
    counts = class_counts(train.given, len(train.classes))
    clean = dict.fromkeys(train.classes, 0)
    if val is not None:
        clean.update(zip(val.classes, class_counts(val.given, len(val.classes)).tolist(), strict=True))
    shown = np.argsort(-counts, kind="stable")
    if len(shown) > MOST_CLASSES and not st.toggle(
        f"Show all {wording.count(len(shown))} classes", key="all-classes"
    ):
        shown = shown[:MOST_CLASSES]
    most = max(int(counts.max(initial=1)), 1)
    rows = []
    for k in sorted(shown.tolist()):
        name, number = train.classes[k], int(counts[k])
        beside = (
            "" if val is None else f' <span class="sf-muted">+ {wording.count(clean[name])} trusted</span>'
        )
        rows.append(
            f'<span class="sf-name" title="{wording.in_html(name)}">{wording.in_html(name)}</span>'
            f"{_pictures(train, k)}"
            f'<span class="sf-count"><i style="width:{100 * number / most:.1f}%"></i>'
            f'<span class="sf-num">{wording.count(number)}{beside}</span></span>'
        )
    st.html(f'<div class="sf-thumbs">{"".join(rows)}</div>')


def problems(train: ImageDataset, val: ImageDataset | None) -> list[Problem]:
    """The list of problems with counts; each can be opened to see its rows."""
    total = len(train) + (len(val) if val is not None else 0)
    deep = total <= LOOK_AT_ONCE or st.session_state.get("deep-for") == _name(train, val)
    found = _problems(train, val, deep)
    if not found:
        st.caption("No problems found." if deep else "No problems found in labels and ids.")
    for number, problem in enumerate(found):
        _problem(problem, train if problem.where == "train" else val, number)
    if not deep and st.button(f"Check all {wording.count(total, 'image')}", key="deep"):
        st.session_state["deep-for"] = _name(train, val)
        st.rerun()
    return found


def _problem(problem: Problem, dataset: ImageDataset, number: int) -> None:
    icon = _ICONS[problem.severity]
    picture, text, way = st.columns([0.7, 5.3, 1.4], vertical_alignment="center")
    if problem.rows:
        picture.html(f'<div class="sf-problem">{_picture(dataset, problem.rows[0])}</div>')
    where = "validation set" if problem.where == "val" else "training set"
    text.markdown(f"{icon} {wording.in_markdown(problem.message)}", help=f"Found in the {where}.")
    if problem.rows and way.button(
        f"Show {wording.count(len(problem.rows))}", key=f"problem-{number}", width="stretch"
    ):
        _rows(problem, dataset)


@st.dialog("Rows with this problem", width="large")
def _rows(problem: Problem, dataset: ImageDataset) -> None:
    st.markdown(wording.in_markdown(problem.message))
    names = (*dataset.classes, "no label")
    cells = []
    notes = problem.notes or ("",) * len(problem.rows)
    for row, note in list(zip(problem.rows, notes, strict=False))[:MOST_ROWS]:
        label = wording.in_html(names[dataset.given[row]])
        cells.append(
            f"<figure>{_picture(dataset, row)}<figcaption>{label}<br>"
            f"<code>{wording.in_html(dataset.ids[row])}</code>"
            f"{f'<br>{wording.in_html(note)}' if note else ''}</figcaption></figure>"
        )
    st.html(f'<div class="sf-rows-grid">{"".join(cells)}</div>')
    if len(problem.rows) > MOST_ROWS:
        st.caption(f"The first {MOST_ROWS} of {wording.count(len(problem.rows))}.")


def _problems(train: ImageDataset, val: ImageDataset | None, deep: bool) -> list[Problem]:
    name = (_name(train, val), deep)
    kept = st.session_state.get("problems")
    if kept and kept[0] == name:
        return kept[1]
    bar = st.progress(0.0, "Looking for problems …")

    def tell(done: int, total: int) -> None:
        bar.progress(done / max(total, 1), f"Reading images: {wording.count(done)} of {wording.count(total)}")

    found = find_problems(train, val, progress=tell, deep=deep)
    bar.empty()
    st.session_state["problems"] = (name, found)
    return found


def cost(config: RunConfig, train: ImageDataset, val: ImageDataset) -> Estimate:
    """Time, memory and disk, measured on a few batches; kept by the settings."""
    name = (config.to_toml(), _name(train, val))
    kept = st.session_state.get("estimate")
    if not kept or kept[0] != name:
        with st.spinner("Measuring what the run will take …"):
            kept = (name, estimate(config, train, val))
        st.session_state["estimate"] = kept
    return kept[1]


def cost_lines(found: Estimate) -> None:
    """The estimate as three numbers and one line on the model."""
    numbers = [
        ("Time, about", wording.duration(found.seconds)),
        ("Memory", wording.size(found.memory_bytes)),
        ("Disk", wording.size(found.disk_bytes)),
    ]
    for column, (label, text) in zip(st.columns(3), numbers, strict=True):
        column.metric(label, text)
    longest = max(found.stages, key=found.stages.get)
    st.caption(
        f"{found.model_summary}, on {found.device}. "
        f"Longest stage: {longest}, {wording.duration(found.stages[longest])}."
    )
    for notice in found.notices:
        st.caption(wording.in_markdown(notice))


def _name(train: ImageDataset, val: ImageDataset | None) -> tuple:
    return (train.spec, train.images.stamp(), val and val.spec, val and val.images.stamp())


def _pictures(dataset: ImageDataset, k: int) -> str:
    rows = np.flatnonzero(dataset.given == k)[:A_CLASS]
    empty = '<span class="sf-none">–</span>' * (A_CLASS - len(rows))
    return "".join(_picture(dataset, int(row)) for row in rows) + empty


def _picture(dataset: ImageDataset, row: int) -> str:
    found = _encoded(dataset, dataset.spec, _stamp(dataset.files, dataset.spec), row)
    if found is None:
        return '<span class="sf-none">can\'t be read</span>'
    source, tiny = found
    return f'<img src="{source}" alt="" class="{"sf-tiny" if tiny else ""}">'


def _stamp(files: tuple[str | Path, ...], spec: DatasetSpec) -> str:
    """Changes when the table or the tables that the data comes from may have changed."""
    return "|".join(file_stamp(file) for file in files or (Path(spec.source).expanduser(),))


@st.cache_data(max_entries=4000, show_spinner=False)
def _encoded(_dataset: ImageDataset, spec: DatasetSpec, stamp: str, row: int) -> tuple[str, bool] | None:
    try:
        image = _dataset.images.image(row)
    except UnreadableImage:
        return None
    data = encode_thumbnail(image)
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}", max(image.size) <= 48


def stops(found: list[Problem]) -> None:
    """Raise `SaltflatError` if a problem stops a run."""
    errors = [problem.message for problem in found if problem.severity == "error"]
    if errors:
        raise SaltflatError(" ".join(errors))
