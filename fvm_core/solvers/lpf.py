"""Low-pass filter optimisation (Bisla et al. 2022): minimise the loss averaged over Gaussian noise."""

from __future__ import annotations

from collections.abc import Callable

import torch

from fvm_core.solvers.base import Perturbation, Solver, Step


class LPF(Solver):
    """Gradient at `θ + ε`, `ε ~ N(0, (γ ‖w_f‖)²)` per filter f (first axis), one draw a step (M = 1).

    Of vectors, such as biases, the whole one counts as a filter, as in the authors' code; the paper speaks of
    filters only (section 5).
    """

    default_gamma = 0.001

    def step(self, loss: Callable[[], torch.Tensor]) -> Step:
        """Two forward passes (one only to report the loss at θ) and one backward pass."""
        with torch.no_grad():
            first = loss().detach()
        return self.two_pass_step(loss, first, self.noise())

    def noise(self) -> Perturbation:
        """One draw from torch's default generator, which the pipeline seeds at every step."""
        found = {}
        for name, parameter in self.parameters.items():
            value = parameter.detach()
            length = value.norm()
            if value.dim() > 1:
                length = value.flatten(1).norm(dim=1).reshape(-1, *[1] * (value.dim() - 1))
            found[name] = torch.randn_like(value) * self.gamma * length
        return found
