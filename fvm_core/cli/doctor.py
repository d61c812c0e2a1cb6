"""`saltflat doctor`: what is here, what is missing, in words."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import psutil
import torch

from fvm_core.device import resolve
from fvm_core.errors import SaltflatError
from fvm_core.wording import size
from fvm_core.workspace import Workspace

_NEEDED = {
    "torch": "computes everything",
    "torchvision": "brings the models",
    "streamlit": "shows the app",
    "plotly": "draws the charts",
    "umap-learn": "places samples on the map",
    "pyarrow": "reads and writes Parquet",
    "scikit-learn": "brings the digits and the metrics",
}


def findings() -> Iterator[tuple[bool, str]]:
    """Pairs of whether it is as it should be, and a sentence."""
    right = platform.python_version_tuple() >= ("3", "11")
    yield right, f"Python {platform.python_version()}" + ("" if right else "; 3.11 or newer is needed")
    for package, purpose in _NEEDED.items():
        try:
            yield True, f"{package} {version(package)}"
        except PackageNotFoundError:
            yield False, f"{package} is missing; it {purpose}. Install it: pip install {package}"
    try:
        from torchvision.ops import nms

        nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
        yield True, "torch and torchvision fit together"
    except (ImportError, RuntimeError) as error:
        yield (
            False,
            f"torchvision does not fit this torch ({error}). Install both again, without pinning torch",
        )
    yield from _devices()
    memory = psutil.virtual_memory()
    yield memory.available > 2e9, f"{size(memory.available)} of {size(memory.total)} memory free"
    yield from _workspace()


def _devices() -> Iterator[tuple[bool, str]]:
    yield True, f"{os.cpu_count()} CPU cores, torch uses {torch.get_num_threads()} threads"
    for name in ("cuda", "mps"):
        try:
            resolve(name)
        except SaltflatError:
            continue
        if name == "cuda":
            free, total = torch.cuda.mem_get_info()
            yield True, f"GPU {torch.cuda.get_device_name()}, {size(free)} of {size(total)} free"
        else:
            yield True, "Apple GPU (mps)"
    if resolve("auto") == "cpu":
        yield True, "No GPU: runs work, with a smaller model by default"


def _workspace() -> Iterator[tuple[bool, str]]:
    try:
        workspace = Workspace.default()
    except OSError as error:
        yield False, f"The workspace can't be made ({error}). Set SALTFLAT_HOME to a folder you can write to"
        return
    free = shutil.disk_usage(workspace.path).free
    yield os.access(workspace.path, os.W_OK), f"workspace {workspace.path}"
    yield free > 2e9, f"{size(free)} of disk free there"
