"""Channels last changes no value, and spares what it can't be."""

import pytest
import torch
from torch import nn

from fvm_core.models.build import build_model
from fvm_core.models.memory_format import channels_last


class Deep(nn.Module):
    """A picture taken for a film of one image: 2-D, then 3-D convolutions."""

    def __init__(self):
        super().__init__()
        self.flat, self.deep = nn.Conv2d(3, 8, 3, padding=1), nn.Conv3d(8, 4, 3, padding=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 4) values."""
        return self.deep(self.flat(images)[:, :, None]).flatten(2).mean(2)


@pytest.mark.parametrize("model", [Deep(), build_model("small_cnn", 4, channels=3, size=24), nn.Linear(4, 2)])
def test_values_stay(model):
    torch.manual_seed(0)
    model.eval()
    images = torch.randn(2, 4) if isinstance(model, nn.Linear) else torch.randn(2, 3, 24, 24)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    told = model(images)
    assert channels_last(model) is model
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.dim() != 4 or value.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(model(images), told, atol=1e-5)  # sums of some hundred terms in another order
