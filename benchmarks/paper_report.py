"""How one of the paper's tables is shown and written, with what is needed to make it again."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from paper_runs import CHOSEN, LABELS, Runs
from rich.console import Console
from rich.table import Table

from fvm_core.atomic import write_json, write_text
from fvm_core.comparison.results import descriptions
from fvm_core.estimators.gex import GEX
from fvm_core.estimators.lissa import LiSSAInfluence
from fvm_core.runs.run_folder import RunFolder

FINAL = ("lissa", "datainf", "ekfac", "tracin")
"""The standard estimators at the end of training."""


@dataclass
class Row:
    """One line of a table.

    Attributes:
        method: as people read it; key: as settings call it.
        found: column to the figures (percent), one a seed; reference: column to the paper's figure.
        added: not in the paper's table.
    """

    method: str
    key: str
    found: dict[str, list[float]] = field(default_factory=dict)
    reference: dict[str, float] = field(default_factory=dict)
    added: bool = False

    def take(self, columns: dict[str, float]) -> None:
        """Add one seed's figures."""
        for name, value in columns.items():
            self.found.setdefault(name, []).append(value)

    def mean(self, column: str) -> float:
        """Of all seeds."""
        return float(np.mean(self.found[column]))


def findings(rows: list[Row]) -> list[str]:
    """In words: whether FVM is above VM and VM above the standard estimators, and what is above FVM."""
    by_key = {row.key: row for row in rows}
    lines = []
    for column in _columns(rows):
        fvm, vm = (by_key[key].mean(column) for key in ("fvm", "vm"))
        standard = [by_key[key] for key in FINAL if key in by_key]
        below = [row.method for row in standard if row.mean(column) < vm]
        others = [row.method for row in standard if row.method not in below]
        order = f"FVM is {'above' if fvm > vm else 'not above'} VM ({fvm:.2f} and {vm:.2f})"
        order += f"; VM is above {', '.join(below) or 'none of the standard estimators'}"
        if others:
            order += f", not above {', '.join(others)}"
        higher = [f"{row.method} ({row.mean(column):.2f})" for row in rows if row.mean(column) > fvm]
        lines.append(f"{column}: {order}. Above FVM: {', '.join(higher) or 'none'}.")
    return lines


def show(console: Console, title: str, rows: list[Row]) -> None:
    """Print the table."""
    shown, columns = Table(title=title, title_justify="left"), _columns(rows)
    shown.add_column("method")
    for column in columns:
        shown.add_column(column, justify="right")
        shown.add_column("paper", justify="right", style="dim")
    for row in rows:
        shown.add_row(row.method, *_cells(row, columns))
    console.print(shown)


def write(path: Path, title: str, rows: list[Row], notes: Sequence[str], facts: dict[str, str]) -> None:
    """Write `path`.md and `path`.json."""
    path.parent.mkdir(parents=True, exist_ok=True)
    notes = [note for note in notes if note]
    write_text(path.with_suffix(".md"), "\n".join(_markdown(title, rows, notes, facts)) + "\n")
    record = {"title": title, "notes": notes, "facts": facts, "rows": [asdict(row) for row in rows]}
    write_json(path.with_suffix(".json"), record)


def facts(runs: Runs, datasets: Sequence[str], seeds: range, table: int) -> dict[str, str]:
    """Data, settings, times and machine of a table, in words."""
    place, used = runs.place, runs.used
    bases = {name: run for name, (run, _) in used.items() if run.config.train.epochs}
    first = next(iter(bases.values()))
    config = first.config
    options = f"--datasets {','.join(datasets)} --seeds {len(seeds)}"
    if place.cifar is not None:
        options += " --cifar ROOT"
    machine = (
        torch.cuda.get_device_name() if first.info["device"] == "cuda" else f"{os.cpu_count()} CPU cores"
    )
    starred = _settings(used, "epoch")
    gammas = _settings(used, "gamma")
    found = {
        "command": f"python benchmarks/paper_tables.py --table {table} --scale {place.scale} {options}",
        "seeds": ", ".join(map(str, seeds)),
        "data": f"{first.info['samples']:,} training samples with `{LABELS[datasets[0]]}`"
        if len(datasets) == 1
        else f"{first.info['samples']:,} training samples",
        "wrong labels": _each(bases, _wrong),
        "validation set": f"{first.info['validation_samples']:,} samples of the test set",
        "model": f"{config.model.name} at {config.model.size} px, {config.train.epochs} epochs, lr "
        f"{config.train.lr:g}, × 0.1 after half of them, batch {config.train.batch_size}, "
        f"{'with' if config.train.augment else 'without'} augmentation",
        "after training": _each(bases, _trained),
        "tuning": f"{config.tune.steps} steps, lr {config.tune.lr:g}, batch {config.tune.batch_size}, SAM "
        f"γ = {config.tune.gamma:g}",
        "influence": f"damping {config.score.damping:g}, {config.score.damping_kind.replace('_', ' ')}",
        "comparison": f"GEX with {GEX.value(config, 'members')} members, LiSSA with "
        f"{LiSSAInfluence.value(config, 'lissa_depth')} steps (damping "
        f"{LiSSAInfluence.value(config, 'lissa_damping'):g}, Gauss-Newton matrix), "
        f"{config.compare.checkpoints} checkpoints",
        "epochs of *": starred,
        "γ of other solvers": gammas,
        "settings": CHOSEN,
        "seconds": "; ".join(f"{name}: {_seconds(run, names)}" for name, (run, names) in used.items()),
        "machine": f"{machine}, {platform.machine()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}",
    }
    return {name: text for name, text in found.items() if text}


def _each(bases: dict[str, RunFolder], words) -> str:
    return "; ".join(f"{name}: {words(run)}" for name, run in bases.items())


def _wrong(run: RunFolder) -> str:
    return f"{100 * run.metrics['wrong_labels'] / run.metrics['samples']:.1f} %"


def _trained(run: RunFolder) -> str:
    last = run.training().iloc[-1]
    return (
        f"accuracy on the noisy labels {100 * last['accuracy']:.1f} %, on the validation set "
        f"{100 * last['val_accuracy']:.1f} %"
    )


def _settings(used: dict[str, tuple[RunFolder, set[str]]], key: str) -> str:
    """What the estimators that were asked for had as `key`, where it is above 0."""
    parts = []
    for name, (run, names) in used.items():
        known = [one for one in descriptions(run.path) if one.name in names and one.settings.get(key)]
        if known:
            parts.append(f"{name}: " + ", ".join(f"{one.title} {one.settings[key]:g}" for one in known))
    return "; ".join(parts)


def _seconds(run: RunFolder, names: set[str]) -> str:
    """What the shared stages and the estimators of this table took, each counted once."""
    stages = run.info["stages"]
    shared = sum(stage["seconds"] for name, stage in stages.items() if name != "compare")
    own = sum(one.seconds or 0 for one in descriptions(run.path) if one.name in names)
    text = f"{shared:.0f} to train, tune and score" + (f" and {own:.0f} for the others" if names else "")
    log = (run.path / "log.txt").read_text(encoding="utf-8")
    if any(log.count(f"Stage {name} starts.") > 1 for name in stages if name != "compare"):
        text += " (stopped in between: of the stage that was stopped only the last part is counted)"
    return text


def _cells(row: Row, columns: list[str]) -> Iterator[str]:
    for column in columns:
        values = row.found.get(column)
        text = "–" if not values else f"{np.mean(values):.2f}"
        if values and len(values) > 1:
            text += f" ± {np.std(values):.2f}"
        yield text
        yield f"{row.reference[column]:.2f}" if column in row.reference else "–"


def _columns(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(column for row in rows for column in row.found))


def _markdown(title: str, rows: list[Row], notes: Sequence[str], facts: dict[str, str]) -> Iterator[str]:
    columns = _columns(rows)
    yield f"# {title}"
    yield ""
    several = any(len(values) > 1 for row in rows for values in row.found.values())
    spread = "Mean ± standard deviation over the seeds, in percent." if several else "In percent, one seed."
    yield f"{spread} Beside each figure the paper's (ResNet-34, 50,000 training images, three seeds)."
    yield ""
    yield "| method | " + " | ".join(f"{column} | paper" for column in columns) + " |"
    yield "|---" * (1 + 2 * len(columns)) + "|"
    for row in rows:
        mark = " (not in the paper)" if row.added else ""
        yield f"| {row.method}{mark} | " + " | ".join(_cells(row, columns)) + " |"
    for note in notes:
        yield ""
        yield note
    yield ""
    for name, value in facts.items():
        yield f"- {name}: {value}"
