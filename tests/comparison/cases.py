"""A finished run in a folder of its own, which tests may change."""

import shutil

from fvm_core.runs.run_folder import RunFolder


def copied(run, folder):
    """A copy of a run that may be changed."""
    return RunFolder(shutil.copytree(run.path, folder / "run"))
