"""`y = x Wᵀ + b` at one or many positions per sample."""

from __future__ import annotations

import operator
from functools import reduce

import torch
from torch import nn

from fvm_core.layers.fused import weighted_square
from fvm_core.layers.products import square_sum
from fvm_core.layers.registry import Gradients, Kernel, register, squared, summed


@register(nn.Linear)
class LinearKernel(Kernel[nn.Linear, torch.Tensor]):
    """`∂ℓ/∂W = Σ_t δ_t a_tᵀ`, `∂ℓ/∂b = Σ_t δ_t` over positions t."""

    channel_axis = -1

    def gradients(self, module: nn.Linear, inputs: torch.Tensor, delta: torch.Tensor) -> Gradients:
        """Per-sample gradients of `weight` (B, out, in) and `bias` (B, out)."""
        a, d = _positions(inputs), _positions(delta)
        found = {"weight": d.transpose(1, 2) @ a}
        if module.bias is not None:
            found["bias"] = summed(d, 1)
        return found

    def quadratic(
        self, module: nn.Linear, inputs: torch.Tensor, delta: torch.Tensor, weights: Gradients
    ) -> torch.Tensor:
        """With one position `Σ_ij D_ij δ_i² a_j² = δ²·(D a²)`: no per-sample gradient is formed."""
        a, d = _positions(inputs), _positions(delta)
        terms = []
        if "weight" in weights and inputs.dim() == 2:
            terms.append((squared(delta) * (squared(inputs) @ weights["weight"].T)).sum(1))
        elif "weight" in weights:
            terms.append(weighted_square(d.transpose(1, 2), a.transpose(1, 2), weights["weight"]))
        if "bias" in weights:
            terms.append(summed(d, 1).square() @ weights["bias"])
        return reduce(operator.add, terms)

    def shares(self, module: nn.Linear, inputs: torch.Tensor, delta: torch.Tensor) -> bool:
        """With one position."""
        return inputs.dim() == 2

    def quadratic_many(
        self, module: nn.Linear, inputs: torch.Tensor, deltas: torch.Tensor, weights: Gradients
    ) -> torch.Tensor:
        """With one position the product with D serves every label."""
        if inputs.dim() > 2:
            return super().quadratic_many(module, inputs, deltas, weights)
        terms = (
            squared(inputs) @ weight.T if name == "weight" else weight for name, weight in weights.items()
        )
        rows = reduce(operator.add, terms)
        return (squared(deltas) @ rows.expand(len(deltas), -1)[:, :, None])[..., 0]

    def square_sum(self, module: nn.Linear, inputs: torch.Tensor, delta: torch.Tensor) -> Gradients:
        """With one position `Σ_n δ_n² (a_n²)ᵀ`, one matrix product."""
        a, d = _positions(inputs), _positions(delta)
        if inputs.dim() == 2:
            found = {"weight": squared(delta).T @ squared(inputs)}
        else:
            found = {"weight": square_sum(d.transpose(1, 2), a.transpose(1, 2))}
        if module.bias is not None:
            found["bias"] = summed(d, 1).square().sum(0)
        return found


def _positions(values: torch.Tensor) -> torch.Tensor:
    return values.reshape(len(values), -1, values.shape[-1])
