"""The features that the last layer sees."""

from __future__ import annotations

import torch
from torch import nn


def last_linear(model: nn.Module) -> tuple[str, nn.Linear] | None:
    """Name and module of the last Linear layer, None if the model has none."""
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    return found[-1] if found else None


def penultimate(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Input of the last Linear layer (B, d) for images (B, C, H, W); the logits if there is none."""
    head = last_linear(model)
    caught: list[torch.Tensor] = []
    handle = None
    if head is not None:
        handle = head[1].register_forward_pre_hook(lambda _module, args: caught.append(args[0].detach()))
    try:
        with torch.no_grad():
            logits = model(images)
    finally:
        if handle is not None:
            handle.remove()
    return (caught[-1] if caught else logits).flatten(1)
