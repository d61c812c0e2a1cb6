"""Finding, replacing and leaving out the last layer, for networks of both libraries."""

import copy

import pytest
import timm
import torch
from torch import nn

from fvm_core.errors import SaltflatError
from fvm_core.models.build import build_model
from fvm_core.models.head import find_head, replace_head, without_head

WIDTHS = {
    "small_cnn": 128,
    "resnet18": 512,
    "mobilenet_v3_small": 1024,
    "vit_b_32": 768,
    "googlenet": 1024,
    "timm:tf_efficientnet_lite0": 1280,
    "timm:resnet18": 512,
    "timm:mobilenetv3_small_050": 1024,
    "timm:convnext_atto": 320,
    "timm:vit_tiny_patch16_224": 192,
}


@pytest.mark.parametrize("name", WIDTHS)
def test_features_times_the_heads_weights_are_the_logits(name):
    torch.manual_seed(0)
    model = build_model(name, 5, size=64).eval()
    images = torch.randn(3, 3, 64, 64)
    _, head = find_head(model)
    assert head.out_features == 5
    body, width = without_head(copy.deepcopy(model))
    features = body(images)
    assert width == WIDTHS[name]
    assert features.shape == (3, width)
    torch.testing.assert_close(features @ head.weight.T + head.bias, model(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["convnext_atto", "vit_tiny_patch16_224", "tf_efficientnet_lite0"])
def test_timms_own_models_before_they_are_traced(name):
    model = timm.create_model(name, img_size=64) if name.startswith("vit") else timm.create_model(name)
    replace_head(model.eval(), 4)
    images = torch.randn(2, 3, 64, 64)
    logits = model(images)
    _, head = find_head(model)
    features = without_head(model)[0](images)
    torch.testing.assert_close(features @ head.weight.T + head.bias, logits, rtol=1e-4, atol=1e-5)


def test_a_model_of_timm_that_comes_without_a_head():
    model = timm.create_model("resnet18", num_classes=0).eval()
    body, width = without_head(model)
    assert body(torch.zeros(1, 3, 64, 64)).shape == (1, width) == (1, 512)


@pytest.mark.parametrize("name", ["squeezenet1_1", "timm:deit_tiny_distilled_patch16_224"])
def test_logits_that_come_from_something_else_than_one_linear_are_refused(name):
    if name.startswith("timm:"):
        model = timm.create_model(name.removeprefix("timm:"), img_size=32)
    else:
        model = build_model(name, 3, size=64)
    with pytest.raises(SaltflatError, match=r"does not end with one Linear layer.*such as timm:tf_effi"):
        without_head(model)


def test_a_model_without_layers_has_no_head_to_replace():
    with pytest.raises(SaltflatError, match=r"\(Flatten\) has no last layer"):
        replace_head(nn.Flatten(), 3)
