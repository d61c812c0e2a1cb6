"""Checks of loaders: whether they keep the order, and every sample."""

from __future__ import annotations

from collections.abc import Sized

from torch.utils.data import (
    DataLoader,
    DistributedSampler,
    RandomSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from fvm_core.errors import SaltflatError

_RANDOM = (RandomSampler, WeightedRandomSampler, SubsetRandomSampler)


def refuse_shuffled(loader: object, what: str) -> None:
    """Refuse a DataLoader that draws at random: its scores could not be matched with the samples.

    Other iterables pass, their order being unknown, and so do samplers of the user's own.

    Args:
        loader: what is iterated over for (images, labels).
        what: its name for the message, `train` or `val`.

    Raises:
        SaltflatError: its sampler, or that of its batch sampler, is one of torch's random ones.
    """
    if not isinstance(loader, DataLoader):
        return
    for sampler in (loader.sampler, getattr(loader.batch_sampler, "sampler", None)):
        shuffles = isinstance(sampler, DistributedSampler) and sampler.shuffle
        if shuffles or isinstance(sampler, _RANDOM):
            raise SaltflatError(
                f"The {what} loader shuffles its samples ({type(sampler).__name__}), so scores could not be "
                f"matched with them. Build it with shuffle=False and no random sampler; "
                f"torch.utils.data.Subset takes a part in a fixed order."
            )


def refuse_dropping(loader: object, what: str) -> None:
    """Refuse a DataLoader that leaves the last samples out.

    Args:
        loader: what is iterated over for (images, labels).
        what: its name for the message.

    Raises:
        SaltflatError: `drop_last` is set and the last batch is not full.
    """
    if not (isinstance(loader, DataLoader) and loader.drop_last and loader.batch_size):
        return
    count = len(loader.sampler) if isinstance(loader.sampler, Sized) else 0
    left = count % loader.batch_size
    if left:
        raise SaltflatError(
            f"The {what} loader leaves out the last {left} of its {count} samples. Build it "
            "with drop_last=False."
        )
