"""Parameters on disk, as safetensors."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from fvm_core.atomic import replacing
from fvm_core.errors import DamagedFile


def save_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write tensors atomically; tied ones are written once for each name."""
    with replacing(path) as temporary:
        save_file(
            {name: t.detach().to("cpu", copy=True).contiguous() for name, t in tensors.items()}, temporary
        )


def load_tensors(path: Path, device: str = "cpu") -> dict[str, torch.Tensor]:
    """Read tensors to a device; raises `DamagedFile`."""
    try:
        return load_file(path, device=device)
    except (SafetensorError, OSError, ValueError) as error:
        run = path.parents[1]
        remedy = f"Run `saltflat doctor {run} --redo` to have it made again."
        if "work" in path.parts:
            remedy = f"Delete {path}; its stage begins again."
        raise DamagedFile(path, str(error).rstrip("."), remedy) from None


def save_training_state(
    path: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, extra: dict[str, torch.Tensor]
) -> None:
    """Everything that a stage needs to go on after `step` as if it had not stopped."""
    names = {id(p): name for name, p in model.named_parameters()}
    momentum = {
        names[id(p)]: state["momentum_buffer"]
        for p, state in optimizer.state.items()
        if state.get("momentum_buffer") is not None
    }
    groups = {"model": model.state_dict(), "momentum": momentum, "extra": extra}
    tensors = {f"{group}/{name}": t for group, found in groups.items() for name, t in found.items()}
    save_tensors(path, {"step": torch.tensor(step), **tensors})


def load_training_state(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[int, dict[str, torch.Tensor]]:
    """Put a saved state back; returns the step after which it was taken and the extra tensors."""
    groups: dict[str, dict[str, torch.Tensor]] = {"model": {}, "momentum": {}, "extra": {}}
    tensors = load_tensors(path)
    step = int(tensors.pop("step"))
    for name, value in tensors.items():
        group, _, rest = name.partition("/")
        groups[group][rest] = value
    model.load_state_dict(groups["model"])
    for name, parameter in model.named_parameters():
        if name in groups["momentum"]:
            optimizer.state[parameter]["momentum_buffer"] = groups["momentum"][name].to(parameter.device)
    device = next(model.parameters()).device
    return step, {name: value.to(device) for name, value in groups["extra"].items()}
