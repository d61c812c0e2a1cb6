"""Eigenvalue-corrected Kronecker-factored curvature (EK-FAC; George et al. 2018, Grosse et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from fvm_core.curvature.batches import Batches, Progress, placed
from fvm_core.curvature.inverse import InverseCurvature
from fvm_core.curvature.kronecker import KroneckerLayer, is_factored
from fvm_core.curvature.per_sample import gradient_slices, visit_layers
from fvm_core.curvature.vectors import Vector
from fvm_core.diagonal.arguments import check_damping
from fvm_core.errors import one_of
from fvm_core.layers.passes import Tap, Visit
from fvm_core.layers.registry import Inputs, first
from fvm_core.layers.tapped import TappedModel


class EKFAC(InverseCurvature):
    """`(F + λ)⁻¹ v` with F block-diagonal: see `KroneckerLayer` for Linear and Conv2d layers.

    Other parameters, those of normalisation layers among them, have the diagonal of F, with λ per
    tensor: kronfluence leaves them out instead.

    Args:
        model: see `InverseCurvature` and `TappedModel`.
        damping: λ of a layer as a share of its mean eigenvalue (`relative`), or as it is (`absolute`).
        damping_kind: `relative` or `absolute`.
        fisher: `true`, with one label a sample drawn from the model's own probabilities, or `empirical`,
            with the given labels.
        seed: of the drawn labels.

    Raises:
        SaltflatError: no such Fisher matrix, or a damping that is none.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        damping: float = 0.1,
        damping_kind: str = "relative",
        fisher: str = "true",
        seed: int = 0,
    ):
        super().__init__(model)
        check_damping(damping)
        one_of(damping_kind, ("relative", "absolute"), "damping")
        one_of(fisher, ("true", "empirical"), "Fisher matrix")
        self.damping = damping
        self.damping_kind = damping_kind
        self.fisher = fisher
        self.seed = seed
        self._layers: dict[str, KroneckerLayer] = {}
        self._diagonal: Vector = {}

    def effective_damping(self) -> dict[str, float]:
        """λ by the name of each layer, or of each other parameter."""
        self._fitted()
        eigenvalues = {name: layer.eigenvalues for name, layer in self._layers.items()} | self._diagonal
        if self.damping_kind == "absolute":
            return dict.fromkeys(eigenvalues, self.damping)
        return {name: self.damping * float(values.mean()) for name, values in eigenvalues.items()}

    def times(self, vectors: Sequence[Vector], *, progress: Progress | None = None) -> list[Vector]:
        """No pass over the samples."""
        damping = self.effective_damping()
        found = []
        for vector in vectors:
            solved: Vector = {}
            for name, layer in self._layers.items():
                solved |= layer.solve(vector, damping[name])
            for name, fisher in self._diagonal.items():
                curvature = fisher + damping[name]
                solved[name] = torch.where(curvature > 0, vector[name] / curvature, 0.0)
            found.append({name: solved[name] for name in vector})
        return found

    def _prepare(self, batches: Batches, progress: Progress | None) -> None:
        """Two passes over the samples: the factors, then eigenvalues and diagonals."""
        tapped = TappedModel(self.model, self._example(batches))
        self._layers = {name: KroneckerLayer(tap) for name, tap in tapped.taps.items() if is_factored(tap)}
        served = {name for layer in self._layers.values() for name in (layer.weight, layer.bias)}
        rest = {name: torch.zeros_like(p) for name, p in tapped.parameters.items() if name not in served}

        def add_factors(tap: Tap, inputs: Inputs, delta: torch.Tensor) -> None:
            if tap.name in self._layers:
                self._layers[tap.name].add_factors(first(inputs), delta)

        def add_eigenvalues(tap: Tap, inputs: Inputs, delta: torch.Tensor) -> None:
            if tap.name in self._layers:
                self._layers[tap.name].add_eigenvalues(first(inputs), delta)
                return
            for gradients in gradient_slices(tap, inputs, delta):
                for name, gradient in gradients.items():
                    rest[name] += gradient.square().sum(0)

        def visit_all(visit: Visit, stage: str) -> int:
            draw = torch.Generator().manual_seed(self.seed) if self.fisher == "true" else None
            count = 0
            for images, labels in placed(batches, self._device(), stage, progress):
                visit_layers(tapped, images, labels, visit, draw=draw)
                count += len(images)
            return count

        visit_all(add_factors, "factors")
        for number, layer in enumerate(self._layers.values()):
            if progress is not None:
                progress("eigenvectors", number, len(self._layers))
            layer.turn()
        count = visit_all(add_eigenvalues, "eigenvalues")
        for layer in self._layers.values():
            layer.eigenvalues /= count
        self._diagonal = {name: value / count for name, value in rest.items()}
