"""Influence functions at flat validation minima: find and fix wrong labels in image datasets."""

from fvm_core.data import load_dataset
from fvm_core.errors import SaltflatError
from fvm_core.pipeline.run_folder import RunFolder
from fvm_core.pipeline.runner import start as run

__all__ = ["RunFolder", "SaltflatError", "load_dataset", "run"]
