"""What single estimators said of a run's samples: one table and one description each, in the run folder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fvm_core.atomic import replacing, write_json
from fvm_core.errors import DamagedFile, SaltflatError
from fvm_core.shapes import amount, fault, text, whole
from fvm_core.stored import read_json, read_table

FOLDER = "estimators"


@dataclass(frozen=True)
class Description:
    """What is known of an estimator's values beside the values themselves.

    Attributes:
        name: as settings and files call it; title: as people read it.
        suspicious: the end of the raw value at which wrong labels are expected, `high` or `low`.
        cost: in words; empty for values from elsewhere.
        seconds: what it took by itself, shared stages not counted; None for values from elsewhere.
        peak_memory_bytes: of the process while it ran; None likewise.
        relabels: whether it suggests labels.
        trained_only: it looks at the model as it was trained (θ* or its checkpoints), not at the tuned one.
        external: the values came from a file.
        order: place in lists of a run.
        settings: what it was computed with, for people.
        trace: convergence, points of (step, relative change); empty where there is none.
        planted: (Q,) suspicion of the run's planted samples, in the order of `planted.parquet`.
        planted_suggested: (Q,) the labels that it suggests for them; empty where it does not relabel, for the
            run's own score (see `RunFolder.planted_suggestions`), and in runs of older versions.
    """

    name: str
    title: str
    suspicious: str
    cost: str = ""
    seconds: float | None = None
    peak_memory_bytes: int | None = None
    relabels: bool = False
    trained_only: bool = False
    external: bool = False
    order: int = 0
    settings: dict = field(default_factory=dict)
    trace: Sequence[tuple[int, float]] = ()
    planted: Sequence[float | None] = ()
    planted_suggested: Sequence[str | None] = ()

    def suspicion(self, values: np.ndarray) -> np.ndarray:
        """Raw values turned so that large = suspicious."""
        return values if self.suspicious == "high" else -values


def _end(value: object) -> str | None:
    return None if value in ("high", "low") else "high or low"


def _pair(value: object) -> str | None:
    fits = isinstance(value, list) and len(value) == 2 and fault(value, [float]) is None
    return None if fits else "a step and a number"


DESCRIPTION = {
    "name": text,
    "title": text,
    "suspicious": _end,
    "cost?": str,
    "seconds?": (amount, type(None)),
    "peak_memory_bytes?": (amount, type(None)),
    "relabels?": bool,
    "trained_only?": bool,
    "external?": bool,
    "order?": whole,
    "settings?": {str: object},
    "trace?": [_pair],
    "planted?": [(float, type(None))],
    "planted_suggested?": [(str, type(None))],
}
"""What `estimators/NAME.json` holds."""


def check_name(name: str) -> str:
    """The name, if a file can have it; raises `SaltflatError` otherwise."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,63}", name):
        raise SaltflatError(
            f"{name!r} can't be the name of a score: use up to 64 letters, digits, spaces, dots, hyphens or "
            f"underscores, the first a letter or a digit."
        )
    return name


def write_result(
    run: Path,
    description: Description,
    values: np.ndarray,
    suggested: Sequence[str | None] | None = None,
    more: Mapping[str, pa.Array] | None = None,
) -> None:
    """Store `estimators/NAME.parquet` and then `estimators/NAME.json`, whole or not at all.

    Args:
        run: the run folder.
        description: of the estimator.
        values: (N,) raw values, NaN where there is none.
        suggested: (N,) the label it suggests for each sample, where it relabels.
        more: (N,) each, of `p_given`, `p_suggested` and `alternatives`, where it knows them.
    """
    folder = run / FOLDER
    folder.mkdir(exist_ok=True)
    values = np.asarray(values, dtype=np.float32)
    columns = {
        "value": pa.array(values, from_pandas=True),
        "suspicion": pa.array(description.suspicion(values), from_pandas=True),
    }
    if suggested is not None:
        columns["suggested_label"] = pa.array(suggested, pa.string())
    columns |= more or {}
    with replacing(folder / f"{check_name(description.name)}.parquet") as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")
    planted = [None if value is None or np.isnan(value) else float(value) for value in description.planted]
    write_json(folder / f"{description.name}.json", {**asdict(description), "planted": planted})


def descriptions(run: Path) -> list[Description]:
    """All estimators of a run that are finished, in their order; raises `DamagedFile`."""
    found = []
    for path in sorted((run / FOLDER).glob("*.json")):
        values = read_json(path, DESCRIPTION, _remedy(run))
        try:
            found.append(Description(**values))
        except TypeError as error:
            raise DamagedFile(path, str(error), _remedy(run)) from None
    return sorted(found, key=lambda one: (one.order, one.title))


def read_result(run: Path, name: str) -> pd.DataFrame:
    """`value, suspicion` and, where it relabels, `suggested_label`: one row a training sample.

    Raises:
        SaltflatError: there is no such score, or its file is damaged.
    """
    path = run / FOLDER / f"{name}.parquet"
    if not path.exists() and not path.with_suffix(".json").exists():
        raise SaltflatError(f"{path} is not there: this run has no score `{name}`.")
    table = read_table(path, _remedy(run))
    for column in ("value", "suspicion"):
        if column not in table.column_names:
            raise DamagedFile(path, f"it has no column `{column}`", _remedy(run))
    return table.to_pandas()


def _remedy(run: Path) -> str:
    return (
        f"Run `saltflat doctor {run} --redo` to have it computed again; scores of another tool are taken out "
        "and have to join again."
    )


def remove_result(run: Path, name: str) -> None:
    """Delete an estimator's files, the description first."""
    for suffix in (".json", ".parquet"):
        (run / FOLDER / f"{check_name(name)}{suffix}").unlink(missing_ok=True)
