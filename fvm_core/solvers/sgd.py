"""Plain SGD: a validation minimum (VM), not asked to be flat."""

from __future__ import annotations

from collections.abc import Callable

import torch

from fvm_core.solvers.base import Solver, Step


class SGD(Solver):
    """`θ ← θ − lr · ∇L(θ)` (with the optimizer's momentum and weight decay)."""

    def step(self, loss: Callable[[], torch.Tensor]) -> Step:
        """One forward and backward pass."""
        value = self.gradient(loss)
        self.optimizer.step()
        return Step(float(value), None)
