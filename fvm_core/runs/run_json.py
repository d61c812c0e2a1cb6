"""`run.json`: what it holds, and reading it."""

from __future__ import annotations

from pathlib import Path

from fvm_core.shapes import amount, moment, text, whole
from fvm_core.stored import read_json

FILE = "run.json"

_SENSITIVITY = {
    "samples": whole,
    "factors": [float],
    "damping": [float],
    "correlation": [(float, type(None))],
    "overlap": [(float, type(None))],
}
_STAGE = {
    "state": text,
    "seconds?": amount,
    "reason?": str,
    "failed?": {str: str},
    "sensitivity?": _SENSITIVITY,
}
SHAPE = {
    "id": text,
    "name": str,
    "created": moment,
    "stages": {str: _STAGE},
    "samples?": whole,
    "validation_samples?": whole,
    "classes?": [str],
    "device?": str,
    "problems?": [{"kind": str, "message": str, "where": str}],
    "summary?": {
        "threshold": float,
        "flagged": whole,
        "suggested_relabels": whole,
        "estimated_wrong": amount,
    },
    "planted?": {"samples": whole, "wrong": whole, "in_training?": bool},
    "data?": {str: object},
    "features?": text,
    "versions?": {str: str},
    "input?": {"channels": whole, "size": whole, "mean": [float], "std": [float]},
    "estimate?": {str: amount},
    "spent?": {str: amount},
    "peak_memory_bytes?": amount,
}
"""Every part that some code goes by; stages may tell more."""


def read(path: Path) -> dict:
    """The content of a `run.json`; raises `DamagedFile` with what is wrong with it."""
    return read_json(path, SHAPE, f"Run `saltflat doctor {path.parent} --redo`, which mends what can be.")
