"""Scores by models that have not seen the sample's label (the stage `crossfit`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fvm_core.estimators import costs
from fvm_core.estimators.base import RelabellingEstimator

if TYPE_CHECKING:
    import torch

    from fvm_core.config import RunConfig
    from fvm_core.curvature.batches import Batches, Progress

_ROWS, _ROWS_A_CLASS, _MOST_CLASSES = 20_000, 50, 2_000
"""Samples that label noise is estimated from, at least so many a class; the most classes for which it is."""


class CrossFitted(RelabellingEstimator):
    """A score from the probabilities of fold models, which were trained and tuned without the sample.

    What the other estimators take as images are rows of probabilities (B, K) here.
    """

    needs = frozenset({"cross_fitted"})
    cost = "nothing beyond the stage crossfit"
    inputs = "probabilities"

    @classmethod
    def phases(cls, sizes: costs.Sizes) -> costs.Phases:
        """Next to nothing."""
        return {"scoring": 0.01 * sizes.rated}

    @classmethod
    def why_not(cls, config: RunConfig, *, checkpoints: bool) -> str:
        """Needs the stage `crossfit`."""
        if config.crossfit.rounds:
            return ""
        return (
            f"{cls.title} needs the stage crossfit, which this run leaves out: start a run with "
            "--crossfit-rounds 2."
        )


class CrossFittedLoss(CrossFitted):
    """`−log p_k`: large means suspicious."""

    name = "crossfit_loss"
    title = "Loss, cross-fitted"
    suspicious = "high"
    place = 5

    def score_labels(self, images: torch.Tensor) -> torch.Tensor:
        """Loss (B, K) of probabilities (B, K) with every label."""
        import torch

        return -images.double().clamp(min=torch.finfo(torch.float32).tiny).log().to(images.dtype)


class CrossFittedMargin(CrossFitted):
    """`p_k − max_{j≠k} p_j`: small means suspicious."""

    name = "crossfit_margin"
    title = "Margin, cross-fitted"
    suspicious = "low"
    place = 6

    def score_labels(self, images: torch.Tensor) -> torch.Tensor:
        """Margin (B, K) of probabilities (B, K) with every label."""
        from fvm_core.estimators.margin import margins

        return margins(images)


class CrossFittedWrong(CrossFitted):
    """`1 − q_k`, `q_k = p_k C[k, k] / Σ_j p_j C[j, k]`: how probably a sample with label k has another class.

    C[j, k] is the share of samples of class j that are labelled k, estimated after `fit` from the
    probabilities and given labels of all samples (`fvm_core.acceptance.label_noise`). Cats that are labelled
    as dogs are more frequent than ones that are labelled as trucks, so the same doubt about a label weighs
    more where the class that the model sees is often mistaken for it.

    Attributes:
        transition: C (K, K), after `fit`; None with more than 2,000 classes, where all mistakes count as
            equally frequent and the ranking is that of p_k.
    """

    name = "crossfit_wrong"
    title = "Probability of a wrong label, cross-fitted"
    suspicious = "high"
    place = 4

    def __init__(self) -> None:
        self.transition: torch.Tensor | None = None

    def fit(
        self,
        training: Batches | None = None,
        validation: Batches | None = None,
        *,
        progress: Progress | None = None,
    ) -> CrossFittedWrong:
        """C, from batches of (probabilities, labels)."""
        import numpy as np
        import torch

        from fvm_core.acceptance.label_noise import fit_transition
        from fvm_core.acceptance.likely import likely
        from fvm_core.curvature.batches import checked

        batches = list(checked(training, "training"))
        p = torch.cat([part for part, _labels in batches]).cpu().numpy()
        labels = torch.cat([labels for _part, labels in batches]).cpu().numpy()
        classes = p.shape[1]
        if classes > _MOST_CLASSES:
            return self
        some = np.random.default_rng(0).permutation(len(p))[: max(_ROWS, _ROWS_A_CLASS * classes)]
        short = likely(p[some], 1.0, labels[some])
        found = fit_transition(*short.scaled(), short.index, labels[some], classes)
        self.transition = torch.from_numpy(found)
        return self

    def score_labels(self, images: torch.Tensor) -> torch.Tensor:
        """`1 − q_k` (B, K) of probabilities (B, K) with every label; sure ones keep their digits."""
        import torch

        p = images.double()
        others = (p.sum(1, keepdim=True) - p).clamp(min=0.0)
        if self.transition is None:
            own, wrong = p, others
        else:
            transition = self.transition.to(p)
            own = p * transition.diagonal()
            wrong = p @ (transition - torch.diag(transition.diagonal()))
        return (wrong / (own + wrong).clamp(min=torch.finfo(torch.float64).tiny)).to(images.dtype)

    def state(self) -> dict[str, torch.Tensor]:
        """The transition."""
        return {} if self.transition is None else {"transition": self.transition}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Take the transition."""
        self.transition = state["transition"]
