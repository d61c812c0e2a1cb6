"""Widgets that say where images and labels are; they give a `DatasetSpec`."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import streamlit as st

from fvm_core.access import places
from fvm_core.data import DatasetSpec
from fvm_core.data.conversion import BACKGROUNDS
from fvm_core.errors import SaltflatError
from ui import catalog, identity, paths, uploads

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
    columns = {} if kind == DIGITS else _columns(part, source)
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
    return DatasetSpec(source=source, split=part.split, limit=limit, **columns, **noise)


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
            help="A folder with one folder of images for each class, a .csv or .tsv with paths and labels, "
            "a .parquet, a .npz, or cifar10:FOLDER, cifar100:FOLDER. A relative path begins in the folder in "
            "which the app was started.",
        )
    file = st.file_uploader(
        "File",
        type=uploads.TYPES,
        key=f"{part.key}-file",
        help="A zip holds one folder of images for each class. " + uploads.LIMITS + " Larger data: give its "
        "path instead.",
    )
    if file is None:
        return ""
    identity.need_owner("upload files")
    return str(uploads.keep(file, file.name, catalog.workspace().datasets))


def _columns(part: Part, source: str) -> dict[str, str]:
    """Column choices for tables; the reader finds the usual names itself."""
    names = _column_names(source)
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
    return found


def _column_names(source: str) -> list[str]:
    path = Path(source).expanduser()
    if not path.is_file():
        return []
    if path.suffix.lower() in (".parquet", ".pq"):
        try:
            return pq.read_schema(path).names
        except (OSError, ValueError):
            return []  # the reader says what is wrong with the file
    if path.suffix.lower() in (".csv", ".tsv"):
        try:
            with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
                line = next(csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ","), [])
        except (OSError, csv.Error):
            return []
        return [name for name in line if name]
    return []
