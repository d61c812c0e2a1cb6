"""The defaults that `saltflat run --help` names, from the settings themselves."""

from __future__ import annotations

from dataclasses import MISSING, fields

from fvm_core.config import OPTIONS, RunConfig
from fvm_core.data.dataset import DatasetSpec

_TABLES = {item.name: item for item in fields(RunConfig)}
_DATA = {
    "label_column": "found by its usual names",
    "true_label_column": "found by its usual names",
    "image_column": "found by its usual names",
    "id_column": "found by its usual names, else the row or path",
    "image_root": "that of the table",
    "split": "the training set, or all where there are no parts",
    "val_label_column": "found by its usual names",
    "val_image_column": "that of training where there is one, else found by its usual names",
    "val_id_column": "that of training where there is one, else found as that is",
    "val_image_root": "that of the table",
    "val_split": "the validation set, else the test set, or all where there are no parts",
    "limit": "all rows",
    "val_limit": "all rows",
    "window": "0.5 to 99.5 % of the values, or their full range where they fill half of it",
    "background": "white, or what light drawings can be seen on",
}
OPEN_DEFAULTS = {
    "name": "that of the run folder",
    "budget": "20",
    "model.checkpoint": "none: the model is trained first",
    "model.pretrained": "yes for auto above 16 px, for timm's models without --checkpoint, and with "
    "--backbone-weights; else no",
    "model.backbone_weights": "those of a package, else downloaded",
    "model.size": "by the images, at most 224; for a backbone 160 up to 96 px, else 224",
    "model.features": "none: a backbone embeds the images",
    "model.val_features": "the file of --features",
    "crossfit.rounds": "2 where a head is trained, else 0",
    "crossfit.proximity": "that of 0.2, 1 and none which fits trusted images best; for more than a head 0.2 "
    "or none, and in a single round trusted images are learnt instead",
    "train.epochs": "60 up to 16 px, else 100 and without a GPU 30; for a head at least 6 and 600 steps, "
    "for last blocks 10; 0 with a checkpoint",
    "train.lr": "0.05 up to 16 px, else 0.1 and for small_cnn 0.02; 0.01 on a pretrained backbone",
    "train.augment": "yes above 16 px, on images",
    "tune.gamma": "by solver; sam: 0.05, from 100 classes on 0.1",
    "tune.steps": "300 up to 16 px and for a head, 150 for last blocks, else 1000 and without a GPU 500",
    "compare.estimators": "fvm",
    "compare.checkpoints": "5 where an estimator needs them, else 0",
    "compare.best_epoch": "that of the best validation accuracy",
    "compare.planted": "0.1 where no true labels are known and 200 validation images are there, else 0",
    "score.batch_size": "auto",
}
"""What becomes of settings that are left open, in words; `fvm_core.pipeline.defaults` does it."""

_SPEC = ("noise", "noise_kind")


def shown_default(option: str) -> str:
    """The default of an option of `saltflat run` in words; `option` is its name with underscores."""
    if option in _DATA:
        return _DATA[option]
    if option in _SPEC:
        return _words({item.name: item.default for item in fields(DatasetSpec)}[option])
    place = OPTIONS[option]
    if place in OPEN_DEFAULTS:
        return OPEN_DEFAULTS[place]
    table, _, key = place.rpartition(".")
    if not table:
        return _words(_TABLES[key].default)
    kind = _TABLES[table].default_factory
    return _words(next(item.default for item in fields(kind) if item.name == key))


def _words(value: object) -> str:
    if value is MISSING:
        raise TypeError("a setting without a default has to be named in OPEN_DEFAULTS")
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
