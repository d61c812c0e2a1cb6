import numpy as np
import pytest
from PIL import Image, ImageEnhance

from fvm_core.data.measures import measure
from fvm_core.data.near_duplicates import DISTANCE, near_duplicates

from .images import picture


def hashes(count, seed=0):
    draw = np.random.default_rng(seed)
    return draw.integers(0, 2**64, (count, 2), dtype=np.uint64), np.full((count, 3), 100, np.uint8)


def flipped(look, bits, seed=0):
    look = look.copy()
    for bit in np.random.default_rng(seed).choice(128, bits, replace=False):
        look[bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    return look


@pytest.mark.parametrize("bits", [0, 1, DISTANCE, DISTANCE + 1])
@pytest.mark.parametrize("seed", range(5))
def test_every_pair_within_the_distance_is_found(bits, seed):
    looks, colours = hashes(3000, seed)
    looks[2000] = flipped(looks[17], bits, seed)
    found = near_duplicates(looks, colours)
    assert [group.tolist() for group in found] == ([[17, 2000]] if bits <= DISTANCE else [])


def test_groups_are_joined_and_colours_told_apart():
    looks, colours = hashes(50)
    for row in (10, 20, 30):
        looks[row] = flipped(looks[5], 2, row)
    looks[40] = looks[7]
    colours[40] = [100, 100, 180]
    assert [group.tolist() for group in near_duplicates(looks, colours)] == [[5, 10, 20, 30]]
    assert near_duplicates(looks[:1], colours[:1]) == []
    assert near_duplicates(looks[:0], colours[:0]) == []


def test_many_equal_ones_cost_no_more_than_their_number():
    looks, colours = hashes(200_000)
    looks[:100_000] = looks[0]
    (group,) = near_duplicates(looks, colours)
    assert len(group) == 100_000


def smooth(seed, size=200):
    return picture(seed, 8, 8).resize((size, size), Image.Resampling.BICUBIC)


def test_the_same_picture_saved_otherwise_looks_the_same():
    ours = [smooth(seed) for seed in range(20)]
    others = [ImageEnhance.Brightness(image.resize((90, 90))).enhance(1.1) for image in ours]
    measures = np.array([measure(image) for image in [*ours, *others]])
    found = near_duplicates(measures["looks"], measures["colour"])
    assert [group.tolist() for group in found] == [[row, row + 20] for row in range(20)]
