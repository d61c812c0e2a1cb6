"""Weights that somebody has as a file, for an architecture whose names for them may differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from fvm_core.models.checkpoint import check_fit, read_state_dict
from fvm_core.models.head import find_head

_COUNTER = "num_batches_tracked"
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
_ROLES = {"weight", "bias", "running_mean", "running_var"}

State = Mapping[str, torch.Tensor]


def load_backbone(model: nn.Module, path: str | Path) -> str:
    """Load a file's tensors by name; by order where the names are others and every shape agrees.

    A head for other classes than the model's is not taken: the model's is set to zero then.

    Returns:
        What the file is, in words: its path and what was done with it.

    Raises:
        SaltflatError: with the table of `load_weights`.
    """
    return load_tensors(model, read_state_dict(path), str(path))


def load_tensors(model: nn.Module, state: State, path: str) -> str:
    """`load_backbone` of tensors that were read from `path`."""
    own = {name: value for name, value in model.state_dict().items() if not name.endswith(_COUNTER)}
    auxiliary = () if any(name.startswith(_AUXILIARY) for name in own) else _AUXILIARY
    given = {
        name: value
        for name, value in state.items()
        if not name.endswith(_COUNTER) and not name.startswith(auxiliary or ("\n",))
    }
    found = find_head(model)
    head = {f"{found[0]}.weight", f"{found[0]}.bias"} & own.keys() if found else set()
    words = path
    if given.keys() - head != own.keys() - head:
        renamed = _by_order(own, given, head)
        if renamed is not None:
            given, words = renamed, f"{words}, its tensors taken in their order"
    taken = dict(given)
    if found and any(name not in given or given[name].shape != own[name].shape for name in head):
        weight = given.get(f"{found[0]}.weight")
        what = f"classifier of {len(weight)} classes" if weight is not None else "classifier, which it lacks"
        words = f"{words}, without its {what}"
        taken |= {name: torch.zeros_like(own[name]) for name in head}
    check_fit(own, taken, path)
    model.load_state_dict({**model.state_dict(), **taken})
    return words


def _by_order(own: State, given: State, head: set[str]) -> dict[str, torch.Tensor] | None:
    """The file's tensors under the model's names, or None where one of them does not fit its place."""
    if len(own) != len(given):
        return None
    for (name, mine), (other, theirs) in zip(own.items(), given.items(), strict=True):
        shapes = (mine.shape[1:], theirs.shape[1:]) if name in head else (mine.shape, theirs.shape)
        roles = {name.rpartition(".")[2], other.rpartition(".")[2]}
        # The tensors of a BatchNorm have one shape; a file with sorted names would exchange them.
        if shapes[0] != shapes[1] or (len(roles) > 1 and roles <= _ROLES):
            return None
    return dict(zip(own, given.values(), strict=True))
