"""The blocks of which a network consists: residual blocks, inverted residuals, transformer blocks."""

from __future__ import annotations

from torch import nn

_CHAINS = (nn.Sequential, nn.ModuleList)
_INSIDE = ("blocks", "layers")
"""What stages call the chain of their blocks."""


def block_names(model: nn.Module) -> list[str]:
    """Names of the model's blocks, from image to logits.

    A block is what stands in a chain of the model (Sequential or ModuleList), has two layers with weights or
    more, and is neither a chain nor a stage that has a chain of blocks itself.
    """
    return _found(model, "")


def _found(module: nn.Module, prefix: str) -> list[str]:
    names = []
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        if isinstance(module, _CHAINS) and _is_block(child):
            names.append(path)
        else:
            names += _found(child, f"{path}.")
    return names


def _is_block(module: nn.Module) -> bool:
    if isinstance(module, _CHAINS) or sum(p.dim() > 1 for p in module.parameters()) < 2:
        return False
    if any(isinstance(getattr(module, name, None), _CHAINS) for name in _INSIDE):
        # torchvision calls the layers of an inverted residual `layers`, which has no blocks in it.
        return not _found(module, "")
    return True
