"""The tensors with which a model is called: its own, or those of a checkpoint."""

from __future__ import annotations

import torch
from torch import nn

from fvm_core.errors import SaltflatError
from fvm_core.layers.conditions import refuse_training_mode


def values_of(model: nn.Module, state: dict[str, torch.Tensor] | None = None) -> dict[str, torch.Tensor]:
    """Parameters and buffers by name for `stateless.call`, detached, on the model's device.

    Args:
        model: gives names and device; of tied parameters only the first name counts.
        state: a state dict of the same model; None for its own tensors.

    Raises:
        SaltflatError: the model is in training mode or compiled by `torch.jit`, or the state lacks a
            parameter or has another shape.
    """
    refuse_training_mode(model)
    if any(isinstance(part, torch.jit.ScriptModule) for part in model.modules()):
        raise SaltflatError(
            "A part of the model is compiled by torch.jit, so that its weights can't be exchanged, which "
            "this score needs. Give the module itself, before torch.jit.trace or torch.jit.script."
        )
    own = {name: p.detach() for name, p in model.named_parameters()} | dict(model.named_buffers())
    if state is None:
        return own
    for name, parameter in model.named_parameters():
        if name not in state or state[name].shape != parameter.shape:
            raise SaltflatError(
                f"The checkpoint has no `{name}` of shape {tuple(parameter.shape)}: it belongs to another "
                f"model."
            )
    # Buffers that a state dict leaves out are constants of the model.
    return {name: state.get(name, value).detach().to(value.device) for name, value in own.items()}
