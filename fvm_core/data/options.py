"""The flat names under which the command line and `fvm.run` take what belongs to the data."""

from __future__ import annotations

TRAINING = {
    "label_column": "label",
    "true_label_column": "true_label",
    "image_column": "image",
    "id_column": "id",
    "limit": "limit",
    "noise": "noise",
    "noise_kind": "noise_kind",
    "window": "window",
    "background": "background",
}
"""Option to field of `DatasetSpec`, of the training set."""

VALIDATION = {
    "val_label_column": "label",
    "image_column": "image",
    "val_limit": "limit",
    "window": "window",
    "background": "background",
}
"""The same of the validation set."""


def taken(options: dict[str, object], names: dict[str, str]) -> dict[str, object]:
    """Those of the options that are given, by field of `DatasetSpec`."""
    return {field: options[name] for name, field in names.items() if options.get(name) is not None}
