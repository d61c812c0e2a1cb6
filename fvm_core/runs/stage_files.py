"""Which stage writes which files of a run folder."""

from __future__ import annotations

import json
from pathlib import Path

from fvm_core.estimators import registry

STAGES = (
    "prepare",
    "features",
    "select",
    "train",
    "tune",
    "curvature",
    "score",
    "relabel",
    "crossfit",
    "compare",
    "embed",
)
"""The stages in their order; each is either done or not, nothing in between is read by others."""

YOUNGER = ("features", "select", "crossfit")
"""Stages that runs of older versions do not have; those are whole without them."""

PATTERNS = {
    "prepare": ("thumbnails/*", "thumbnails_val/*", "problems.json"),
    "features": ("planted.parquet",),
    "select": (),
    "train": (
        "checkpoints/theta_star.safetensors",
        "checkpoints/epoch_*.safetensors",
        "training.parquet",
        "dynamics/*",
    ),
    "tune": ("checkpoints/step_*.safetensors", "tuning.parquet"),
    "curvature": ("curvature/*.safetensors",),
    "score": (),
    "relabel": (
        "scores.parquet",
        "unscored.parquet",
        "trajectory.parquet",
        "planted_trajectory.parquet",
        "planted_suggestions.parquet",
        "metrics.json",
    ),
    "crossfit": ("crossfit/*",),
    "compare": ("estimators/*", "figures/*"),
    "embed": ("embedding.parquet",),
}
"""What `score` writes is taken over by `relabel` and gone at the end of the run; features are kept in the
workspace, and made again where they are gone."""

ALONE = ("thumbnails/*", "thumbnails_val/*", "problems.json", "training.parquet", "tuning.parquet")
"""Files that no later stage reads: to have them again, their stage is enough."""

OWN_SCORES = ("fvm", "influence_trained", "tuned_loss", "loss")
"""Estimators that come from the stage `score`."""


def done_stages(stages: dict) -> list[str]:
    """The finished stages in their order; those that a run is too old to have count with what follows.

    Args:
        stages: of `run.json`, by name.
    """
    done = [stage for stage in STAGES if stages.get(stage, {}).get("state") in ("done", "skipped")]
    last = max((STAGES.index(stage) for stage in done), default=-1)
    return [
        stage for stage in STAGES[: last + 1] if stage in done or (stage in YOUNGER and stage not in stages)
    ]


def stage_of(file: str) -> str | None:
    """The stage that writes a file, by its path in the run folder; None for files of no stage."""
    for stage, patterns in PATTERNS.items():
        if any(Path(file).match(pattern) for pattern in patterns):
            return stage
    return None


def files_of(run: Path, stage: str) -> list[str]:
    """What a stage has written, as paths in the run folder; scores of other tools are none of it."""
    found = []
    for pattern in PATTERNS[stage]:
        for path in sorted(run.glob(pattern)):
            hidden = path.name.startswith(".")  # temporary files
            if path.is_file() and not hidden and not (stage == "compare" and is_external(path)):
                found.append(path.relative_to(run).as_posix())
    return found


def is_external(path: Path) -> bool:
    """Whether a file in `estimators/` belongs to scores of another tool, which no stage can make again."""
    if path.parent.name != "estimators" or path.stem in OWN_SCORES:
        return False
    try:
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        return about["external"] is True
    except (OSError, ValueError, KeyError, TypeError):  # damaged: then its name has to tell
        return path.stem not in registry.names()


def stages_to_redo(file: str) -> tuple[str, ...]:
    """All stages to do again when a file of a stage is damaged, in their order."""
    stage = stage_of(file)
    if any(Path(file).match(pattern) for pattern in ALONE):
        return (stage,)
    if stage == "compare":
        # The run's own scores come from arrays that are gone at the end of a run.
        return ("score", "relabel", "compare") if Path(file).stem in OWN_SCORES else ("compare",)
    if stage == "relabel":
        return ("score", "relabel", "compare")
    if stage == "crossfit":
        return ("crossfit", "compare")
    return STAGES[STAGES.index(stage) :]
