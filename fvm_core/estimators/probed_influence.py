"""The new influence at the tuned model with LiSSA or DataInf, through random probes (appendix C.4)."""

from __future__ import annotations

import torch
from torch import nn

from fvm_core.errors import SaltflatError
from fvm_core.estimators.standard.base import RelabellingEstimator
from fvm_core.estimators.standard.batches import Batches, Progress, checked
from fvm_core.estimators.standard.datainf import DataInf
from fvm_core.estimators.standard.inverse import InverseCurvature
from fvm_core.estimators.standard.jvp import directional, label_products
from fvm_core.estimators.standard.lissa import LiSSA
from fvm_core.estimators.standard.vectors import Vector, normal, trainable


class ProbedInfluence(RelabellingEstimator):
    """`I(z) ≈ (1/J) Σ_j (g_z·H⁻¹v_j)(g_z·v_j)`, `v_j ~ N(0, 1)`, whose mean is `g_zᵀ H⁻¹ g_z` (21).

    H is that of the validation set at the tuned model. Large means suspicious; single values can be
    negative, since few probes leave noise.

    Args:
        model: at θ̃; logits (B, K); in evaluation mode; never changed.
        probes: J, 5 in the paper.
        seed: of the probes.
        options: of the inverse curvature, see `inverse_class`.

    Attributes:
        inverse: the inverse curvature.
        solved: `H⁻¹v_j`, after `fit`.
    """

    suspicious = "high"
    needs = frozenset({"tuned", "validation_set"})
    inverse_class: type[InverseCurvature]

    def __init__(self, model: nn.Module, *, probes: int = 5, seed: int = 0, **options):
        self.model = model
        self.probes = probes
        self.seed = seed
        self.inverse = self.inverse_class(model, **options)
        self.solved: list[Vector] = []

    def fit(
        self,
        training: Batches | None = None,
        validation: Batches | None = None,
        *,
        progress: Progress | None = None,
    ) -> ProbedInfluence:
        """All probes share the passes over the validation set."""
        self.inverse.fit(checked(validation, "validation"), progress=progress)
        self.solved = self.inverse.times(self._drawn(), progress=progress)
        return self

    def score_labels(self, images: torch.Tensor) -> torch.Tensor:
        """`I((x, k))` (B, K) for every label k; the best label has the smallest."""
        if not self.solved:
            raise SaltflatError("There is no influence yet: call fit() with the validation set first.")
        return sum(
            self._products(solved, images) * self._products(probe, images)
            for solved, probe in zip(self.solved, self._drawn(), strict=True)
        ) / len(self.solved)

    def state(self) -> dict[str, torch.Tensor]:
        """`probe number/parameter name` to `H⁻¹v_j`; the probes themselves follow from the seed."""
        return {f"{j}/{name}": v for j, vector in enumerate(self.solved) for name, v in vector.items()}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Take `H⁻¹v_j` of an estimator with the same seed."""
        device = next(self.model.parameters()).device
        self.solved = [{} for _ in range(self.probes)]
        for key, value in state.items():
            number, name = key.split("/", 1)
            self.solved[int(number)][name] = value.to(device)

    def _products(self, direction: Vector, images: torch.Tensor) -> torch.Tensor:
        return label_products(*directional(self.model, direction, images))

    def _drawn(self) -> list[Vector]:
        generator = torch.Generator().manual_seed(self.seed)
        return [normal(trainable(self.model), generator) for _ in range(self.probes)]


class ProbedLiSSA(ProbedInfluence):
    """With LiSSA."""

    name = "probed_lissa"
    title = "New influence with LiSSA"
    cost = "1,000 minibatches through 6 doubled backward passes, then 20 forward passes a sample"
    inverse_class = LiSSA


class ProbedDataInf(ProbedInfluence):
    """With DataInf."""

    name = "probed_datainf"
    title = "New influence with DataInf"
    cost = "2 passes of per-sample gradients over the validation set, then 20 forward passes a sample"
    inverse_class = DataInf
