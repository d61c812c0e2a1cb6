"""What is damaged in a run folder: the file, the reason and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from fvm_core.comparison import choice
from fvm_core.comparison.results import DESCRIPTION
from fvm_core.data.thumbnails import Thumbnails
from fvm_core.errors import DamagedFile, SaltflatError
from fvm_core.runs import checksums, metrics_json, run_json
from fvm_core.runs.problems_json import load_problems
from fvm_core.runs.run_folder import RunFolder
from fvm_core.runs.stage_files import done_stages, is_external, stage_of, stages_to_redo
from fvm_core.stored import count_rows, read_json, read_schema

_NUMBER, _TEXT, _LIST = "numbers", "texts", "lists"
_TABLES = {
    "scores.parquet": {
        "id": _TEXT,
        "path": _TEXT,
        "given_label": _TEXT,
        "influence": _NUMBER,
        "suspicion": _NUMBER,
        "percentile": _NUMBER,
        "suggested_label": _TEXT,
        "alternatives": _LIST,
        "loss": _NUMBER,
        "p_given": _NUMBER,
        "p_suggested": _NUMBER,
        "loss_before": _NUMBER,
    },
    "trajectory.parquet": {"step": _NUMBER, "influence": _LIST},
    "planted_trajectory.parquet": {"step": _NUMBER, "influence": _LIST},
    "planted_suggestions.parquet": {"suggested_label": _TEXT},
    "tuning.parquet": {"step": _NUMBER, "val_loss": _NUMBER, "val_accuracy": _NUMBER},
    "training.parquet": {"epoch": _NUMBER, "loss": _NUMBER, "val_accuracy": _NUMBER},
    "planted.parquet": {"row": _NUMBER, "planted_label": _TEXT, "wrong": "truth values"},
    "embedding.parquet": {"x": _NUMBER, "y": _NUMBER},
}
"""Columns that are read, and what they hold."""

_ONE_ROW_A_SAMPLE = ("scores.parquet", "embedding.parquet")
_KINDS: dict[str, Callable[[pa.DataType], bool]] = {
    _NUMBER: lambda kind: pa.types.is_integer(kind) or pa.types.is_floating(kind),
    _TEXT: lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind),
    _LIST: lambda kind: (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    ),
    "truth values": pa.types.is_boolean,
}


@dataclass(frozen=True)
class Damage:
    """One damaged file.

    Attributes:
        file: its path in the run folder.
        reason: what is wrong with it.
        remedy: what to do, a whole sentence.
        redo: the stages that are done again to have it back; empty where none can make it.
    """

    file: str
    reason: str
    remedy: str
    redo: tuple[str, ...] = ()

    @property
    def essential(self) -> bool:
        """Whether no screen can show the run without it."""
        return self.file in _ESSENTIAL or (
            self.file.startswith("estimators/") and self.file.endswith(".json")
        )


_ESSENTIAL = (run_json.FILE, "config.toml", "scores.parquet", "choice.json")


def look(run: Path) -> list[Damage]:
    """Damage that shows without reading files whole: what is missing, cut off, or of another kind."""
    return list(_look(run, checksums.size_fault))


def examine(run: Path) -> list[Damage]:
    """All damage, every file read whole and compared with its checksum."""
    return list(_look(run, checksums.content_fault))


def watched(run: Path) -> Iterator[Path]:
    """The files that `look` looks at: as long as none of them has changed, it finds the same."""
    yield from (run / name for name in (run_json.FILE, "config.toml", "choice.json", checksums.FILE))
    yield from (run / name for name in (*_TABLES, "problems.json", "metrics.json"))
    for folder in ("thumbnails", "thumbnails_val", "estimators", "figures", "checkpoints", "curvature"):
        yield run / folder
        yield from sorted((run / folder).glob("*"))


def _look(run: Path, compare: Callable[[Path, str, dict], str | None]) -> Iterator[Damage]:
    try:
        info = run_json.read(run / run_json.FILE)
    except DamagedFile as error:
        yield Damage(run_json.FILE, error.reason, error.remedy)
        return
    try:
        RunFolder(run).config  # noqa: B018 (reading is the check)
    except SaltflatError as error:
        reason = str(error).removeprefix(f"{run / 'config.toml'}: ").rstrip(".")
        yield Damage("config.toml", reason, _redo_words(run))
        return
    skipped = {stage for stage, entry in info["stages"].items() if entry.get("state") == "skipped"}
    done = [stage for stage in done_stages(info["stages"]) if stage not in skipped - {"features"}]
    if "prepare" in done:
        for key in ("samples", "classes"):
            if key not in info and "relabel" in done:
                yield _damage(run, run_json.FILE, f"it has no `{key}`", ("prepare",))
                return
    try:
        noted = checksums.read(run)
    except DamagedFile as error:
        yield Damage(checksums.FILE, error.reason, error.remedy)
        noted = {}
    seen = set()
    for name, about in noted.items():
        if stage_of(name) in done and (reason := compare(run, name, about)):
            seen.add(name)
            yield _damage(run, name, reason)
    for name, check in _checks(run, info, done):
        if name in seen:
            continue
        try:
            check()
        except DamagedFile as error:
            yield Damage(name, error.reason, error.remedy, _redo(run, name))


def _checks(run: Path, info: dict, done: list[str]) -> Iterator[tuple[str, Callable[[], object]]]:
    """Every file that is there or has to be, and the look at its form."""
    needed = {"planted.parquet"} if info.get("planted") else set()
    needed |= {"tuning.parquet"} if "tune" in done else set()
    needed |= {"scores.parquet", "trajectory.parquet"} if "relabel" in done else set()
    for name, columns in _TABLES.items():
        if stage_of(name) in done and (name in needed or (run / name).exists()):
            rows = info.get("samples") if name in _ONE_ROW_A_SAMPLE else None
            yield name, lambda name=name, columns=columns, rows=rows: _check_table(run, name, columns, rows)
    if "prepare" in done and (run / "problems.json").exists():
        yield "problems.json", lambda: load_problems(run)
    if "relabel" in done and (run / metrics_json.FILE).exists():
        yield metrics_json.FILE, lambda: metrics_json.read(run / metrics_json.FILE)
    for folder, rows in (
        ("thumbnails", info.get("samples")),
        ("thumbnails_val", info.get("validation_samples")),
    ):
        if "prepare" in done and (run / folder).exists():
            yield folder, lambda folder=folder, rows=rows: _check_thumbnails(run, folder, rows)
    if (run / "choice.json").exists():
        yield "choice.json", lambda: read_json(run / "choice.json", choice.SHAPE, _CHOOSE)
    for path in sorted((run / "estimators").glob("*.json")):
        name = f"estimators/{path.name}"
        yield name, lambda path=path: read_json(path, DESCRIPTION, _remedy_of_score(run, path))
        table = path.with_suffix(".parquet")
        yield (
            f"estimators/{table.name}",
            lambda table=table: _check_table(
                run,
                f"estimators/{table.name}",
                {"value": _NUMBER, "suspicion": _NUMBER},
                info.get("samples"),
                _remedy_of_score(run, table),
            ),
        )


_CHOOSE = "The review ranks by the run's own influence again once the file is deleted."


def _check_table(
    run: Path, name: str, columns: dict[str, str], rows: int | None, remedy: str | None = None
) -> None:
    path, remedy = run / name, remedy or _redo_words(run)
    schema = read_schema(path, remedy)
    for column, kind in columns.items():
        if column not in schema.names:
            raise DamagedFile(path, f"it has no column `{column}`", remedy)
        found = schema.field(column).type
        if not _KINDS[kind](found):
            raise DamagedFile(path, f"its column `{column}` holds {found}, not {kind}", remedy)
    found = count_rows(path, remedy)
    if rows is not None and found != rows:
        raise DamagedFile(path, f"it has {found:,} rows, the run has {rows:,} samples", remedy)


def _check_thumbnails(run: Path, folder: str, rows: int | None) -> None:
    found = Thumbnails(run / folder)
    if rows is not None and len(found.readable) != rows:
        raise DamagedFile(
            run / folder, f"it has {len(found.readable):,} images, the run has {rows:,}", _redo_words(run)
        )


def _redo(run: Path, name: str) -> tuple[str, ...]:
    if name in ("thumbnails", "thumbnails_val"):
        name = f"{name}/offsets.npy"
    if stage_of(name) is None or (stage_of(name) == "compare" and is_external(run / name)):
        return ()
    return () if name == metrics_json.FILE else stages_to_redo(name)


def _damage(run: Path, name: str, reason: str, redo: tuple[str, ...] | None = None) -> Damage:
    remedy = _remedy_of_score(run, run / name) if stage_of(name) == "compare" else _redo_words(run)
    return Damage(name, reason, remedy, _redo(run, name) if redo is None else redo)


def _redo_words(run: Path) -> str:
    return f"Run `saltflat doctor {run} --redo` to have it made again."


def _remedy_of_score(run: Path, path: Path) -> str:
    if is_external(path):
        return "It came from another tool: take it out of the comparison and let its file join again."
    return _redo_words(run)
