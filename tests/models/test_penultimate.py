import pytest
import torch
from torch import nn

from fvm_core.models.build import build_model
from fvm_core.models.penultimate import last_linear, penultimate

HEADS = {
    "small_cnn": ("head", 128),
    "resnet18": ("fc", 512),
    "mobilenet_v3_small": ("classifier.3", 1024),
    "efficientnet_b0": ("classifier.1", 1280),
    "vit_b_32": ("heads.head", 768),
}


@pytest.mark.parametrize("name", list(HEADS))
def test_features_times_the_heads_weights_are_the_logits(name):
    torch.manual_seed(0)
    model = build_model(name, 5, size=32).eval()
    images = torch.randn(3, 3, 32, 32)
    where, width = HEADS[name]
    found, head = last_linear(model)
    assert (found, head) == (where, model.get_submodule(where))
    features = penultimate(model, images)
    assert features.shape == (3, width)
    assert not features.requires_grad
    torch.testing.assert_close(features @ head.weight.T + head.bias, model(images), rtol=1e-4, atol=1e-5)
    assert not head._forward_pre_hooks


def test_without_a_linear_layer_the_logits_are_the_features():
    model = build_model("squeezenet1_1", 4, size=32).eval()
    images = torch.randn(2, 3, 32, 32)
    assert last_linear(model) is None
    torch.testing.assert_close(penultimate(model, images), model(images).detach())


def test_the_hook_is_gone_after_an_error():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(2, 2)

        def forward(self, images):
            self.head(images)
            raise ZeroDivisionError

    model = Broken()
    with pytest.raises(ZeroDivisionError):
        penultimate(model, torch.zeros(1, 2))
    assert not model.head._forward_pre_hooks
