"""A small convolutional network for tiny images."""

from __future__ import annotations

import torch
from torch import nn


class SmallCNN(nn.Module):
    """Convolutions in pairs with max-pooling, then 128 hidden units.

    Up to 16 px one pair (32, 64 channels) without normalisation; above, a second pair (128, 128) and
    BatchNorm after every convolution. Whatever the input's size, 4×4 positions reach the hidden layer.

    Args:
        num_classes: K.
        channels: 1 or 3.
        size: height and width of the input in pixels.
    """

    def __init__(self, num_classes: int, channels: int = 3, size: int = 32):
        super().__init__()
        deep = size > 16
        layers: list[nn.Module] = []
        before = channels
        for pair in [(32, 64), (128, 128)][: 2 if deep else 1]:
            for width in pair:
                layers.append(nn.Conv2d(before, width, 3, padding=1, bias=not deep))
                if deep:
                    layers.append(nn.BatchNorm2d(width))
                layers.append(nn.ReLU())
                before = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten())
        self.hidden = nn.Sequential(nn.Linear(before * 16, 128), nn.ReLU())
        self.head = nn.Linear(128, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (B, K) for images (B, channels, H, W)."""
        return self.head(self.hidden(self.features(images)))
