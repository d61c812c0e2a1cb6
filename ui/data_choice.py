"""Widgets that say where images and labels are; they give a `DatasetSpec`."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from fvm_core.access import places
from fvm_core.data import DatasetSpec
from fvm_core.data.conversion import BACKGROUNDS
from fvm_core.data.part_names import part_names
from fvm_core.data.table_columns import column_names
from fvm_core.errors import SaltflatError
from ui import catalog, identity, paths, uploads, wording

PATH, UPLOAD, DIGITS = "Path", "Upload", "Digits demo"


@dataclass(frozen=True)
class Part:
    """The training or the validation set.

    Attributes:
        key: prefix of the widget keys and query parameters.
        split: the split that sources with several are asked for.
        placeholder: an example of a path.
    """

    key: str
    split: str
    placeholder: str


TRAIN = Part("train", "train", "photos/train or labels.csv or train.parquet")
VAL = Part("val", "val", "photos/clean or clean.parquet")


def choose(part: Part) -> DatasetSpec | None:
    """The widgets of one part; None until there is a source."""
    kind = st.segmented_control(
        "Source",
        [PATH, UPLOAD, DIGITS],
        default=PATH,
        required=True,
        wrap=True,
        key=f"{part.key}-kind",
        bind="query-params",
        label_visibility="collapsed",
    )
    source = _source(part, kind)
    if not source:
        return None
    source = places.allowed_source(source)
    columns = {} if kind == DIGITS else {"split": _split(part, source), **_columns(part, kind, source)}
    with st.container(horizontal=True):
        limit = st.number_input(
            "Use at most",
            min_value=10,
            value=None,
            step=1000,
            placeholder="all samples",
            key=f"{part.key}-limit",
            bind="query-params",
            help="A random part of this size, the same one every time.",
        )
        noise = {}
        if kind == DIGITS and part.split == "train":
            noise["noise"] = st.slider("Share of wrong labels to plant", 0.0, 0.6, 0.3, 0.05, key="noise")
    return DatasetSpec(**{"source": source, "split": part.split, "limit": limit, **columns, **noise})


def conversion() -> dict[str, object]:
    """How values become what is seen, for both sets; what is left open is chosen by the images."""
    with st.expander("Brightness of thermal, CT and transparent pictures", key="conversion"):
        low, high = st.columns(2)
        black = low.number_input(
            "Value shown as black",
            value=None,
            format="%g",
            placeholder="by the images",
            key="window-low",
            bind="query-params",
            help="For pictures with more than 8 bits. Left open, black and white are where 0.5 % and 99.5 % "
            "of the values lie below.",
        )
        white = high.number_input(
            "Value shown as white",
            value=None,
            format="%g",
            placeholder="by the images",
            key="window-high",
            bind="query-params",
        )
        background = st.selectbox(
            "Under transparent pictures",
            list(BACKGROUNDS),
            index=None,
            placeholder="white, or what light drawings can be seen on",
            key="background",
            bind="query-params",
        )
    if (black is None) != (white is None):
        raise SaltflatError("Name both the value shown as black and the one shown as white, or none.")
    if black is None:
        return {"background": background}
    if black >= white:
        raise SaltflatError("The value shown as black must be below the one shown as white.")
    return {"window": (float(black), float(white)), "background": background}


def prefill(part: Part, spec: DatasetSpec) -> None:
    """Set the widgets to what another run used; call it before `choose`."""
    kind = DIGITS if spec.source == "digits" else PATH
    values = {"kind": kind, "limit": spec.limit}
    if kind == PATH:
        values["path"] = spec.source
    for name in ("label", "true_label", "image", "id"):
        values[name] = getattr(spec, name)
    values["root"] = spec.image_root
    if spec.split in part_names(spec.source):
        values["split"] = spec.split
    for name, value in values.items():
        if value is not None:
            st.session_state[f"{part.key}-{name}"] = value
    if part.split == "train":
        for name, value in zip(("window-low", "window-high"), spec.window or (), strict=False):
            st.session_state[name] = value
        if spec.background:
            st.session_state["background"] = spec.background
    if kind == DIGITS and part.split == "train":
        st.session_state["noise"] = spec.noise


def _source(part: Part, kind: str) -> str:
    if kind == DIGITS:
        return "digits"
    if kind == PATH:
        return paths.ask_source(
            "Path on this machine",
            key=f"{part.key}-path",
            bind="query-params",
            placeholder=part.placeholder,
            help="A folder with one folder of images for each class, a .csv, .tsv or .jsonl with paths and "
            "labels, a .parquet, a folder or a pattern (train-*.parquet) of several, a .npz, or "
            "cifar10:FOLDER, cifar100:FOLDER. A relative path begins in the folder in which the app was "
            "started.",
        )
    file = st.file_uploader(
        "File",
        type=uploads.TYPES,
        key=f"{part.key}-file",
        help="A zip holds one folder of images for each class, or images and one table with their paths and "
        "labels. " + uploads.LIMITS + " Larger data: give its path instead.",
    )
    if file is None:
        return ""
    identity.need_owner("upload files")
    told: list[str] = []
    kept = uploads.keep(file, file.name, catalog.workspace().datasets, told)
    for sentence in told:
        st.caption(wording.in_markdown(sentence))
    return str(kept)


def _split(part: Part, source: str) -> str:
    """The choice among the parts of a source that holds several."""
    names = part_names(source)
    if not names:
        return part.split
    chosen = st.selectbox(
        "Part",
        names,
        index=None,
        placeholder="found by itself",
        key=f"{part.key}-split",
        bind="query-params",
        help="The source holds several parts of a dataset.",
    )
    return part.split if chosen is None else chosen


def _columns(part: Part, kind: str, source: str) -> dict[str, str]:
    """Column choices for tables and where their images are; the reader finds the usual names itself."""
    names = column_names(source)
    if not names:
        return {}
    found = {}
    with st.expander("Columns", key=f"{part.key}-columns"):
        st.caption("Left open, the usual names are found by themselves.")
        for name, words in {
            "label": "Given labels",
            "true_label": "True labels, if known (only for measuring)",
            "image": "Images or their paths",
            "id": "Ids",
        }.items():
            chosen = st.selectbox(
                words,
                names,
                index=None,
                placeholder="found by itself",
                key=f"{part.key}-{name}",
                bind="query-params",
            )
            if chosen is not None:
                found[name] = chosen
        uploaded = kind == UPLOAD and source.lower().endswith((".csv", ".tsv", ".jsonl"))
        if not uploaded:
            found |= _image_root(part, source)
    if uploaded:  # nothing lies beside a table that was uploaded: what is asked next stands open
        found |= _image_root(part, source)
    return found


def _image_root(part: Part, source: str) -> dict[str, str]:
    """The folder below which a table's images are, where it is not the table's own."""
    if source.lower().endswith(".npz"):
        return {}
    unpacked = uploads.image_root(source, catalog.workspace().datasets)
    if unpacked is not None:
        return {"image_root": unpacked}
    root = paths.ask(
        "Folder of the images",
        key=f"{part.key}-root",
        bind="query-params",
        placeholder="that of the table",
        help="Where the files are that the table names, if they are not beside it. Paths of another "
        "machine are looked for below it.",
    )
    return {} if root is None else {"image_root": str(places.allowed(root))}
