"""From stored pixels to what the model sees."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from fvm_core.data.pixels import Pixels


@dataclass(frozen=True)
class InputSpec:
    """Size and normalisation of the model's input: `(pixel/255 − mean) / std` per channel.

    `crop` is the share of the side that is kept and `interpolation` how images are scaled, which weights
    that were trained elsewhere say.
    """

    channels: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop: float = 1.0
    interpolation: str = "bilinear"

    def to_dict(self) -> dict:
        """Plain values for `run.json`."""
        return {
            "channels": self.channels,
            "size": self.size,
            "mean": list(self.mean),
            "std": list(self.std),
            "crop": self.crop,
            "interpolation": self.interpolation,
        }


class Samples(ABC):
    """Images, or features of images, with labels by row."""

    labels: torch.Tensor
    device: str

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def images(self, rows: np.ndarray) -> torch.Tensor:
        """What the model takes: normalised float images (B, C, H, W), or features (B, …)."""

    @abstractmethod
    def targets(self, rows: np.ndarray) -> torch.Tensor:
        """Labels (B,) on the device."""

    @abstractmethod
    def usable(self) -> np.ndarray:
        """Rows with an image and a label that are not held back, ascending."""

    def batches(self, rows: np.ndarray, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """(images, labels) in order."""
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            yield self.images(part), self.targets(part)


class OneSet(Samples):
    """The samples of one dataset, of which some may be held back.

    Args:
        labels: (N,) class indices; readable: (N,) which samples can be used at all; device: where to.
    """

    def __init__(self, labels: np.ndarray, readable: np.ndarray, device: str):
        self.labels = torch.from_numpy(np.asarray(labels, dtype=np.int64))
        self.readable = np.asarray(readable, dtype=bool)
        self.device = device
        self._held = np.zeros(len(self.labels), dtype=bool)

    def targets(self, rows: np.ndarray) -> torch.Tensor:
        """Labels (B,) on the device."""
        return self.labels[torch.from_numpy(rows)].to(self.device)

    def usable(self) -> np.ndarray:
        """Rows with an image and a label that are not held back, ascending."""
        return np.flatnonzero(self.readable & ~self._held & (self.labels.numpy() >= 0))

    def hold_back(self, rows: np.ndarray) -> None:
        """Leave these rows out of `usable` from now on."""
        self._held[rows] = True


class Features(OneSet):
    """Features and labels of one dataset on one device.

    On CUDA all features go to the device once if they take at most a quarter of the free memory.

    Args:
        values: (N, …) half precision, usually memory-mapped; labels, readable, device: see `OneSet`.
    """

    def __init__(self, values: np.ndarray, labels: np.ndarray, readable: np.ndarray, device: str):
        super().__init__(labels, readable, device)
        self.values = values
        self._resident: torch.Tensor | None = None
        if device == "cuda" and values.nbytes < torch.cuda.mem_get_info()[0] // 4:
            self._resident = torch.from_numpy(np.asarray(values)).to(device)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample's features."""
        return self.values.shape[1:]

    def images(self, rows: np.ndarray) -> torch.Tensor:
        """Features (B, …) in single precision."""
        if self._resident is not None:
            return self._resident[torch.from_numpy(rows).to(self.device)].float()
        return torch.from_numpy(self.values[rows]).to(self.device).float()


class Inputs(OneSet):
    """Images and labels of one dataset on one device.

    On CUDA the whole uint8 tensor goes to the device once if it takes at most a quarter of the free
    memory; batches are then made there.

    Args:
        pixels: the decoded images; labels: (N,) class indices; spec: normalisation; device: where to.
    """

    def __init__(self, pixels: Pixels, labels: np.ndarray, spec: InputSpec, device: str):
        super().__init__(labels, pixels.readable, device)
        self.spec = spec
        self._pixels = pixels
        self._resident: torch.Tensor | None = None
        if device == "cuda" and pixels.cached:
            whole = pixels.tensor()
            if whole.numel() < torch.cuda.mem_get_info()[0] // 4:
                self._resident = whole.to(device)
        shape = (1, spec.channels, 1, 1)
        self._mean = torch.tensor(spec.mean, device=device).reshape(shape)
        self._std = torch.tensor(spec.std, device=device).reshape(shape)

    def images(self, rows: np.ndarray) -> torch.Tensor:
        """Normalised float images (B, C, H, W)."""
        if self._resident is not None:
            raw = self._resident[torch.from_numpy(rows).to(self.device)]
        else:
            raw = self._pixels.batch(rows).to(self.device, non_blocking=True)
        return (raw.float().div_(255) - self._mean) / self._std


class WithPlanted(Samples):
    """The training samples, and after them planted ones: images of the validation set with other labels.

    Args:
        train: the training samples, rows 0 to N − 1.
        val: where the planted images are.
        rows: (Q,) their rows in `val`; they come as rows N to N + Q − 1 here.
        labels: (Q,) the labels that they are given.
    """

    def __init__(self, train: OneSet, val: OneSet, rows: np.ndarray, labels: np.ndarray):
        self._train, self._val, self._rows = train, val, np.asarray(rows, dtype=np.int64)
        self.device = train.device
        self.labels = torch.cat([train.labels, torch.from_numpy(np.asarray(labels, dtype=np.int64))])

    def images(self, rows: np.ndarray) -> torch.Tensor:
        """Normalised float images (B, C, H, W)."""
        planted = rows >= len(self._train)
        if not planted.any():
            return self._train.images(rows)
        first = self._val.images(self._rows[rows[planted] - len(self._train)])
        found = first.new_empty(len(rows), *first.shape[1:])
        found[torch.from_numpy(planted)] = first
        if not planted.all():
            found[torch.from_numpy(~planted)] = self._train.images(rows[~planted])
        return found

    def targets(self, rows: np.ndarray) -> torch.Tensor:
        """Labels (B,) on the device."""
        return self.labels[torch.from_numpy(rows)].to(self._train.device)

    def usable(self) -> np.ndarray:
        """Usable training rows, then all planted ones."""
        planted = np.arange(len(self._train), len(self))
        return np.concatenate([self._train.usable(), planted])


def augmented(images: torch.Tensor, generator: torch.Generator, padding: int = 4) -> torch.Tensor:
    """Random crop after padding, and random horizontal flip, one draw per image (paper, appendix B.1)."""
    batch, _channels, height, width = images.shape
    draws = torch.rand(3, batch, generator=generator).to(images.device)
    padded = torch.nn.functional.pad(images, [padding] * 4)
    top = (draws[0] * (2 * padding + 1)).long()
    left = (draws[1] * (2 * padding + 1)).long()
    rows = top[:, None] + torch.arange(height, device=images.device)
    columns = left[:, None] + torch.arange(width, device=images.device)
    columns = torch.where(draws[2][:, None] < 0.5, columns, columns.flip(1))
    index = torch.arange(batch, device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
