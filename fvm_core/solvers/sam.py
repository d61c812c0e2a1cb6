"""Sharpness-aware minimisation (Foret et al. 2021), the paper's default flat solver."""

from __future__ import annotations

from collections.abc import Callable

import torch

from fvm_core.solvers.base import Perturbation, Solver, Step, norm


class SAM(Solver):
    """Gradient at `θ + γ g/‖g‖` with `g = ∇L(θ)`: minimises `max_{‖Δ‖ ≤ γ} L(θ + Δ)` to first order."""

    default_gamma = 0.05

    def step(self, loss: Callable[[], torch.Tensor]) -> Step:
        """Two forward and backward passes."""
        first = self.gradient(loss)
        return self.two_pass_step(loss, first, ascent(self.gradients(), self.gamma))

    def gradients(self) -> Perturbation:
        """Copies of the gradients that the last pass left."""
        return {n: p.grad.detach().clone() for n, p in self.parameters.items() if p.grad is not None}


def ascent(direction: Perturbation, gamma: float) -> Perturbation:
    """`γ d/‖d‖`; zeros where the direction vanishes."""
    scale = gamma / (norm(direction) + 1e-12)
    return {name: scale * value for name, value in direction.items()}
