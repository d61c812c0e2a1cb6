"""Parameters that no layer kernel can serve: tied, used twice, raw, or of unknown layers."""

from __future__ import annotations

import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from fvm_core.layers.registry import Gradients, Kernel

_FLOATS = 2**25
"""Most per-sample gradient values held at once (128 MiB)."""


class FallbackKernel(Kernel):
    """`∂ℓ/∂θ` by `vmap(grad)` of `⟨δ, f_θ(x)⟩` over one sample at a time, f a part of the model.

    Args:
        names: the parameters, as the part names them.
    """

    def __init__(self, names: list[str]):
        self.names = names

    def gradients(self, module: nn.Module, inputs: torch.Tensor, delta: torch.Tensor) -> Gradients:
        """Per-sample gradients (B, *parameter.shape)."""
        values = {name: module.get_parameter(name).detach() for name in self.names}

        def weighted(own: Gradients, sample: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
            return (functional_call(module, own, (sample[None],))[0] * direction).sum()

        kind = next(iter(values.values())).dtype
        inputs = inputs.to(kind) if inputs.is_floating_point() else inputs
        return vmap(grad(weighted), in_dims=(None, 0, 0))(values, inputs, delta.to(kind))

    def quadratic(
        self, module: nn.Module, inputs: torch.Tensor, delta: torch.Tensor, weights: Gradients
    ) -> torch.Tensor:
        """As for any kernel, in slices of the batch."""
        parts = [
            super(FallbackKernel, self).quadratic(module, inputs[part], delta[part], weights)
            for part in self._slices(module, len(inputs))
        ]
        return torch.cat(parts)

    def square_sum(self, module: nn.Module, inputs: torch.Tensor, delta: torch.Tensor) -> Gradients:
        """As for any kernel, in slices of the batch."""
        total: Gradients = {}
        for part in self._slices(module, len(inputs)):
            for name, value in super().square_sum(module, inputs[part], delta[part]).items():
                total[name] = total[name] + value if name in total else value
        return total

    def _slices(self, module: nn.Module, count: int) -> list[slice]:
        floats = sum(module.get_parameter(name).numel() for name in self.names)
        size = max(1, _FLOATS // max(1, floats))
        return [slice(start, start + size) for start in range(0, count, size)]
