"""GEX (Kim et al. 2023): how much an ensemble of tuned models disagrees about a sample's loss."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from fvm_core.errors import SaltflatError
from fvm_core.estimators import costs
from fvm_core.estimators.base import RelabellingEstimator
from fvm_core.estimators.losses import label_losses
from fvm_core.estimators.materials import Materials
from fvm_core.estimators.setting import Setting

if TYPE_CHECKING:
    import torch
    from torch import nn

    from fvm_core.config import RunConfig
    from fvm_core.curvature.batches import Progress

MEMBERS = 32
"""As in the paper (appendix B.1)."""


class GEX(RelabellingEstimator):
    """`Var_m ℓ(z, θ_m)` over the members of the ensemble, around their mean: large means suspicious.

    Args:
        model: the architecture, in evaluation mode; never changed.
        members: state dicts, each tuned on the validation set; they stay on the model's device.

    Raises:
        SaltflatError: fewer than two members, or one belongs to another model; when it scores, see
            `check_alone`.
    """

    name = "gex"
    title = "GEX"
    suspicious = "high"
    needs = frozenset({"ensemble"})
    cost = "as many tunings as there are members (32 in the paper), then a forward pass a sample for each"
    settings = (
        Setting(
            "members",
            MEMBERS,
            "Members of GEX's ensemble",
            "Of GEX's ensemble, each a tuning of its own; the paper takes 32.",
            least=2,
        ),
        Setting(
            "members_from",
            "previous",
            "Each member starts at",
            "Where each of GEX's members starts: at the one before, as in its code, or at θ*, as in "
            "its words.",
            choices=(("previous", "the one before"), ("theta_star", "the trained model")),
        ),
    )
    place = 110

    def __init__(self, model: nn.Module, members: Sequence[dict[str, torch.Tensor]]):
        from fvm_core.curvature.values import values_of
        from fvm_core.layers.conditions import Acceptance
        from fvm_core.layers.eager import unwrapped

        if len(members) < 2:
            raise SaltflatError("GEX compares the members of an ensemble, so it needs at least two.")
        self.model = unwrapped(model)
        self._accept = Acceptance(self.model)
        self._members = [values_of(self.model, state) for state in members]

    @classmethod
    def make(cls, run: Materials) -> tuple[GEX, dict[str, object]]:
        """With an ensemble tuned for it."""
        count, start = int(cls.value(run.config, "members")), str(cls.value(run.config, "members_from"))
        ensemble = run.ensemble(count, start)
        return cls(run.theta_star(), ensemble), {"members": len(ensemble), "each from": start}

    @classmethod
    def phases(cls, sizes: costs.Sizes) -> costs.Phases:
        """The tunings, then a forward pass of each member."""
        members = int(cls.value(sizes.config, "members"))
        return {"tuning": members * costs.tuning(sizes, "sgd"), "scoring": members * 1.0 * sizes.rated}

    @classmethod
    def vectors(cls, config: RunConfig) -> int:
        """All members at once."""
        return int(cls.value(config, "members"))

    @classmethod
    def models(cls, config: RunConfig) -> int:
        """All members."""
        return int(cls.value(config, "members"))

    def score_labels(self, images: torch.Tensor) -> torch.Tensor:
        """Variance (B, K) of `−log p_k` for every label k."""
        import torch

        from fvm_core.layers import stateless

        with torch.no_grad():
            self._accept(images)
            mean = squares = torch.zeros((), device=images.device)
            for number, values in enumerate(self._members, start=1):
                logits = stateless.call(self.model, values, images)
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
        continued: each goes on from the one before, as GEX's code does; else each starts from `model`, as in
            the paper's words.
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
