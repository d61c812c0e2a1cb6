"""Influence at a validation minimum with the diagonal empirical Fisher: `I(z) = gᵀ (F + λ)⁻¹ g ≥ 0`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

import torch
import torch.nn.functional as F
from torch import nn

from fvm_core.config import DAMPING_KINDS
from fvm_core.diagonal.arguments import check_damping, class_labels
from fvm_core.diagonal.label_search import LabelInfluence, LabelSearch
from fvm_core.diagonal.loaders import refuse_dropping
from fvm_core.diagonal.pairwise import pairwise_influence
from fvm_core.diagonal.residuals import logits_of, probabilities, residual
from fvm_core.errors import SaltflatError, one_of
from fvm_core.layers.passes import Tap, Visit
from fvm_core.layers.registry import Gradients, Inputs, summing
from fvm_core.layers.tapped import TappedModel


class InfluenceOptions(TypedDict, total=False):
    """What may be chosen of `DiagonalInfluence`, see there."""

    damping: float
    damping_kind: str
    precision: str


class DiagonalInfluence:
    """The paper's estimator (sections 3.3, 3.4, appendix A) for any torch classifier.

    `I(z) = Σ_p g_p² / (F_p + λ)` with `g = ∇_θ ℓ(z, θ̃)`, cross-entropy ℓ, and
    `F = (1/M) Σ_m g_m ⊙ g_m` over the validation set (24). **Large means suspicious**: the one sign for
    equations (21) and (25).

    Args:
        model: logits (B, K); in evaluation mode; weights are read, never changed.
        example: one batch of inputs, for shape and device.
        damping: λ ≥ 0, as a fraction of the mean of F over all parameters (`relative`) or over the tensor
            (`per_tensor`), or as it is (`absolute`).
        damping_kind: one of the three.
        precision: `fp32` (the model's own), or `bf16` for the forward and backward passes; squares and sums
            are float32 anyway.

    Raises:
        SaltflatError: a damping that is none; see `TappedModel`.
    """

    def __init__(
        self,
        model: nn.Module,
        example: torch.Tensor,
        *,
        damping: float = 0.1,
        damping_kind: str = "relative",
        precision: str = "fp32",
    ):
        check_damping(damping)
        one_of(damping_kind, DAMPING_KINDS, "damping")
        self.tapped = TappedModel(model, example, precision=precision)
        self.damping = damping
        self.damping_kind = damping_kind
        self.fisher: Gradients = {}
        self.inverse: Gradients = {}
        self.fitted_on = 0
        self._sums: Gradients = {}
        self._count = 0

    def fit(self, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> DiagonalInfluence:
        """Compute F over the validation set given as (images, labels) batches, anew at every call.

        Raises:
            SaltflatError: see `add` and `finish`, or a loader that leaves samples out.
        """
        refuse_dropping(batches, "validation")
        self._sums, self._count = {}, 0
        for images, labels in batches:
            self.add(images, labels)
        return self.finish()

    def add(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Take one batch of the validation set into F; `finish` comes after the last one.

        Raises:
            SaltflatError: labels that are none, or gradients that are not finite; then nothing is taken.
        """
        if not len(images):
            return
        sums, loss = self._square_sums(images, labels)
        self._check_finite(sums, loss)
        if not self._count:
            self._sums = {
                name: torch.zeros_like(p, dtype=summing(p.dtype))
                for name, p in self.tapped.parameters.items()
            }
        for name, value in sums.items():
            self._sums[name] += value
        self._count += len(images)

    def finish(self) -> DiagonalInfluence:
        """F from the batches that were added.

        Raises:
            SaltflatError: there were none.
        """
        if self._count == 0:
            raise SaltflatError("The validation set is empty, so there is no Fisher information.")
        fisher = {name: value / self._count for name, value in self._sums.items()}
        self.fitted_on, self._sums, self._count = self._count, {}, 0
        self.use_fisher(fisher)
        return self

    def use_fisher(self, fisher: Gradients) -> None:
        """Take F computed before (parameter name to tensor shaped like it).

        Raises:
            SaltflatError: F has zeros where the damping is 0.
        """
        self.fisher = fisher
        dampings = self._dampings()
        for name, value in fisher.items():
            if dampings[name] <= 0 and bool((value <= 0).any()):
                raise SaltflatError(
                    "The Fisher information has zeros and the damping is 0, so its inverse does not exist. "
                    "Use a damping above 0."
                )
        self.inverse = {name: 1 / (value + dampings[name]) for name, value in fisher.items()}

    def effective_damping(self) -> float:
        """λ as it is added to F, its mean over all parameters where tensors have their own."""
        if self.damping_kind == "absolute":
            return self.damping
        dampings = self._dampings()
        sizes = {name: value.numel() for name, value in self.fisher.items()}
        return sum(dampings[name] * size for name, size in sizes.items()) / sum(sizes.values())

    def _dampings(self) -> dict[str, float]:
        if self.damping_kind == "absolute":
            return dict.fromkeys(self.fisher, self.damping)
        means = {name: float(value.mean()) for name, value in self.fisher.items()}
        overall = sum(mean * self.fisher[name].numel() for name, mean in means.items())
        overall /= sum(value.numel() for value in self.fisher.values())
        if self.damping_kind == "relative":
            return dict.fromkeys(means, self.damping * overall)
        # A tensor whose gradients all vanish has no scale of its own.
        return {name: self.damping * (mean or overall) for name, mean in means.items()}

    def score(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Influence (B,) of samples with their labels, and their cross-entropy loss (B,)."""
        self._need_fisher()
        total = torch.zeros(len(images), device=images.device)
        if not len(images):
            return total, total.clone()

        def add(tap: Tap, inputs: Inputs, delta: torch.Tensor) -> None:
            nonlocal total
            weights = {local: self.inverse[name] for local, name in tap.parameters.items()}
            total = total + tap.kernel.quadratic(tap.module, inputs, delta, weights)

        loss = self._pass(images, labels, add)
        return total, loss

    def score_all_labels(
        self,
        images: torch.Tensor,
        *,
        exact: int | None = 2,
        known: tuple[torch.Tensor, torch.Tensor] | None = None,
        batch_size: int | None = None,
    ) -> LabelInfluence:
        """Influence of every label, exact for the `exact` smallest ones (22), else a lower bound.

        See `LabelSearch` for how labels are dropped without being computed.

        Args:
            images: (B, …).
            exact: how many of the smallest have to be exact: 1 for the argmin, 2 for the runner-up and
                the margin as well, None for all K; at least 1.
            known: labels (B,) and their influence (B,) computed before, −1 or NaN where there is none.
            batch_size: samples in one forward pass, all where it is left out. The last labels of several
                batches go down together, so four times as many samples as that make it faster.

        Raises:
            SaltflatError: `exact` or `batch_size` below 1, or `known` labels that are none.
        """
        self._need_fisher()
        for name, value in (("exact", exact), ("batch_size", batch_size)):
            if value is not None and value < 1:
                raise SaltflatError(f"`{name}` is {value}; it has to be at least 1.")
        if not len(images):
            return LabelInfluence.empty(self.tapped.classes, images.device)
        if known is not None:
            known = _checked(known, len(images), self.tapped.classes)
        size = batch_size or max(1, len(images))
        parts = [slice(start, start + size) for start in range(0, max(1, len(images)), size)]
        with self.tapped.frozen():
            if exact is None or exact >= self.tapped.classes:
                return LabelInfluence.joined([self._search(images[part]).everything() for part in parts])
            searches = []
            for part in parts:
                searches.append(self._search(images[part]))
                if known is not None:
                    searches[-1].tell(known[0][part], known[1][part])
                searches[-1].begin(exact)
            return LabelSearch.joined(searches).smallest(exact)

    def _search(self, images: torch.Tensor) -> LabelSearch:
        return LabelSearch(self.tapped, self.inverse, images)

    def pairwise(
        self,
        x_train: torch.Tensor,
        y_train: torch.Tensor,
        x_val: torch.Tensor,
        y_val: torch.Tensor,
        *,
        epsilon: float | None = None,
    ) -> torch.Tensor:
        """Influence (N, M) of each training sample on each validation sample (20): what drives a score.

        Args:
            x_train: (N, …).
            y_train: labels (N,) to judge.
            x_val: (M, …), all or some of the validation set.
            y_val: (M,).
            epsilon: ε of the second-order term, see `pairwise_influence`; one over the number of samples
                that `fit` saw where it is left out.

        Raises:
            SaltflatError: no ε and no `fit`; else see `pairwise_terms`.
        """
        self._need_fisher()
        if epsilon is None:
            if not self.fitted_on:
                raise SaltflatError(
                    "How much one validation sample weighs is not known without fit(): give epsilon, such as "
                    "1 / M for M validation samples."
                )
            epsilon = 1 / self.fitted_on
        return pairwise_influence(
            self.tapped.model, self.inverse, x_train, y_train, x_val, y_val, epsilon=epsilon
        )

    def _need_fisher(self) -> None:
        if not self.inverse:
            raise SaltflatError(
                "There is no Fisher information yet: call fit() with the validation set first."
            )

    def _check_finite(self, sums: Gradients, loss: torch.Tensor) -> None:
        bad = ~loss.isfinite()
        if bool(bad.any()):
            row = self._count + int(bad.nonzero()[0, 0])
            raise SaltflatError(
                f"The loss of sample {row} of the validation set is {float(loss[bad][0])}: look for NaN or "
                "infinity in its image."
            )
        broken = next((name for name, value in sums.items() if not bool(value.isfinite().all())), None)
        if broken is not None:
            raise SaltflatError(
                f"The gradients of `{broken}` are not finite on the validation set, samples {self._count} to "
                f"{self._count + len(loss) - 1}, so there is no Fisher information."
            )

    def _square_sums(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[Gradients, torch.Tensor]:
        sums: Gradients = {}

        def add(tap: Tap, inputs: Inputs, delta: torch.Tensor) -> None:
            for local, value in tap.kernel.square_sum(tap.module, inputs, delta).items():
                if local in tap.parameters:
                    sums[tap.parameters[local]] = value

        loss = self._pass(images, labels, add)
        return sums, loss

    def _pass(self, images: torch.Tensor, labels: torch.Tensor, visit: Visit) -> torch.Tensor:
        """Visit every tap with δ of the samples' own losses, which are given back (B,)."""
        labels = class_labels(labels, len(images), self.tapped.classes)
        with self.tapped.frozen():
            run = self.tapped.forward(images)
            logits = logits_of(self.tapped, run)
            run.backward(residual(probabilities(logits), labels).to(logits.dtype), visit)
        return F.cross_entropy(logits, labels, reduction="none")


def _checked(
    known: tuple[torch.Tensor, torch.Tensor], count: int, classes: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels of −1 are passed over, and so need no class."""
    labels, values = known
    if labels.shape != (count,) or values.shape != (count,):
        raise SaltflatError(f"`known` has to hold {count} labels and as many values, one for each sample.")
    class_labels(labels.clamp(min=0), count, classes)
    return labels.long(), values
