"""Which loaders are refused."""

import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from fvm_core.diagonal.loaders import refuse_shuffled
from fvm_core.errors import SaltflatError

DATA = TensorDataset(torch.zeros(6, 2), torch.zeros(6))


class Stream(IterableDataset):
    def __iter__(self):
        return iter(DATA)


def distributed(shuffle):
    return DistributedSampler(DATA, num_replicas=2, rank=0, shuffle=shuffle)


@pytest.mark.parametrize(
    ("loader", "name"),
    [
        (DataLoader(DATA, shuffle=True), "RandomSampler"),
        (DataLoader(DATA, batch_size=None, shuffle=True), "RandomSampler"),
        (DataLoader(DATA, sampler=WeightedRandomSampler([1.0] * 6, 6)), "WeightedRandomSampler"),
        (DataLoader(DATA, sampler=SubsetRandomSampler([0, 1])), "SubsetRandomSampler"),
        (DataLoader(DATA, sampler=distributed(True)), "DistributedSampler"),
        (DataLoader(DATA, batch_sampler=BatchSampler(RandomSampler(DATA), 2, False)), "RandomSampler"),
        (DataLoader(DATA, batch_sampler=BatchSampler(distributed(True), 2, False)), "DistributedSampler"),
    ],
)
def test_random_order_is_refused(loader, name):
    with pytest.raises(SaltflatError, match=rf"The val loader shuffles .*\({name}\).*shuffle=False"):
        refuse_shuffled(loader, "val")


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader(DATA),
        DataLoader(Subset(DATA, [4, 1])),
        DataLoader(DATA, batch_size=None),
        DataLoader(DATA, sampler=distributed(False)),
        DataLoader(DATA, batch_sampler=BatchSampler(SequentialSampler(DATA), 2, False)),
        DataLoader(DATA, batch_sampler=[[0, 1], [2, 3]]),
        DataLoader(Stream(), batch_size=2),
        [(torch.zeros(2, 2), torch.zeros(2))],
        iter([]),
    ],
)
def test_every_other_one_passes(loader):
    refuse_shuffled(loader, "train")
