"""DataInf (Kwon et al. 2024): the mean of inverses in the place of the inverse of the mean."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from fvm_core.curvature.batches import Batches, Progress, placed
from fvm_core.curvature.inverse import InverseCurvature
from fvm_core.curvature.per_sample import gradient_slices, visit_layers
from fvm_core.curvature.vectors import Vector
from fvm_core.diagonal.arguments import check_damping
from fvm_core.errors import one_of
from fvm_core.layers.passes import Tap
from fvm_core.layers.registry import Inputs
from fvm_core.layers.tapped import TappedModel


class DataInf(InverseCurvature):
    """`(1/n) Σ_i (g_i g_iᵀ + λ_l)⁻¹ v = 1/(n λ_l) Σ_i [v − (v·g_i)/(λ_l + ‖g_i‖²) g_i]` per tensor l.

    `λ_l = damping · mean g²` over samples and elements (appendix B.1), l being a parameter tensor as in the
    authors' code, where the paper says layer. Gradients of a few samples of one
    layer are held at a time. A tensor that no sample's gradient reaches gives 0.

    Args:
        model: see `InverseCurvature` and `TappedModel`.
        damping: share of `mean g²` (`relative`), or λ of every tensor (`absolute`).
        damping_kind: `relative` or `absolute`.

    Raises:
        SaltflatError: the damping is not above 0, or there is no such kind.
    """

    def __init__(self, model: nn.Module, *, damping: float = 0.1, damping_kind: str = "relative"):
        super().__init__(model)
        check_damping(damping, above_zero=True)
        one_of(damping_kind, ("relative", "absolute"), "damping")
        self.damping = damping
        self.damping_kind = damping_kind
        self._lambda: dict[str, float] = {}
        self._count = 0

    def effective_damping(self) -> dict[str, float]:
        """λ_l by parameter name."""
        self._fitted()
        return dict(self._lambda)

    def times(self, vectors: Sequence[Vector], *, progress: Progress | None = None) -> list[Vector]:
        """One pass over the samples for all vectors."""
        batches = self._fitted()
        stacked = {name: torch.stack([v[name].flatten() for v in vectors]) for name in vectors[0]}
        total = {name: torch.zeros_like(value) for name, value in stacked.items()}

        def add(tap: Tap, inputs: Inputs, delta: torch.Tensor) -> None:
            for gradients in gradient_slices(tap, inputs, delta):
                for name, gradient in gradients.items():
                    if self._lambda[name] > 0:
                        g = gradient.reshape(len(gradient), -1)
                        size = g.square().sum(1, keepdim=True)
                        total[name] += (g @ stacked[name].T / (self._lambda[name] + size)).T @ g

        for images, labels in placed(batches, self._device(), "inverse", progress):
            visit_layers(self._tapped, images, labels, add)
        return [
            {name: self._solved(name, values[i], total[name][i]) for name, values in stacked.items()}
            for i in range(len(vectors))
        ]

    def _prepare(self, batches: Batches, progress: Progress | None) -> None:
        self._tapped = TappedModel(self.model, self._example(batches))
        parameters = self._tapped.parameters
        self._count = 0
        squares = {name: p.new_zeros(()) for name, p in parameters.items()}

        def add(tap: Tap, inputs: Inputs, delta: torch.Tensor) -> None:
            for gradients in gradient_slices(tap, inputs, delta):
                for name, gradient in gradients.items():
                    squares[name] += gradient.square().sum()

        for images, labels in placed(batches, self._device(), "damping", progress):
            visit_layers(self._tapped, images, labels, add)
            self._count += len(images)
        self._lambda = {
            name: self._damping(float(v), parameters[name].numel()) for name, v in squares.items()
        }

    def _damping(self, squares: float, size: int) -> float:
        if squares == 0 or self.damping_kind == "relative":
            return self.damping * squares / (self._count * size)
        return self.damping

    def _solved(self, name: str, vector: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
        value, shape = self._lambda[name], self._tapped.parameters[name].shape
        if value == 0:
            return torch.zeros_like(vector).reshape(shape)
        return ((vector - total / self._count) / value).reshape(shape)
