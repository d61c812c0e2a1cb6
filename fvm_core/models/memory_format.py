"""The order of an image's values in memory that convolutions are fastest with."""

from __future__ import annotations

import torch
from torch import nn


def channels_last(model: nn.Module) -> nn.Module:
    """The same model with its 4-D parameters and buffers (of 2-D convolutions) stored channels last.

    `nn.Module.to(memory_format=...)` refuses models that hold 5-D ones too, such as 3-D convolutions; these
    stay as they are here. The values do not change.
    """
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.dim() == 4:
                tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
    return model
