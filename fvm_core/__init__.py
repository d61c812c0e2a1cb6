"""Influence functions at flat validation minima: find and fix wrong labels in image datasets."""

from importlib import import_module

from fvm_core import openmp  # noqa: F401 (before anything loads torch)

_HOMES = {
    "DiagonalInfluence": ("fvm_core.diagonal.influence", "DiagonalInfluence"),
    "LabelInfluence": ("fvm_core.diagonal.label_search", "LabelInfluence"),
    "RunFolder": ("fvm_core.runs.run_folder", "RunFolder"),
    "SaltflatError": ("fvm_core.errors", "SaltflatError"),
    "damping_sensitivity": ("fvm_core.diagonal.sensitivity", "damping_sensitivity"),
    "influence": ("fvm_core.diagonal.direct", "influence"),
    "load_dataset": ("fvm_core.data", "load_dataset"),
    "run": ("fvm_core.pipeline.runner", "start"),
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: torch alone takes seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module 'fvm_core' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)
