"""A model called with other tensors in the place of its own, all of which are back afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.func import functional_call

from fvm_core.layers.eager import eager

Values = dict[str, torch.Tensor]
"""Name of a parameter or buffer to the tensor that takes its place."""


def call(model: nn.Module, values: Values, images: torch.Tensor) -> torch.Tensor:
    """`model(images)` with other parameters and buffers; differentiable in `values`.

    As `torch.func.functional_call`, except for three kinds of model that it changes for good: modules that
    stand in two places, whose tensors it would take away twice and put back in the wrong order; and weights
    that a hook computes before every pass (`torch.nn.utils.weight_norm`, `spectral_norm`, pruning), of which
    those of this call would stay behind.

    Args:
        model: any module.
        values: by any of a tensor's names; of tied ones each name stands for all.
        images: (B, …).

    Raises:
        RuntimeError: the model is compiled by `torch.jit`, whose tensors can't be exchanged.
    """
    places = _places(model)
    given = {place: value for name, value in values.items() for place in places.get(name, (name,))}
    with _hooked(model), eager(model):
        found: torch.Tensor = functional_call(model, given, (images,), tie_weights=False)
        return found


def _places(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """Every name of a tensor to one name for each of the module attributes that hold it."""
    holders: dict[int, dict[tuple[int, str], str]] = {}
    names: dict[str, int] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        for local, value in (*module._parameters.items(), *module._buffers.items()):
            if value is not None:
                name = f"{path}.{local}" if path else local
                holders.setdefault(id(value), {}).setdefault((id(module), local), name)
                names[name] = id(value)
    return {name: tuple(holders[identity].values()) for name, identity in names.items()}


@contextmanager
def _hooked(model: nn.Module) -> Iterator[None]:
    """What hooks write into their modules inside is undone."""
    before = [
        (module, {key: value for key, value in vars(module).items() if isinstance(value, torch.Tensor)})
        for module in model.modules()
        if module._forward_pre_hooks
    ]
    try:
        yield
    finally:
        for module, tensors in before:
            vars(module).update(tensors)
