"""Parameters that no layer kernel can serve: tied, used twice, raw, or of unknown layers."""

from __future__ import annotations

import torch
from torch import nn
from torch.func import grad, vmap

from fvm_core.layers import stateless
from fvm_core.layers.registry import Gradients, Kernel

_FLOATS = 2**25
"""Most per-sample gradient values held at once (128 MiB)."""


class FallbackKernel(Kernel[nn.Module, torch.Tensor]):
    """`∂ℓ/∂θ` by `vmap(grad)` of `⟨δ, f_θ(x)⟩` over one sample at a time, f a part of the model.

    Args:
        names: the parameters, as the part names them.
    """

    def __init__(self, names: list[str]):
        self.names = names

    def gradients(self, module: nn.Module, inputs: torch.Tensor, delta: torch.Tensor) -> Gradients:
        """Per-sample gradients (B, *parameter.shape)."""
        values = {name: p.detach() for name, p in self._parameters(module).items()}

        def weighted(own: Gradients, sample: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
            return (stateless.call(module, own, sample[None])[0] * direction).sum()

        kind = next(iter(values.values())).dtype
        inputs = inputs.to(kind) if inputs.is_floating_point() else inputs
        found: Gradients = vmap(grad(weighted), in_dims=(None, 0, 0))(values, inputs, delta.to(kind))
        return found

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
        floats = sum(p.numel() for p in self._parameters(module).values())
        size = max(1, _FLOATS // max(1, floats))
        return [slice(start, start + size) for start in range(0, count, size)]

    def _parameters(self, module: nn.Module) -> dict[str, nn.Parameter]:
        found = dict(module.named_parameters(remove_duplicate=False))
        return {name: found[name] for name in self.names}


class LoopKernel(FallbackKernel):
    """The same by plain autograd, one sample after the other: for what torch can't run under `vmap`, such as
    recurrent layers, `torch.jit` and Python code that looks at values.
    """

    def gradients(self, module: nn.Module, inputs: torch.Tensor, delta: torch.Tensor) -> Gradients:
        """Per-sample gradients (B, *parameter.shape)."""
        values = self._parameters(module)
        found = {name: delta.new_zeros(len(inputs), *p.shape, dtype=p.dtype) for name, p in values.items()}
        before = [p.requires_grad for p in values.values()]
        for parameter in values.values():
            parameter.requires_grad_(True)
        try:
            for number in range(len(inputs)):
                with torch.enable_grad():  # autograd calls this without, on its way back
                    output = module(inputs[number : number + 1])
                    weighted = (output[0] * delta[number].to(output.dtype)).sum()
                if not output.requires_grad:
                    continue
                own = torch.autograd.grad(weighted, list(values.values()), allow_unused=True)
                for name, gradient in zip(values, own, strict=True):
                    if gradient is not None:
                        found[name][number] = gradient
        finally:
            for parameter, wanted in zip(values.values(), before, strict=True):
                parameter.requires_grad_(wanted)
        return found
