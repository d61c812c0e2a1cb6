"""Batches of samples that an estimator goes through several times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import torch

from fvm_core.diagonal.loaders import refuse_dropping
from fvm_core.errors import SaltflatError

Progress = Callable[[str, int, int], None]
"""Called with what is being done and `done` of `total` units of it."""


class Batches(Protocol):
    """A list, a DataLoader or anything else that can be iterated anew: (images, labels) with B samples."""

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The batches, from the first one."""
        ...

    def __len__(self) -> int:
        """How many there are."""
        ...


def checked(batches: Batches | None, what: str) -> Batches:
    """The batches, once it is known that they are there.

    Args:
        batches: as given to `fit`.
        what: `training` or `validation`, for the message.

    Raises:
        SaltflatError: there are none, they can be iterated only once, or a loader leaves samples out.
    """
    if batches is None:
        raise SaltflatError(f"This estimator needs the {what} set: give its batches to fit().")
    if isinstance(batches, Iterator):
        raise SaltflatError(
            f"The {what} batches can be iterated only once, and this estimator goes through them several "
            f"times. Give a list or a DataLoader."
        )
    refuse_dropping(batches, what)
    if not len(batches):
        raise SaltflatError(f"The {what} set is empty.")
    return batches


def placed(
    batches: Batches, device: torch.device, stage: str, progress: Progress | None
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The batches on the model's device, `progress` being told of each."""
    for number, (images, labels) in enumerate(batches):
        if progress is not None:
            progress(stage, number, len(batches))
        yield images.to(device), labels.to(device)
    if progress is not None:
        progress(stage, len(batches), len(batches))
