"""Adaptive SAM (Kwon et al. 2021): the radius scales with the weights."""

from __future__ import annotations

from collections.abc import Callable

import torch

from fvm_core.solvers.base import Step, norm
from fvm_core.solvers.sam import SAM


class ASAM(SAM):
    """Perturbation `γ T² g / ‖T g‖` with `T = |w| + η` for weights and 1 for all other parameters.

    The paper keeps biases at 1 (section 4); which parameters are weights follows its authors' code: those
    whose name holds `weight`, so that the scales of normalisation layers are among them, and class tokens
    and the like are not.
    """

    default_gamma = 0.5
    eta = 0.01

    def step(self, loss: Callable[[], torch.Tensor]) -> Step:
        """Two forward and backward passes."""
        first = self.gradient(loss)
        gradients = self.gradients()
        with torch.no_grad():
            scale = {
                name: self.parameters[name].abs() + self.eta
                if "weight" in name
                else torch.ones_like(self.parameters[name])
                for name in gradients
            }
            length = norm({name: scale[name] * g for name, g in gradients.items()}) + 1e-12
            move = {name: self.gamma * scale[name].square() * g / length for name, g in gradients.items()}
        return self.two_pass_step(loss, first, move)
