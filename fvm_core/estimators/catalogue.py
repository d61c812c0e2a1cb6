"""All estimators in a table for people: the command line, the README."""

from __future__ import annotations

from fvm_core.estimators import registry

COLUMNS = ("name", "score", "suspicious", "looks at", "cost", "settings")
_WORDS = {
    "theta_star": "θ*",
    "tuned": "θ̃",
    "best_checkpoint": "the best checkpoint",
    "checkpoints": "checkpoints",
    "training_set": "training set",
    "validation_set": "validation set",
    "own_tuning": "a tuning of its own",
    "ensemble": "an ensemble",
    "out_of_fold": "models of folds",
    "cross_fitted": "the stage crossfit",
    "epochs": "all epochs of training",
}


def rows() -> list[tuple[str, ...]]:
    """One for every estimator beside the run's own, in the columns of `COLUMNS`."""
    found: list[tuple[str, ...]] = []
    for name, kind in registry.loadable()[0].items():
        needs = ", ".join(word for need, word in _WORDS.items() if need in kind.needs)
        settings = ", ".join(one.name for one in kind.settings)
        found.append((name, kind.title, kind.suspicious, needs, kind.cost, settings))
    return found


def lines() -> list[str]:
    """The same for a terminal, and what can't be loaded."""
    found = []
    for name, title, suspicious, needs, cost, settings in rows():
        found += [
            f"{name:<20} {title}; {suspicious} = suspicious",
            f"{'':<20} looks at {needs}",
            f"{'':<20} takes {cost}",
        ]
        if settings:
            found.append(f"{'':<20} settings: {settings}")
    return [*found, *registry.loadable()[1].values()]


def markdown() -> str:
    """The built-in ones as a Markdown table."""
    table = [" | ".join(COLUMNS), " | ".join("---" for _ in COLUMNS)]
    built_in = registry.built_in()
    for name, *others in rows():
        if name in built_in:
            table.append(" | ".join([f"`{name}`", *(text or "–" for text in others)]))
    return "\n".join(f"| {line} |" for line in table)
