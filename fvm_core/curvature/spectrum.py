"""The largest curvature of a few minibatches, by power iteration."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import torch

from fvm_core.curvature.batches import Batches, Progress
from fvm_core.curvature.vectors import Vector, normal
from fvm_core.solvers.base import norm

Products = Callable[[list[Vector], torch.Tensor, torch.Tensor], list[Vector]]
"""From vectors, images and labels to the curvature of that minibatch times each vector."""


def largest_eigenvalue(
    products: Products,
    like: Vector,
    batches: Batches,
    *,
    minibatches: int = 4,
    iterations: int = 15,
    seed: int = 0,
    progress: Progress | None = None,
) -> float:
    """`max_b |λ|_max(C_b)` of the first minibatches: at least that of their mean.

    Each iteration `u ← C u/‖C u‖` gives a lower bound `‖C u‖` that grows quickly; a minibatch starts at
    the vector that the one before it found.

    Args:
        products: the curvature.
        like: names, shapes and places of the parameters.
        batches: (images, labels).
        minibatches: how many of them are asked.
        iterations: for each of them.
        seed: of the first vector.
        progress: told of every minibatch.
    """
    device = next(iter(like.values())).device
    vector = normal(like, torch.Generator().manual_seed(seed))
    largest = 0.0
    count = min(minibatches, len(batches))
    for number, (images, labels) in enumerate(islice(batches, count)):
        if progress is not None:
            progress("scale", number, count)
        for _ in range(iterations):
            length = norm(vector)
            if not length > 0:
                # The curvature vanishes along it; another start may see more.
                vector = normal(like, torch.Generator().manual_seed(seed + number + 1))
                length = norm(vector)
            unit = {name: value / length for name, value in vector.items()}
            (vector,) = products([unit], images.to(device), labels.to(device))
            largest = max(largest, float(norm(vector)))
    return largest
