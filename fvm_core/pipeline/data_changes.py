"""Whether the data of a run is still what it was when the run began."""

from __future__ import annotations

from fvm_core.data.dataset import ImageDataset
from fvm_core.errors import SaltflatError
from fvm_core.pipeline.prepare import open_data
from fvm_core.runs.run_folder import RunFolder

_WORDS = {"train": "training", "val": "validation"}
PYTHON = "python:"
"""Start of the source of data that was handed over in Python and can't be opened again."""


def identity(train: ImageDataset, val: ImageDataset) -> dict:
    """What `run.json` notes of both sets: name, number of samples, fingerprint."""
    return {
        where: {"name": one.name, "samples": len(one), "fingerprint": one.fingerprint()}
        for where, one in (("train", train), ("val", val))
    }


def difference(run: RunFolder, train: ImageDataset, val: ImageDataset) -> str | None:
    """A sentence on what has changed since the run began, None where all is the same or nothing is noted."""
    found = identity(train, val)
    for where, words in _WORDS.items():
        before = run.info.get("data", {}).get(where)
        if not isinstance(before, dict) or "fingerprint" not in before:
            continue
        if before["fingerprint"] != found[where]["fingerprint"]:
            return (
                f"The {words} data of {run.name} has changed since the run began "
                f"({before.get('samples', '?')} samples then, {found[where]['samples']} now)."
            )
    return None


def warning(run: RunFolder) -> str | None:
    """What a person who uses the results should know of the data, None where it is as it was.

    Opens the data: a second for a folder of 100,000 images.
    """
    config = run.config
    if any(spec.source.startswith(PYTHON) for spec in (config.train_data, config.val_data)):
        return None
    try:
        return difference(run, *open_data(config))
    except SaltflatError as error:
        return f"The data of {run.name} can't be opened, so nobody can tell whether it has changed: {error}"
