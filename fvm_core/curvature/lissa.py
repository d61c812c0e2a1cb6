"""Inverse-Hessian-vector products by recursion (LiSSA; Agarwal et al. 2017, Koh & Liang 2017)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from fvm_core.curvature.batches import Batches, Progress
from fvm_core.curvature.hessian import gauss_newton_products, hessian_products
from fvm_core.curvature.inverse import InverseCurvature
from fvm_core.curvature.spectrum import largest_eigenvalue
from fvm_core.curvature.vectors import Vector, trainable
from fvm_core.diagonal.arguments import check_damping
from fvm_core.errors import SaltflatError, one_of
from fvm_core.layers.conditions import accept
from fvm_core.solvers.base import norm

_SAFETY = 1.5
"""Scale over the largest eigenvalue found: other minibatches may have larger ones."""

_POINTS = 50


class LiSSA(InverseCurvature):
    """`h ← v + (1 − damping) h − (H h)/scale`; `h/scale` tends to `(H + damping · scale · I)⁻¹ v`.

    H is that of one minibatch after the other, in the order of the batches, which should be random. Of
    several minibatches the mean of h over their last round is taken, so that each counts alike; one
    that holds all samples makes the recursion exact and stops when it has converged.

    What is not seen along flat directions shrinks by `1 − damping` a step, so `depth` should be several
    times `1/damping`.

    Args:
        model: see `InverseCurvature`.
        damping: of the recursion; λ is `damping · scale`.
        scale: at least the largest eigenvalue of H; None to find it by power iteration.
        depth: steps, each with one minibatch.
        matrix: `hessian`, or `gauss_newton`, which has no negative eigenvalues: only too small a scale makes
            it diverge.
        tolerance: relative error at which an exact recursion may stop.
        seed: of the power iteration.

    Attributes:
        scale: as given or found by `fit`.
        trace: (step, `‖h − h_before‖/‖h‖` since the entry before, the largest of all vectors).

    Raises:
        SaltflatError: no such matrix, a damping outside [0, 1), or a scale or depth not above 0.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        damping: float = 0.01,
        scale: float | None = None,
        depth: int = 1000,
        matrix: str = "hessian",
        tolerance: float = 1e-4,
        seed: int = 0,
    ):
        super().__init__(model)
        one_of(matrix, ("hessian", "gauss_newton"), "matrix")
        check_damping(damping, below=1)  # a share of the scale
        for name, value in (("scale", scale), ("depth", depth)):
            if value is not None and not value > 0:
                raise SaltflatError(f"LiSSA's {name} is {value}; it has to be above 0.")
        self.damping = damping
        self.scale = scale
        self.depth = depth
        self.matrix = matrix
        self.tolerance = tolerance
        self.seed = seed
        self.trace: list[tuple[int, float]] = []
        self._given = scale

    def effective_damping(self) -> float:
        """`damping · scale`, known after `fit`."""
        return self.damping * self._fitted_scale()

    def times(self, vectors: Sequence[Vector], *, progress: Progress | None = None) -> list[Vector]:
        """`(H + λ)⁻¹ v`: a forward and backward pass a step, and one more pass twice as long per vector.

        Raises:
            SaltflatError: the recursion diverges, or `fit` has not been called.
        """
        batches, scale = self._fitted(), self._fitted_scale()
        vectors = list(vectors)
        self.trace = []
        window = min(len(batches), max(1, self.depth // 2))
        every = max(1, self.depth // _POINTS)
        lengths = [float(norm(v)) for v in vectors]
        estimates = before = vectors
        total = [{name: torch.zeros_like(value) for name, value in v.items()} for v in vectors]
        averaged = 0
        for step, (images, labels) in enumerate(self._minibatches(batches), start=1):
            if progress is not None:
                progress("recursion", step - 1, self.depth)
            estimates = self._step(vectors, estimates, images, labels)
            last = step == self.depth
            if step % every == 0 or last:
                self._note(step, before, estimates, lengths)
                before = estimates
                last = last or (len(batches) == 1 and self._remaining(every) < self.tolerance)
            if step > self.depth - window or last:
                averaged += 1
                for sums, estimate in zip(total, estimates, strict=True):
                    for name, value in estimate.items():
                        sums[name] += value
            if last:
                break
        if progress is not None:
            progress("recursion", self.depth, self.depth)
        return [{name: value / (averaged * scale) for name, value in v.items()} for v in total]

    def _prepare(self, batches: Batches, progress: Progress | None) -> None:
        accept(self.model, self._example(batches))
        self.scale = self._given
        if self.scale is None:
            found = largest_eigenvalue(
                self._products, trainable(self.model), batches, seed=self.seed, progress=progress
            )
            if not 0 < found < float("inf"):
                raise SaltflatError(
                    f"The largest curvature of the loss is {found}, from which LiSSA can't choose its scale. "
                    f"Give a scale, or look whether the model's logits are finite."
                )
            self.scale = _SAFETY * found

    def _fitted_scale(self) -> float:
        self._fitted()
        if self.scale is None:
            raise SaltflatError("LiSSA has no scale: call fit() again, which finds one.")
        return self.scale

    def _products(self, vectors: list[Vector], images: torch.Tensor, labels: torch.Tensor) -> list[Vector]:
        products = hessian_products if self.matrix == "hessian" else gauss_newton_products
        return products(self.model, vectors, images, labels)

    def _minibatches(self, batches: Batches) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            for images, labels in batches:
                yield images.to(self._device()), labels.to(self._device())

    def _step(
        self, vectors: list[Vector], estimates: list[Vector], images: torch.Tensor, labels: torch.Tensor
    ) -> list[Vector]:
        products = self._products(estimates, images, labels)
        keep, scale = 1 - self.damping, self._fitted_scale()
        return [
            {name: v[name] + keep * h[name] - curved[name] / scale for name in v}
            for v, h, curved in zip(vectors, estimates, products, strict=True)
        ]

    def _note(self, step: int, before: list[Vector], now: list[Vector], lengths: list[float]) -> None:
        change = 0.0
        for old, new, length in zip(before, now, lengths, strict=True):
            size = float(norm(new))
            # Were every step a contraction, h could not grow by more than v in it.
            if not size <= 1.01 * (step + 1) * length:
                raise SaltflatError(self._diverged(step))
            moved = float(norm({name: new[name] - value for name, value in old.items()}))
            change = max(change, moved / size if size else 0.0)
        self.trace.append((step, change))

    def _remaining(self, every: int) -> float:
        """The relative error: `change · q/(1 − q)`, changes shrinking by q from point to point.

        q is what was seen last, or at least what flat directions shrink by: `(1 − damping)^every`.
        """
        if len(self.trace) < 2:
            return float("inf")
        before, change = self.trace[-2][1], self.trace[-1][1]
        shrink = max(change / before if before else 0.0, (1 - self.damping) ** every)
        return change * shrink / (1 - shrink) if shrink < 1 else float("inf")

    def _diverged(self, step: int) -> str:
        text = (
            f"LiSSA diverged at step {step} of {self.depth}. Use a scale above {self.scale:.3g} or a damping "
            f"above {self.damping:g}"
        )
        if self.matrix == "hessian":
            text += "; if that does not help, use matrix='gauss_newton', which has no negative eigenvalues"
        return text + "."
