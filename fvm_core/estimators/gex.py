"""GEX (Kim et al. 2023): how much an ensemble of tuned models disagrees about a sample's loss."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn
from torch.func import functional_call

from fvm_core.errors import SaltflatError
from fvm_core.estimators.standard.base import RelabellingEstimator
from fvm_core.estimators.standard.batches import Progress
from fvm_core.estimators.standard.losses import label_losses
from fvm_core.estimators.standard.values import values_of

MEMBERS = 32
"""As in the paper (appendix B.1)."""


class GEX(RelabellingEstimator):
    """`Var_m ℓ(z, θ_m)` over the members of the ensemble, around their mean: large means suspicious.

    Args:
        model: the architecture, in evaluation mode; never changed.
        members: state dicts, each tuned on the validation set; they stay on the model's device.

    Raises:
        SaltflatError: fewer than two members, or one belongs to another model.
    """

    name = "gex"
    title = "GEX"
    suspicious = "high"
    needs = frozenset({"ensemble"})
    cost = "as many tunings as there are members (32 in the paper), then a forward pass a sample for each"

    def __init__(self, model: nn.Module, members: Sequence[dict[str, torch.Tensor]]):
        if len(members) < 2:
            raise SaltflatError("GEX compares the members of an ensemble, so it needs at least two.")
        self.model = model
        self._members = [values_of(model, state) for state in members]

    @torch.no_grad()
    def score_labels(self, images: torch.Tensor) -> torch.Tensor:
        """Variance (B, K) of `−log p_k` for every label k."""
        mean = squares = 0.0
        for number, values in enumerate(self._members, start=1):
            logits = functional_call(self.model, values, (images,))
            losses = label_losses(logits)
            change = losses - mean
            mean = mean + change / number
            squares = squares + change * (losses - mean)
        return (squares / len(self._members)).to(logits.dtype)


def tuned_members(
    model: nn.Module,
    tune: Callable[[nn.Module, int], None],
    numbers: Sequence[int] = range(MEMBERS),
    *,
    continued: bool = True,
    progress: Progress | None = None,
) -> Iterator[dict[str, torch.Tensor]]:
    """State dicts on the CPU of the ensemble's members, one after the other.

    Args:
        model: θ*, or the member before the first of `numbers` where an ensemble is gone on with.
        tune: tunes a model in place with the given seed.
        numbers: seeds of the members.
        continued: each goes on from the one before, as GEX's code does; else each starts from `model`.
        progress: told of every member.
    """
    member = copy.deepcopy(model)
    for place, number in enumerate(numbers):
        if progress is not None:
            progress("members", place, len(numbers))
        if not continued:
            member = copy.deepcopy(model)
        tune(member, number)
        yield {name: value.detach().cpu().clone() for name, value in member.state_dict().items()}
