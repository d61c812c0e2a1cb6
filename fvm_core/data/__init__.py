"""Datasets of labelled images: one reader per format, one `ImageDataset`."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from fvm_core.data.cifar import read_cifar
from fvm_core.data.conversion import PLAIN, Conversion
from fvm_core.data.conversion_choice import converted
from fvm_core.data.dataset import UNKNOWN, DatasetSpec, ImageDataset, ImageSource, Problem
from fvm_core.data.delimited import read_delimited
from fvm_core.data.digits import read_digits
from fvm_core.data.folder import read_folder
from fvm_core.data.npz import read_npz
from fvm_core.data.parquet import read_parquet
from fvm_core.data.python_objects import read_object
from fvm_core.data.subset import limited
from fvm_core.data.tables import PARQUET, find_tables
from fvm_core.errors import SaltflatError
from fvm_core.start_folder import own_digits

__all__ = [
    "UNKNOWN",
    "DatasetSpec",
    "ImageDataset",
    "ImageSource",
    "Problem",
    "load_dataset",
    "open_spec",
]

_POSSIBLE = (
    "Possible are: digits, cifar10:FOLDER, cifar100:FOLDER, a folder with one folder of images for each "
    "class, a folder or a pattern (train-*.parquet) of Parquet files, or a .csv, .tsv, .jsonl, "
    ".parquet or .npz file."
)


def load_dataset(
    source: str | Path | object,
    *,
    split: str = "train",
    label: str | None = None,
    true_label: str | None = None,
    image: str | None = None,
    id: str | None = None,
    limit: int | None = None,
    noise: float = 0.3,
    noise_kind: str = "symmetric",
    seed: int = 0,
    image_root: str | Path | None = None,
    window: tuple[float, float] | None = None,
    background: str | None = None,
) -> ImageDataset:
    """Open a dataset; images are decoded later, when they are asked for.

    Args:
        source: `digits` (a folder of that name goes before), `cifar10:FOLDER`, `cifar100:FOLDER`, or the path
            of a folder of class folders, a `.csv`, `.tsv`, `.jsonl`, `.parquet` or `.npz` file, a folder or a
            pattern of Parquet files. Or what is open in Python: a `datasets.Dataset`, a torchvision dataset,
            a pandas DataFrame, arrays; see `read_object`. A run of such data goes on from Python only.
        split: the part to take of a source that holds several: `train`, `val` or `test` for the one that
            means it, or its name.
        label: column (for CIFAR-N: key) of given labels; None finds the usual names.
        true_label: column or key of true labels, where there is one.
        image: column of images or paths; None finds the usual names.
        id: column of ids; None finds `id`.
        limit: keep this many rows, drawn with `seed`, in the input's order.
        noise: share of labels to move (digits, train split).
        noise_kind: `symmetric` or `class_dependent` (digits, train split).
        seed: of `limit` and `noise`.
        image_root: folder of the images that a table names by their paths; None for the table's own.
        window: values that become black and white, of pictures with more than 8 bits a channel; None: a run
            chooses by percentiles.
        background: `white`, `black` or `grey`, what transparent pictures are laid on; None: a run chooses.

    Raises:
        SaltflatError: what is wrong with the source, and what to do.
    """
    if not isinstance(source, str | Path):
        root = None if image_root is None else Path(image_root)
        columns = {"label": label, "true_label": true_label, "image": image, "id": id, "image_root": root}
        conversion = Conversion(window, background or PLAIN.background)
        return converted(limited(read_object(source, **columns), limit, seed), conversion)
    spec = DatasetSpec(
        source=own_digits(str(source)),
        split=split,
        label=label,
        true_label=true_label,
        image=image,
        id=id,
        limit=limit,
        noise=noise,
        noise_kind=noise_kind,
        seed=seed,
        image_root=None if image_root is None else str(image_root),
        window=window,
        background=background,
    )
    return open_spec(spec)


def open_spec(spec: DatasetSpec) -> ImageDataset:
    """Open the dataset that `spec` describes; see `load_dataset`.

    Returns:
        The dataset; its `spec` holds an absolute path, so that it opens from any working folder.
    """
    kind, _, folder = spec.source.partition(":")
    if not spec.source.strip():
        raise SaltflatError(f"The source of the data is empty. {_POSSIBLE}")
    if spec.source == "digits":
        _refuse(spec, "label", "true_label", "image", "id", "image_root")
        dataset = read_digits(spec.split, noise=spec.noise, noise_kind=spec.noise_kind, seed=spec.seed)
    elif kind in ("cifar10", "cifar100") and folder:
        _refuse(spec, "image", "id", "image_root")
        root = _without_tilde(folder).resolve()
        dataset = read_cifar(kind, root, split=spec.split, label=spec.label, true_label=spec.true_label)
        spec = replace(spec, source=f"{kind}:{root}")
    else:
        path = _without_tilde(spec.source)
        dataset = _read_path(path, spec)
        root = _image_root(spec)
        spec = replace(spec, source=str(path.resolve()), image_root=None if root is None else str(root))
    return converted(replace(limited(dataset, spec.limit, spec.seed), spec=spec), spec.conversion)


def _read_path(path: Path, spec: DatasetSpec) -> ImageDataset:
    columns = {"label": spec.label, "true_label": spec.true_label, "image": spec.image, "id": spec.id}
    tables = find_tables(path, spec.split)
    if tables is not None:
        reader = read_parquet if tables.files[0].suffix.lower() in PARQUET else read_delimited
        dataset = reader(tables.files, **columns, image_root=_image_root(spec))
        problems = [*tables.notices, *dataset.problems]
        return replace(dataset, name=tables.name, problems=problems, files=tuple(map(str, tables.files)))
    if path.is_dir():
        _refuse(spec, "label", "true_label", "image", "id", "image_root")
        return read_folder(path, spec.split)
    if not path.exists():
        raise SaltflatError(f"There is no file or folder {spec.source!r}. {_POSSIBLE}")
    if path.suffix.lower() == ".npz":
        _refuse(spec, "image_root")
        return read_npz(path, split=spec.split, **columns)
    raise SaltflatError(f"{spec.source!r} is of no kind that can be opened. {_POSSIBLE}")


def _image_root(spec: DatasetSpec) -> Path | None:
    if spec.image_root is None:
        return None
    root = _without_tilde(spec.image_root)
    if not os.path.isdir(root):  # noqa: PTH112 (pathlib's own question fails for names that are too long)
        raise SaltflatError(f"There is no folder {spec.image_root!r}, which should hold the images.")
    return root.resolve()


def _without_tilde(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise SaltflatError(f"There is no file or folder {path!r}: nobody here has such a home.") from None


def _refuse(spec: DatasetSpec, *columns: str) -> None:
    asked = [f"{name}={getattr(spec, name)!r}" for name in columns if getattr(spec, name) is not None]
    if asked:
        raise SaltflatError(
            f"{spec.source} has no such columns or paths to choose from; leave out {', '.join(asked)}."
        )
