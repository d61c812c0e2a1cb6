"""Read weights without running any code that a file may bring along."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from fvm_core.errors import SaltflatError

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "module")
_PREFIXES = ("module.", "_orig_mod.")

# What the readers of torch and safetensors raise for damaged and foreign files, by feeding them noise.
_DAMAGED = (
    SafetensorError,
    pickle.UnpicklingError,
    struct.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


def read_state_dict(path: str | Path) -> dict[str, torch.Tensor]:
    """Tensors by parameter name from `.safetensors`, `.pt` or `.pth`.

    Wrapping dictionaries (`state_dict`, `model`, …) are opened, the prefixes that DataParallel and
    torch.compile add are cut off.

    Raises:
        SaltflatError: no such file, not a state dict, or a file that holds more than tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise SaltflatError(f"There is no checkpoint {path}.")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGED as error:
        first = str(error).strip().split("\n")[0].rstrip(".")
        raise SaltflatError(
            f"{path} can't be read as weights ({first}). Save it as torch.save(model.state_dict(), …) or "
            f"as .safetensors; files that hold whole model objects would have to run their code."
        ) from None
    for _ in range(3):
        inner = next(
            (state[key] for key in _WRAPPERS if isinstance(state, dict) and isinstance(state.get(key), dict)),
            None,
        )
        if inner is None:
            break
        state = inner
    if not isinstance(state, dict) or not state:
        raise SaltflatError(f"{path} holds no state dict.")
    tensors = {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        entries = ", ".join(map(str, list(state)[:8]))
        raise SaltflatError(f"{path} holds no tensors by name. Its entries: {entries}.")
    return {_without_prefix(key): value for key, value in tensors.items()}


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Load a checkpoint into a model, every tensor or none.

    Raises:
        SaltflatError: with a table of missing, unexpected and wrongly shaped tensors.
    """
    state = read_state_dict(path)
    own = model.state_dict()
    # Counters that older files lack and that evaluation does not use.
    optional = {key for key in own if key.endswith("num_batches_tracked")}
    check_fit({key: own[key] for key in own if key not in optional or key in state}, state, path)
    model.load_state_dict({**{key: own[key] for key in optional}, **state})


def check_fit(own: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor], path: str | Path) -> None:
    """Compare names and shapes of a model's tensors with those of a file.

    Raises:
        SaltflatError: with a table of missing, unexpected and wrongly shaped tensors.
    """
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    shaped = [key for key in own if key in state and own[key].shape != state[key].shape]
    if missing or unexpected or shaped:
        lines = [f"{path} does not fit the model:"]
        lines += _table("missing in the file", [(key, _shape(own[key]), "") for key in missing])
        lines += _table("not in the model", [(key, "", _shape(state[key])) for key in unexpected])
        lines += _table("other shape", [(key, _shape(own[key]), _shape(state[key])) for key in shaped])
        lines.append("Choose the architecture, stem and classes with which the file was made.")
        raise SaltflatError("\n".join(lines))


def _without_prefix(key: str) -> str:
    for prefix in _PREFIXES:
        while key.startswith(prefix):
            key = key[len(prefix) :]
    return key


def _shape(tensor: torch.Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "scalar"


def _table(title: str, rows: list[tuple[str, str, str]], most: int = 8) -> list[str]:
    if not rows:
        return []
    lines = [f"  {title} ({len(rows)}):"]
    for key, model, file in rows[:most]:
        sizes = ", ".join(f"{who} {size}" for who, size in (("model", model), ("file", file)) if size)
        lines.append(f"    {key}  {sizes}")
    if len(rows) > most:
        lines.append(f"    and {len(rows) - most} more")
    return lines
