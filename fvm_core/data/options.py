"""The flat names under which the command line and `fvm.run` take what belongs to the data."""

from __future__ import annotations

from collections.abc import Mapping

from fvm_core.data.table_columns import column_names

TRAINING = {
    "label_column": "label",
    "true_label_column": "true_label",
    "image_column": "image",
    "id_column": "id",
    "image_root": "image_root",
    "split": "split",
    "limit": "limit",
    "noise": "noise",
    "noise_kind": "noise_kind",
    "window": "window",
    "background": "background",
}
"""Option to field of `DatasetSpec`, of the training set."""

VALIDATION = {
    "val_label_column": "label",
    "val_image_column": "image",
    "val_id_column": "id",
    "val_image_root": "image_root",
    "val_split": "split",
    "val_limit": "limit",
    "window": "window",
    "background": "background",
}
"""The same of the validation set."""


def taken(options: dict[str, object], names: dict[str, str]) -> dict[str, object]:
    """Those of the options that are given, by field of `DatasetSpec`."""
    return {field: options[name] for name, field in names.items() if options.get(name) is not None}


def shared_columns(train: Mapping[str, object], source: object) -> dict[str, object]:
    """Columns of images and ids as in training, as far as the validation set at `source` has them.

    Args:
        train: what is given for the training set, by field of `DatasetSpec`.
        source: that of the validation set.
    """
    columns = column_names(str(source))
    return {field: train[field] for field in ("image", "id") if train.get(field) in columns}
