"""Influence at a validation minimum with the diagonal empirical Fisher: `I(z) = gᵀ (F + λ)⁻¹ g ≥ 0`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from fvm_core.errors import SaltflatError
from fvm_core.layers.registry import Gradients
from fvm_core.layers.tapped import Pass, Tap, TappedModel


@dataclass
class LabelInfluence:
    """Influence of every candidate label of a batch.

    Attributes:
        values: (B, K), `I((x, k))` where `exact`, else a lower bound of it.
        exact: (B, K) bool.
        probabilities: (B, K), softmax of the logits.
    """

    values: torch.Tensor
    exact: torch.Tensor
    probabilities: torch.Tensor


class DiagonalInfluence:
    """The paper's estimator (sections 3.3, 3.4, appendix A) for any torch classifier.

    `I(z) = Σ_p g_p² / (F_p + λ)` with `g = ∇_θ ℓ(z, θ̃)`, cross-entropy ℓ, and
    `F = (1/M) Σ_m g_m ⊙ g_m` over the validation set (24). **Large means suspicious**: the one sign for
    equations (21) and (25).

    Args:
        model: logits (B, K); in evaluation mode; weights are read, never changed.
        example: one batch of inputs, for shape and device.
        damping: λ, as a fraction of the mean of F over all parameters (`relative`) or as it is
            (`absolute`).
        damping_kind: `relative` or `absolute`.

    Raises:
        SaltflatError: see `TappedModel`.
    """

    def __init__(
        self,
        model: nn.Module,
        example: torch.Tensor,
        *,
        damping: float = 0.1,
        damping_kind: str = "relative",
    ):
        self.tapped = TappedModel(model, example)
        self.damping = damping
        self.damping_kind = damping_kind
        self.fisher: Gradients = {}
        self._weights: Gradients = {}

    def fit(self, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> DiagonalInfluence:
        """Compute F over the validation set given as (images, labels) batches."""
        sums = {name: torch.zeros_like(p) for name, p in self.tapped.parameters.items()}
        count = 0
        with self.tapped.frozen():
            for images, labels in batches:
                count += len(images)
                for name, value in self._square_sums(images, labels).items():
                    sums[name] += value
        if count == 0:
            raise SaltflatError("The validation set is empty, so there is no Fisher information.")
        self.use_fisher({name: value / count for name, value in sums.items()})
        return self

    def use_fisher(self, fisher: Gradients) -> None:
        """Take F computed before (parameter name to tensor shaped like it)."""
        self.fisher = fisher
        damping = self.effective_damping()
        if damping <= 0 and any(bool((value <= 0).any()) for value in fisher.values()):
            raise SaltflatError(
                "The Fisher information has zeros and the damping is 0, so its inverse does not exist. "
                "Use a damping above 0."
            )
        self._weights = {name: 1 / (value + damping) for name, value in fisher.items()}

    def effective_damping(self) -> float:
        """λ as it is added to F."""
        if self.damping_kind == "absolute":
            return self.damping
        total = sum(float(value.sum(dtype=torch.float32)) for value in self.fisher.values())
        return self.damping * total / sum(value.numel() for value in self.fisher.values())

    def score(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Influence (B,) of samples with their labels, and their cross-entropy loss (B,)."""
        self._need_fisher()
        with self.tapped.frozen():
            run = self.tapped.forward(images)
            logits = run.logits.detach().float()
            delta = logits.softmax(1) - F.one_hot(labels, logits.shape[1])
            return self._quadratic(run, delta, keep=False), F.cross_entropy(logits, labels, reduction="none")

    def rank_labels(
        self, images: torch.Tensor, exact: int = 1, labels: torch.Tensor | None = None
    ) -> LabelInfluence:
        """Influence of every label, exact for the `exact` smallest ones (22).

        The head's own share of `I((x, k))` is known for all k from the forward pass and every other layer
        adds a non-negative one, so it bounds `I((x, k))` from below: labels whose bound lies above the
        `exact`-th best value need no backward pass. The argmin is the true one by construction.

        Args:
            images: (B, …).
            exact: how many of the best labels have to be exact; K for all.
            labels: (B,) labels whose influence has to be exact as well.
        """
        self._need_fisher()
        with self.tapped.frozen():
            run = self.tapped.forward(images)
            probabilities = run.logits.detach().float().softmax(1)
            count = probabilities.shape[1]
            exact = min(exact, count)
            values = self._head_share(run, probabilities)
            known = torch.zeros_like(values, dtype=torch.bool)
            first = labels
            while True:
                if first is None:
                    rows, picked = self._next_labels(values, known, exact)
                    if len(rows) == 0:
                        break
                else:
                    rows, picked, first = torch.arange(len(images), device=images.device), first, None
                delta = probabilities[rows] - F.one_hot(picked, count)
                if 2 * len(rows) >= len(images):
                    whole = torch.zeros_like(probabilities).index_copy_(0, rows, delta)
                    found = self._quadratic(run, whole, keep=True)[rows]
                else:
                    found = self._quadratic(self.tapped.forward(images[rows]), delta, keep=False)
                values[rows, picked] = found
                known[rows, picked] = True
        return LabelInfluence(values, known, probabilities)

    def _need_fisher(self) -> None:
        if not self._weights:
            raise SaltflatError(
                "There is no Fisher information yet: call fit() with the validation set first."
            )

    def _head_share(self, run: Pass, probabilities: torch.Tensor) -> torch.Tensor:
        """(B, K) share of the last Linear layer in `I((x, k))`; zeros where there is none."""
        head = self.tapped.head
        if head is None or run.head_inputs is None:
            return torch.zeros_like(probabilities)
        weights = {local: self._weights[name] for local, name in head.parameters.items()}
        per_output = torch.zeros_like(probabilities)
        if "weight" in weights:
            per_output += run.head_inputs.float().square() @ weights["weight"].T
        if "bias" in weights:
            per_output += weights["bias"]
        # Σ_i (p_i − [i = k])² h_i; the last two terms replace p_k² by (1 − p_k)².
        base = (probabilities.square() * per_output).sum(1, keepdim=True)
        return base + (1 - 2 * probabilities) * per_output

    @staticmethod
    def _next_labels(
        values: torch.Tensor, known: torch.Tensor, exact: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows that are not settled, and in each the unknown label with the smallest bound."""
        bound, picked = values.masked_fill(known, torch.inf).min(1)
        worst = values.masked_fill(~known, torch.inf).kthvalue(exact, 1).values
        rows = torch.nonzero(bound < worst).flatten()
        return rows, picked[rows]

    def _quadratic(self, run: Pass, delta: torch.Tensor, keep: bool) -> torch.Tensor:
        total = torch.zeros(len(delta), device=delta.device, dtype=delta.dtype)

        def add(tap: Tap, inputs: torch.Tensor, d: torch.Tensor) -> None:
            weights = {local: self._weights[name] for local, name in tap.parameters.items()}
            total.add_(tap.kernel.quadratic(tap.module, inputs, d, weights))

        if self.tapped.taps:
            run.backward(delta, add, keep=keep)
        if self.tapped.leftover:
            for part, gradients in self.tapped.leftover_gradients(run.images, delta):
                for name, gradient in gradients.items():
                    total[part] += gradient.square().flatten(1) @ self._weights[name].flatten()
        return total

    def _square_sums(self, images: torch.Tensor, labels: torch.Tensor) -> Gradients:
        run = self.tapped.forward(images)
        logits = run.logits.detach()
        delta = logits.softmax(1) - F.one_hot(labels, logits.shape[1])
        sums: Gradients = {}

        def add(tap: Tap, inputs: torch.Tensor, d: torch.Tensor) -> None:
            for local, value in tap.kernel.square_sum(tap.module, inputs, d).items():
                if local in tap.parameters:
                    sums[tap.parameters[local]] = value

        if self.tapped.taps:
            run.backward(delta, add)
        if self.tapped.leftover:
            for _part, gradients in self.tapped.leftover_gradients(images, delta):
                for name, gradient in gradients.items():
                    value = gradient.square().sum(0)
                    sums[name] = sums[name] + value if name in sums else value
        return sums
