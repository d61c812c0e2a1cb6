"""`fvm.influence`: the estimator alone, on any torch classifier."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import nn

from fvm_core.diagonal.influence import DiagonalInfluence
from fvm_core.diagonal.loaders import refuse_dropping, refuse_shuffled
from fvm_core.errors import SaltflatError

Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]


def influence(
    model: nn.Module,
    train: Batches,
    val: Batches,
    *,
    damping: float = 0.1,
    damping_kind: str = "relative",
    precision: str = "fp32",
) -> torch.Tensor:
    """`I(z) = gᵀ(F + λ)⁻¹g ≥ 0` (N,) of every training sample, large = suspicious (21, 25).

    The model is taken as it is: bring it to a flat minimum of the validation risk first, for which
    `fvm.run` is there.

    Args:
        model: logits (B, K) for a batch; in evaluation mode.
        train: batches of (images, labels), in an order that is kept.
        val: batches of clean (images, labels); may be iterated once.
        damping: see `DiagonalInfluence`.
        damping_kind: `relative`, `per_tensor` or `absolute`.
        precision: `fp32` or `bf16`.

    Raises:
        SaltflatError: a loader shuffles, so that scores could not be told apart, or leaves samples out; else
            see `DiagonalInfluence`.
    """
    for loader, what in ((train, "train"), (val, "val")):
        refuse_shuffled(loader, what)
        refuse_dropping(loader, what)
    val = iter(val)
    device = next(model.parameters()).device
    placed = ((images.to(device), labels.to(device)) for images, labels in val)
    first = next(placed, None)
    if first is None:
        raise SaltflatError("The validation set is empty, so there is no Fisher information.")

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        yield first
        yield from placed

    estimator = DiagonalInfluence(
        model, first[0], damping=damping, damping_kind=damping_kind, precision=precision
    ).fit(batches())
    scores = [estimator.score(images.to(device), labels.to(device))[0].cpu() for images, labels in train]
    return torch.cat(scores) if scores else torch.empty(0)
