"""`y = x Wᵀ + b` at one or many positions per sample."""

from __future__ import annotations

import torch
from torch import nn

from fvm_core.layers.registry import Gradients, Kernel, register


@register(nn.Linear)
class LinearKernel(Kernel):
    """`∂ℓ/∂W = Σ_t δ_t a_tᵀ`, `∂ℓ/∂b = Σ_t δ_t` over positions t."""

    def gradients(self, module: nn.Module, inputs: torch.Tensor, delta: torch.Tensor) -> Gradients:
        """Per-sample gradients of `weight` (B, out, in) and `bias` (B, out)."""
        a, d = _positions(inputs), _positions(delta)
        found = {"weight": d.transpose(1, 2) @ a}
        if module.bias is not None:
            found["bias"] = d.sum(1)
        return found

    def quadratic(
        self, module: nn.Module, inputs: torch.Tensor, delta: torch.Tensor, weights: Gradients
    ) -> torch.Tensor:
        """With one position `Σ_ij D_ij δ_i² a_j² = δ²·(D a²)`: no per-sample gradient is formed."""
        if inputs.dim() > 2:
            return super().quadratic(module, inputs, delta, weights)
        squared = delta.square()
        total = delta.new_zeros(len(delta))
        if "weight" in weights:
            total += (squared * (inputs.square() @ weights["weight"].T)).sum(1)
        if "bias" in weights:
            total += squared @ weights["bias"]
        return total

    def square_sum(self, module: nn.Module, inputs: torch.Tensor, delta: torch.Tensor) -> Gradients:
        """With one position `Σ_n δ_n² (a_n²)ᵀ`, one matrix product."""
        if inputs.dim() > 2:
            return super().square_sum(module, inputs, delta)
        squared = delta.square()
        found = {"weight": squared.T @ inputs.square()}
        if module.bias is not None:
            found["bias"] = squared.sum(0)
        return found


def _positions(values: torch.Tensor) -> torch.Tensor:
    return values.reshape(len(values), -1, values.shape[-1])
