"""Friendly SAM (Li et al. 2024): perturb along the minibatch's noise, not along the full gradient."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from fvm_core.solvers.base import Perturbation, Step
from fvm_core.solvers.sam import SAM, ascent


class FSAM(SAM):
    """Perturbation `γ d/‖d‖` with `d = g − σ m`, m an exponential moving average of g (rate λ).

    m is updated after it was subtracted; the first step subtracts nothing.
    """

    default_gamma = 0.05
    sigma = 1.0
    decay = 0.9

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, gamma: float | None = None):
        super().__init__(model, optimizer, gamma)
        self._average: Perturbation = {}

    def step(self, loss: Callable[[], torch.Tensor]) -> Step:
        """Two forward and backward passes."""
        first = self.gradient(loss)
        gradients = self.gradients()
        if self._average:
            direction = {name: g - self.sigma * self._average[name] for name, g in gradients.items()}
            self._average = {
                name: self.decay * self._average[name] + (1 - self.decay) * g for name, g in gradients.items()
            }
        else:
            direction, self._average = gradients, gradients
        return self.two_pass_step(loss, first, ascent(direction, self.gamma))

    def state(self) -> dict[str, torch.Tensor]:
        """The moving average."""
        return dict(self._average)

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Set the moving average."""
        self._average = dict(state)
