"""What the model says of every sample while it is trained, averaged over the epochs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from fvm_core.atomic import replacing
from fvm_core.errors import SaltflatError

FOLDER = "dynamics"
MOST_VALUES = 100_000_000
"""Samples × classes above which nothing is kept: 400 MB for each of the two means."""

NAMES = {"aum": "margins", "epoch_margin": "probabilities"}
"""Which mean each estimator is given."""


class Dynamics:
    """Sums over epochs of margins and probabilities as the batches of training saw them.

    Args:
        samples: N + Q; classes: K; device: where the sums are kept, that of the model.
    """

    def __init__(self, samples: int, classes: int, device: str = "cpu"):
        self._device = device
        self._sums = {name: torch.zeros(samples, classes, device=device) for name in NAMES.values()}

    @torch.no_grad()
    def add(self, rows: np.ndarray, logits: torch.Tensor) -> None:
        """Take one batch: logits (B, K) of these rows."""
        z = logits.detach().float()
        first, second = z.topk(2, dim=1).values.split(1, dim=1)
        best = torch.arange(z.shape[1], device=z.device) == z.argmax(1, keepdim=True)
        index = torch.from_numpy(rows).to(self._device)
        self._sums["margins"][index] += z - torch.where(best, second, first)
        self._sums["probabilities"][index] += z.softmax(1)

    def state(self) -> dict[str, torch.Tensor]:
        """The sums, for a stage that is stopped."""
        return dict(self._sums)

    def restored(self, state: dict[str, torch.Tensor]) -> bool:
        """Take the sums that `state` gave; False where they are not there."""
        if not all(name in state for name in self._sums):
            return False
        self._sums = {name: state[name].to(self._device) for name in self._sums}
        return True

    def write(self, run: Path, epochs: int, rows: np.ndarray) -> None:
        """Store `dynamics/margins.npy` and `probabilities.npy` (N + Q, K), NaN for samples not in `rows`."""
        (run / FOLDER).mkdir(exist_ok=True)
        for name, values in self._sums.items():
            found = np.full(tuple(values.shape), np.nan, dtype=np.float32)
            found[rows] = values.cpu().numpy()[rows] / epochs
            with replacing(run / FOLDER / f"{name}.npy") as temporary:
                np.save(temporary, found, allow_pickle=False)


def kept_for(samples: int, classes: int, epochs: int, device: str) -> Dynamics | None:
    """Where to add, None where there is nothing to average or it would be too much."""
    if not epochs or samples * classes > MOST_VALUES:
        return None
    return Dynamics(samples, classes, device)


def read(run: Path, estimator: str, title: str) -> np.ndarray:
    """(N + Q, K) that an estimator is given; raises `SaltflatError` where training has not kept it."""
    path = run / FOLDER / f"{NAMES[estimator]}.npy"
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        raise SaltflatError(
            f"{title} needs what training says of every sample ({path}), which this run has not kept: it is "
            "of an earlier version, or samples times classes are above 100 million. Start a new run."
        ) from None
