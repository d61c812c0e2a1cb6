"""Datasets that are open in Python already: of Hugging Face, torch and torchvision, pandas, and arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fvm_core.data.columns import find_columns
from fvm_core.data.dataset import ImageDataset, ImageSource, Problem, missing_labels
from fvm_core.data.image_paths import PathColumn, locate
from fvm_core.data.labels import Labels, from_floats, from_numbers, from_texts, merge, said_missing
from fvm_core.data.python_images import PythonImages
from fvm_core.data.sources import FileImages, RawImages, check_pixels
from fvm_core.data.wording import listing
from fvm_core.errors import SaltflatError

KINDS = (
    "a path, a `datasets.Dataset`, a torchvision or other torch dataset with a length, a pandas DataFrame, a "
    "pair (images, labels), or a dict of such arrays"
)


def read_object(
    source: Any,
    *,
    label: str | None = None,
    true_label: str | None = None,
    image: str | None = None,
    id: str | None = None,
    image_root: Path | None = None,
) -> ImageDataset:
    """Open what is a dataset in Python already; images stay where they are until they are asked for.

    - `datasets.Dataset`: columns as in Parquet files, names of `ClassLabel` included.
    - torchvision's `ImageFolder`, `CIFAR10`, `MNIST` and the like: files or pixels as they are stored,
      without the dataset's transform. `Subset` of any. Other torch datasets give (image, label) by number;
      their labels are read once, image by image, unless they have `targets` or `labels`.
    - `pandas.DataFrame`: a column of paths, PIL pictures, arrays or bytes, and one of labels.
    - (images, labels) or (images, labels, true_labels), or a dict with the names of a `.npz` file:
      arrays, tensors or lists.

    Args:
        source: the dataset.
        label: column or key of given labels; None finds the usual names.
        true_label: column or key of true labels; None finds `true_label`.
        image: column or key of images; None finds the usual names.
        id: column or key of ids; None finds `id`.
        image_root: folder of the images that a column names by their paths; None for the working folder.

    Raises:
        SaltflatError: another kind of object, no labels, columns that are missing or of a wrong type, or
            another number of labels than of images.
    """
    asked = {"label": label, "true_label": true_label, "image": image, "id": id}
    if _is(source, "datasets", "Dataset"):
        return _hugging_face(source, asked, image_root)
    if _is(source, "datasets", "DatasetDict"):
        raise SaltflatError(
            f"This holds several datasets ({listing(list(source))}). Give one of them, as data['train']."
        )
    if _is(source, "pandas", "DataFrame"):
        return _frame(source, asked, image_root)
    if isinstance(source, Mapping):
        return _arrays({str(key): value for key, value in source.items()}, asked)
    if isinstance(source, tuple | list) and len(source) in (2, 3) and not isinstance(source[0], str | bytes):
        return _arrays(dict(zip(("images", "labels", "true_labels"), source, strict=False)), asked)
    named = [f"{name}={value!r}" for name, value in asked.items() if value is not None]
    if hasattr(source, "__len__") and hasattr(source, "__getitem__") and not isinstance(source, str | bytes):
        if named:
            raise SaltflatError(
                f"{_kind(source)} has no columns to choose from; leave out {', '.join(named)}."
            )
        return _torch(source)
    hint = " Give it a length and rows by number." if hasattr(source, "__iter__") else ""
    raise SaltflatError(f"{_kind(source)} is no dataset that can be opened; give {KINDS}.{hint}")


def _is(source: object, package: str, name: str) -> bool:
    """Whether it is of a class of a package that may not be installed."""
    return any(
        one.__name__ == name and one.__module__.split(".")[0] == package for one in type(source).__mro__
    )


def _kind(source: object) -> str:
    return f"{type(source).__module__}.{type(source).__qualname__}"


def _dataset(
    name: str,
    images: ImageSource,
    given: Labels,
    true: Labels | None,
    ids: Sequence[str] | None,
    paths: Sequence[str] | None = None,
    notices: Sequence[Problem] = (),
) -> ImageDataset:
    rows = len(images)
    for what, values in (
        ("labels", given.codes),
        ("true labels", None if true is None else true.codes),
        ("ids", ids),
    ):
        if values is not None and len(values) != rows:
            raise SaltflatError(
                f"{name} has {rows:,} images and {len(values):,} {what}; there must be one for each."
            )
    if not rows:
        raise SaltflatError(f"{name} has no rows.")
    codes, true_codes, classes = merge(given, true)
    return ImageDataset(
        name=name,
        ids=list(ids)
        if ids is not None
        else list(paths)
        if paths is not None
        else [str(row + 1) for row in range(rows)],
        given=codes,
        classes=classes,
        images=images,
        true=true_codes,
        paths=paths,
        problems=[*notices, *said_missing(given, name), *missing_labels(codes)],
    )


def _labels(values: Any, where: str, names: Sequence[str] | None = None) -> Labels:
    """Labels from a column, array, tensor or list of texts or whole numbers.

    Raises:
        SaltflatError: values of another kind, or not one a row.
    """
    array = _array(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        shape = "×".join(map(str, array.shape)) or "a single value"
        raise SaltflatError(
            f"{where} has shape {shape}; needed is one label a row. Use labels.argmax(1) for one-hot ones."
        )
    if array.dtype.kind == "b":
        return from_texts([str(value) for value in array.tolist()])
    if array.dtype.kind in "iu":
        return from_numbers(array.astype(np.int64), names)
    if array.dtype.kind == "f":
        return from_floats(array, where, names)
    if array.dtype.kind not in "OUTS":
        raise SaltflatError(f"{where} has type {array.dtype}; labels must be texts or whole numbers.")
    held = [None if _is_missing(value) else value for value in array.tolist()]
    if all(
        value is None or (isinstance(value, int | np.integer) and not isinstance(value, bool))
        for value in held
    ):
        return from_numbers(_gaps(held), names)
    found = from_texts([_text(value, row, where) for row, value in enumerate(held)])
    if names is None:
        return found
    both = tuple(dict.fromkeys([*names, *found.names]))
    return Labels(found.recode(both), both, ordered=True, missing=found.missing)


def _array(values: Any) -> np.ndarray:
    """Of a tensor, an array, a column or a list; objects of different kinds stay apart."""
    if hasattr(values, "detach"):
        return values.detach().cpu().numpy()
    if isinstance(values, list | tuple):
        found = np.empty(len(values), dtype=object)
        found[:] = list(values)
        return found
    return np.asarray(values)


def _is_missing(value: object) -> bool:
    missing = value is None or type(value).__name__ in ("NAType", "NaTType")
    return missing or (isinstance(value, float) and bool(np.isnan(value)))


def _text(value: object, row: int, where: str) -> str | None:
    if value is None:
        return None
    if isinstance(value, float):
        value = int(value) if value.is_integer() else value
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if isinstance(value, str | int | bool | np.integer | np.bool_):
        return str(value)
    raise SaltflatError(
        f"Row {row + 1:,} of {where} holds {value!r:.60}; labels must be texts or whole numbers."
    )


def _hugging_face(source: Any, asked: dict[str, str | None], root: Path | None) -> ImageDataset:
    columns = find_columns(source.column_names, "The dataset", **asked)

    def whole(name: str) -> list:
        return source.select_columns([name]).with_format("arrow")[:][name].to_pylist()

    def labels(name: str) -> Labels:
        names = getattr(source.features[name], "names", None)
        return _labels(
            np.array(whole(name), dtype=object) if names is None else _gaps(whole(name)),
            f"Column {name!r}",
            names,
        )

    pictures = source.select_columns([columns.image]).with_format("arrow")
    kind = str(source.features.arrow_schema.field(columns.image).type)
    paths, notices = None, []
    if kind in ("string", "large_string"):
        files, notices, paths = _located(whole(columns.image), columns.image, root)
        images: ImageSource = FileImages(files)
    else:
        images = PythonImages(lambda row: pictures[row][columns.image][0].as_py(), np.arange(len(source)))
    return _dataset(
        "dataset",
        images,
        labels(columns.label),
        labels(columns.true_label) if columns.true_label else None,
        _ids(whole(columns.id)) if columns.id else None,
        paths,
        notices,
    )


def _gaps(values: list) -> np.ndarray:
    """Numbers of classes, −1 where there is none."""
    return np.array([-1 if value is None else value for value in values])


def _ids(values: Sequence[object]) -> list[str]:
    return [
        str(row + 1) if value is None or value != value else str(value) for row, value in enumerate(values)
    ]


def _located(
    written: Sequence[object], column: str, root: Path | None
) -> tuple[list[str], list[Problem], list[str]]:
    texts = ["" if value is None or value != value else str(value) for value in written]
    files, notices = locate([PathColumn(f"column {column!r}", Path.cwd(), texts)], root)
    return files, notices, texts


def _frame(source: Any, asked: dict[str, str | None], root: Path | None) -> ImageDataset:
    names = [str(name) for name in source.columns]
    columns = find_columns(names, "The DataFrame", **asked)

    def column(name: str) -> Any:
        return source.iloc[:, names.index(name)]

    held = column(columns.image).tolist()
    first = next((value for value in held if value is not None and not (isinstance(value, float))), None)
    paths, notices = None, []
    if isinstance(first, str | Path):
        files, notices, paths = _located(held, columns.image, root)
        images: ImageSource = FileImages(files)
    else:
        images = PythonImages(held.__getitem__, np.arange(len(held)))
    return _dataset(
        "DataFrame",
        images,
        _labels(column(columns.label).astype(object).to_numpy(), f"Column {columns.label!r}"),
        _labels(column(columns.true_label).astype(object).to_numpy(), f"Column {columns.true_label!r}")
        if columns.true_label
        else None,
        _ids(column(columns.id).tolist()) if columns.id else None,
        paths,
        notices,
    )


def _arrays(held: dict[str, Any], asked: dict[str, str | None]) -> ImageDataset:
    def named(what: str, usual: str, needed: bool = False) -> str | None:
        name = asked[what] or usual
        if name in held:
            return name
        if asked[what] or needed:
            raise SaltflatError(
                f"There is no {name!r} among the arrays; there are {listing(list(held), 30) or 'none'}."
            )
        return None

    name, label_name = named("image", "images", True), named("label", "labels", True)
    values = held[name]
    images: ImageSource
    if hasattr(values, "shape") and getattr(values, "dtype", None) is not np.dtype(object):
        values = _channels_last(values)
        check_pixels(values, "The array of images")
        images = RawImages(values)
    else:
        images = PythonImages(values.__getitem__, np.arange(len(values)))
    classes = held.get("class_names")
    names = None if classes is None else [str(one) for one in classes]
    true_name, id_name = named("true_label", "true_labels"), named("id", "ids")
    return _dataset(
        "arrays",
        images,
        _labels(held[label_name], f"{label_name!r}", names),
        None if true_name is None else _labels(held[true_name], f"{true_name!r}", names),
        None if id_name is None else _ids(np.asarray(held[id_name]).tolist()),
    )


def _channels_last(values: Any) -> np.ndarray:
    """N×C×H×W, as torch has it, as N×H×W×C."""
    array = _array(values)
    first, last = (array.shape[k] in (1, 3, 4) if array.ndim == 4 else False for k in (1, 3))
    return array.transpose(0, 2, 3, 1) if first and (hasattr(values, "detach") or not last) else array


def _torch(source: Any) -> ImageDataset:
    if hasattr(source, "indices") and hasattr(source, "dataset"):  # torch.utils.data.Subset
        return _torch(source.dataset).take(np.asarray(source.indices, dtype=np.int64))
    name = type(source).__name__
    rows = len(source)
    classes = getattr(source, "classes", None)
    names = [str(one) for one in classes] if isinstance(classes, list | tuple) and classes else None
    samples = getattr(source, "samples", None)
    if isinstance(samples, list) and len(samples) == rows and all(isinstance(one[0], str) for one in samples):
        paths = [path for path, _label in samples]
        files = [str(Path(path).absolute()) for path in paths]
        return _dataset(
            name, FileImages(files), _labels([k for _path, k in samples], "samples", names), None, None, paths
        )
    stored = next(
        (getattr(source, key) for key in ("targets", "labels", "_labels") if _one_a_row(source, key, rows)),
        None,
    )
    pixels = getattr(source, "data", None)
    if stored is not None and hasattr(pixels, "shape") and len(pixels) == rows:
        array = _channels_last(pixels)
        check_pixels(array, f"{name}.data")
        return _dataset(name, RawImages(array), _labels(stored, f"{name}.targets", names), None, None)
    if stored is None:
        stored = [_label_of(source, row, name) for row in range(rows)]
    images = PythonImages(lambda row: _pair(source, row, name)[0], np.arange(rows))
    return _dataset(name, images, _labels(stored, f"The labels of {name}", names), None, None)


def _one_a_row(source: Any, key: str, rows: int) -> bool:
    values = getattr(source, key, None)
    return (isinstance(values, list | tuple | np.ndarray) and len(values) == rows) or (
        hasattr(values, "detach") and values.ndim == 1 and len(values) == rows
    )


def _pair(source: Any, row: int, name: str) -> tuple[Any, Any]:
    found = source[row]
    if isinstance(found, Mapping):
        keys = list(found)
        columns = find_columns([str(key) for key in keys], name)
        return found[columns.image], found[columns.label]
    if not isinstance(found, tuple | list) or len(found) < 2:
        raise SaltflatError(f"{name}[{row}] gives {type(found).__name__}; needed is (image, label).")
    return found[0], found[1]


def _label_of(source: Any, row: int, name: str) -> Any:
    try:
        value = _pair(source, row, name)[1]
    except SaltflatError:
        raise
    except Exception as error:  # whatever somebody's dataset does
        raise SaltflatError(f"{name}[{row}] raised {type(error).__name__}: {error}") from error
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
