"""Put a damaged run folder in order, as far as that can be had."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from fvm_core.comparison.results import FOLDER as ESTIMATORS
from fvm_core.config import RunConfig
from fvm_core.errors import SaltflatError
from fvm_core.pipeline.damage import Damage, examine
from fvm_core.pipeline.data_changes import PYTHON, difference
from fvm_core.pipeline.evaluate import evaluate
from fvm_core.pipeline.prepare import open_data
from fvm_core.runs import checksums, metrics_json, run_json
from fvm_core.runs.run_folder import BACKED_UP, RunFolder
from fvm_core.runs.stage_files import STAGES, files_of


def repair(path: Path) -> list[str]:
    """Put back what has a copy, take out what is not needed, and have the stages done again that are damaged.

    The stages themselves are left to `execute`, which makes the same files again from the same data.

    Args:
        path: the run folder, also one whose `run.json` is gone.

    Returns:
        What was done, one sentence each; empty where nothing is damaged.

    Raises:
        SaltflatError: something can't be put in order; the text says what to do. Nothing is undone then.
    """
    run = RunFolder(path)
    with run.locked():
        return _repair(run)


def _repair(run: RunFolder) -> list[str]:
    path = run.path
    done = _put_back(path)
    found = examine(path)
    lost = [damage for damage in found if damage.file in BACKED_UP and not damage.redo]
    if lost:
        raise SaltflatError(lost_words(path, lost[0]))
    stages = {stage for damage in found for stage in damage.redo}
    if stages:
        _check_data(run)
    for damage in found:
        if not damage.redo and damage.file != metrics_json.FILE:
            done.append(_taken_out(path, damage.file))
    if stages:
        done.append(_reopened(run, stages, [damage.file for damage in found]))
    elif any(damage.file == metrics_json.FILE for damage in found):
        evaluate(run)
        done.append("metrics.json was computed again.")
    return list(dict.fromkeys(done))


def lost_words(path: Path, damage: Damage) -> str:
    """What is left to do where neither the file nor its copy can be used."""
    start = f"{path / damage.file} is damaged ({damage.reason}), and so is its copy {damage.file}.bak. "
    if damage.file == run_json.FILE and (path / "config.toml").is_file():
        return (
            f"{start}Start again with the same settings in a new folder: "
            f"saltflat run --config {path / 'config.toml'} --out {path.with_name(path.name + '-again')}"
        )
    return (
        f"{start}Put a copy of your own back, or start a new run; {path / 'scores.parquet'} still holds the "
        "scores, if it is there."
    )


def _put_back(path: Path) -> list[str]:
    done = []
    for name in BACKED_UP:
        if not _sound(path / name) and _sound(path / f"{name}.bak"):
            shutil.copyfile(path / f"{name}.bak", path / name)
            done.append(f"{name} was put back from its copy.")
    return done


def _sound(path: Path) -> bool:
    try:
        if path.name.startswith(run_json.FILE):
            run_json.read(path)
        else:
            RunConfig.read(path)
    except SaltflatError:
        return False
    return True


def _taken_out(path: Path, name: str) -> str:
    """Remove a file that the run does without: a list of checksums, a choice, scores of another tool."""
    names = [name]
    if Path(name).parent.name == ESTIMATORS:
        names = [str(Path(name).with_suffix(suffix)) for suffix in (".json", ".parquet")]
    for one in names:
        (path / one).unlink(missing_ok=True)
    checksums.forget(path, *names)
    return f"{name} was taken out." + (" Let its file join again." if len(names) > 1 else "")


def _check_data(run: RunFolder) -> None:
    """Nothing is undone that could not be done again."""
    config = run.config
    if any(spec.source.startswith(PYTHON) for spec in (config.train_data, config.val_data)):
        return
    changed = difference(run, *open_data(config))
    if changed:
        raise SaltflatError(f"{changed} Put it back to repair the run, or start a new run.")


def _reopened(run: RunFolder, stages: set[str], damaged: list[str]) -> str:
    """Undo stages, with the files that they would otherwise find finished."""
    ordered = [stage for stage in STAGES if stage in stages]
    for stage in ordered:
        names = files_of(run.path, stage)
        if stage == "compare" and ordered[0] == "compare":  # the other estimators keep what they have
            stems = {Path(name).stem for name in damaged}
            names = [name for name in names if Path(name).stem in stems]
        for name in names:
            (run.path / name).unlink()
    shutil.rmtree(run.path / "work", ignore_errors=True)
    run.reopen(*ordered)
    return f"To be done again: {', '.join(ordered)}."


def redone_words(found: Sequence[Damage]) -> str:
    """Which stages a repair does again, as a sentence; empty where it does none."""
    stages = [stage for stage in STAGES if any(stage in damage.redo for damage in found)]
    return f"Repairing does again: {', '.join(stages)}." if stages else ""
