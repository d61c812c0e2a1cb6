"""What a run's estimators take together: for the estimate, and for what is added to a finished run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fvm_core.config import RunConfig
from fvm_core.estimators import Estimator, registry
from fvm_core.estimators.costs import BATCH, GRADIENTS, Phases, Sizes
from fvm_core.estimators.setting import Value
from fvm_core.runs.run_folder import RunFolder


def phases(name: str, sizes: Sizes) -> Phases:
    """The same as `phases_of`, by name."""
    return phases_of(registry.find(name), sizes)


def phases_of(kind: type[Estimator], sizes: Sizes) -> Phases:
    """Forward passes of an estimator by phase, without those that take none."""
    return {phase: cost for phase, cost in kind.phases(sizes).items() if cost > 0}


def figure_phases(sizes: Sizes) -> Phases:
    """The same for the scores over checkpoints and saved steps."""
    from fvm_core.estimators.tracin import TracIn

    compare, tune = sizes.config.compare, sizes.config.tune
    kept, steps = compare.checkpoints or 0, min(tune.saved_steps, tune.steps + 1)
    each = sum(phases("lissa", sizes).values()) + sum(TracIn.phases_at(sizes, 1).values())
    return {"epochs": kept * each, "steps": steps * sum(phases("ablation_ss", sizes).values())}


def added_seconds(
    run: RunFolder,
    names: Sequence[str],
    figures: bool = False,
    settings: Mapping[str, Value] | None = None,
) -> float | None:
    """Seconds that estimators and figures would take beside a run, by the pace of its score stage.

    None where it has none. `settings` are those of the estimators where they are not the run's.
    """
    info, config = run.info, run.config
    compare = replace(config.compare, settings={**config.compare.settings, **(settings or {})})
    config = replace(config, compare=compare)
    spent = info["stages"].get("score", {}).get("seconds")
    if not spent:
        return None
    planted = info.get("planted", {}).get("samples", 0)
    sizes = Sizes(info["samples"] + planted, info["validation_samples"] - planted, config)
    steps = min(config.tune.saved_steps, config.tune.steps + 1)
    pace = spent / (steps * sizes.rated * GRADIENTS)
    passes = sum(sum(phases(name, sizes).values()) for name in names)
    return pace * (passes + (sum(figure_phases(sizes).values()) if figures else 0.0))


def comparison_bytes(config: RunConfig, model: int, per_image: int, samples: int) -> int:
    """Most memory that an estimator takes above what training and scoring take.

    Args:
        config: complete settings.
        model: bytes of the parameters.
        per_image: bytes of one image's activations.
        samples: of the training set.
    """
    kinds = [registry.find(name) for name in config.compare.estimators]
    most = max((kind.vectors(config) for kind in kinds), default=0)
    passes = 6 * per_image * min(BATCH, samples) if kinds else 0
    return most * model + passes


def kept_models(config: RunConfig) -> int:
    """Models that estimators keep on disk while they work."""
    return sum(registry.find(name).models(config) for name in config.compare.estimators)
