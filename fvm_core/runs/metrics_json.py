"""`metrics.json`: what it holds, and reading it."""

from __future__ import annotations

from pathlib import Path

from fvm_core.shapes import whole
from fvm_core.stored import read_json

FILE = "metrics.json"

SHAPE = {
    "roc_auc?": float,
    "average_precision?": float,
    "relabel_accuracy_all?": float,
    "relabel_accuracy_mislabelled?": float,
    "samples?": whole,
    "wrong_labels?": whole,
    "baselines?": {str: {str: float}},
}


def read(path: Path) -> dict:
    """The content of a `metrics.json`; raises `DamagedFile` with what is wrong with it."""
    return read_json(path, SHAPE, f"Run `saltflat evaluate {path.parent}` to have it made again.")
