"""What every estimator costs, in forward passes of one sample: for the estimate and for the progress bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fvm_core.config import RunConfig
from fvm_core.pipeline.run_folder import RunFolder

BATCH = 128
"""Samples in a batch that estimators are fitted with."""

_TRAINING = 3.0
"""Forward and backward pass of a sample."""
_GRADIENTS = 4.0
"""The same with per-sample gradients."""
_CURVED = 6.0
"""A product with the curvature: a backward pass through the backward pass, and the gradient before it."""
_PROBES = 5
_POWER_STEPS = 4 * 15


@dataclass(frozen=True)
class Sizes:
    """What the costs depend on.

    Attributes:
        rated: training and planted samples; trusted: validation samples that are tuned on.
        config: complete settings.
    """

    rated: int
    trusted: int
    config: RunConfig


def phases(name: str, sizes: Sizes) -> dict[str, float]:
    """Forward passes by phase; the names are those that `Estimator.fit` and the stage tell."""
    return {phase: cost for phase, cost in _phases(name, sizes).items() if cost > 0}


def figure_phases(sizes: Sizes) -> dict[str, float]:
    """The same for the scores over checkpoints and saved steps."""
    compare, tune = sizes.config.compare, sizes.config.tune
    kept, steps = compare.checkpoints or 0, min(tune.saved_steps, tune.steps + 1)
    each = sum(phases("lissa", sizes).values()) + sum(_tracin(sizes, 1).values())
    return {"epochs": kept * each, "steps": steps * sum(phases("ablation_ss", sizes).values())}


def added_seconds(run: RunFolder, names: Sequence[str], figures: bool = False) -> float | None:
    """Seconds that estimators and figures would take beside a run, by the pace of its score stage.

    None where it has none.
    """
    info, config = run.info, run.config
    spent = info["stages"].get("score", {}).get("seconds")
    if not spent:
        return None
    planted = info.get("planted", {}).get("samples", 0)
    sizes = Sizes(info["samples"] + planted, info["validation_samples"] - planted, config)
    steps = min(config.tune.saved_steps, config.tune.steps + 1)
    pace = spent / (steps * sizes.rated * _GRADIENTS)
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
    probed = 2 + 3 * _PROBES
    vectors = {
        **dict.fromkeys(("lissa", "lissa_best", "datainf", "datainf_best"), 6),
        **dict.fromkeys(("ekfac", "ekfac_best"), 8),
        **dict.fromkeys(("probed_lissa", "probed_datainf"), probed),
        "tracin": 2 * (config.compare.checkpoints or 1),
        "gex": config.compare.members,
    }
    most = max((vectors.get(name, 2) for name in config.compare.estimators), default=0)
    passes = 6 * per_image * min(BATCH, samples) if config.compare.estimators else 0
    return most * model + passes


def _phases(name: str, sizes: Sizes) -> dict[str, float]:
    n, m, config = sizes.rated, sizes.trusted, sizes.config
    compare = config.compare
    batch = min(BATCH, n)
    gradient, products = {"gradient": m * _TRAINING}, {"scoring": 2.0 * n}
    recursion = compare.lissa_depth * batch * _CURVED
    quadratic = {"scoring": n * (_GRADIENTS + 2 * _TRAINING)}
    base = name.removesuffix("_best")
    if base == "lissa":
        power = _POWER_STEPS * batch * _CURVED
        return {**gradient, "scale": power, "recursion": recursion, **products}
    if base == "datainf":
        return {**gradient, "damping": n * _GRADIENTS, "inverse": n * _GRADIENTS, **products}
    if base == "ekfac":
        return {**gradient, "factors": n * _GRADIENTS, "eigenvalues": n * _GRADIENTS, **products}
    if name in ("diagonal", "ablation_ss"):
        return {**gradient, "fisher": n * _GRADIENTS, **products}
    if name == "ablation_so":
        return {**gradient, "fisher": m * _GRADIENTS, **products}
    if name == "ablation_os":
        return {"fisher, training": n * _GRADIENTS, "fisher, validation": m * _GRADIENTS, **quadratic}
    if name == "tracin":
        return _tracin(sizes, max(1, compare.checkpoints or 1))
    if name == "gex":
        return {"tuning": compare.members * tuning(sizes, "sgd"), "scoring": compare.members * 1.0 * n}
    if name == "probed_lissa":
        batch = min(BATCH, m)
        power = _POWER_STEPS * batch * _CURVED
        solved = compare.lissa_depth * batch * (_TRAINING + _PROBES * _CURVED)
        return {"scale": power, "recursion": solved, "scoring": 4.0 * _PROBES * n}
    if name == "probed_datainf":
        return {"damping": m * _GRADIENTS, "inverse": m * _GRADIENTS, "scoring": 4.0 * _PROBES * n}
    if name == "vm" or name.startswith("fvm_"):
        solver = "sgd" if name == "vm" else name.removeprefix("fvm_")
        return {"tuning": tuning(sizes, solver), "fisher": m * _GRADIENTS, **quadratic}
    if name in ("gradient_norm", "tuned_gradient_norm"):
        return quadratic
    if name == "confident":
        learnt = n * (compare.folds - 1) * config.train.epochs * _TRAINING
        return {"folds": learnt + n, "scoring": 0.01 * n}
    return {"scoring": 1.0 * n}


def tuning(sizes: Sizes, solver: str) -> float:
    """Forward passes of one tuning with a solver."""
    tune = sizes.config.tune
    passes = 1 if solver == "sgd" else 2
    return passes * tune.steps * min(tune.batch_size, sizes.trusted) * _TRAINING


def _tracin(sizes: Sizes, checkpoints: int) -> dict[str, float]:
    gradient = checkpoints * sizes.trusted * _TRAINING
    return {"gradient": gradient, "scoring": 2.0 * checkpoints * sizes.rated}
