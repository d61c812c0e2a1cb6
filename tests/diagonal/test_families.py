"""Small networks of the families that torchvision offers, against the float64 reference."""

from functools import partial

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.efficientnet import FusedMBConvConfig, MBConvConfig
from torchvision.models.mobilenetv3 import InvertedResidualConfig
from torchvision.models.regnet import BlockParams, RegNet
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.models.vgg import make_layers

from fvm_core.diagonal.influence import DiagonalInfluence
from tests.cases import reference_influence

CLASSES = 4
DAMPING = 0.1


def resnet(block, **options):
    """Without the two wide stages."""
    model = models.ResNet(block, [1, 1, 1, 1], **options)
    model.layer3 = model.layer4 = nn.Identity()
    model.fc = nn.Linear(128 * block.expansion, CLASSES)
    return model


def vgg():
    """With a small classifier; its own takes half a gigabyte."""
    with torch.device("meta"):
        model = models.VGG(nn.Identity())
    model.features = make_layers([8, "M", 16, "M", 16, 16, "M"], batch_norm=True)
    model.classifier = nn.Sequential(
        nn.Linear(16 * 49, 32), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(32, CLASSES)
    )
    return model


FAMILIES = {
    "resnet": lambda: resnet(BasicBlock),
    "resnext": lambda: resnet(Bottleneck, groups=4, width_per_group=4),
    "vgg": vgg,
    "mobilenet v3": lambda: models.MobileNetV3(
        [
            InvertedResidualConfig(16, 3, 16, 16, True, "RE", 2, 1, 1),
            InvertedResidualConfig(16, 3, 32, 24, False, "RE", 2, 1, 1),
            InvertedResidualConfig(24, 5, 48, 24, True, "HS", 1, 2, 1),
        ],
        last_channel=32,
        num_classes=CLASSES,
    ),
    "efficientnet": lambda: models.EfficientNet(
        [MBConvConfig(1, 3, 1, 16, 8, 1, 1.0, 1.0), MBConvConfig(4, 5, 2, 8, 16, 2, 1.0, 1.0)],
        dropout=0.2,
        num_classes=CLASSES,
        last_channel=32,
    ),
    "efficientnet v2": lambda: models.EfficientNet(
        [FusedMBConvConfig(2, 3, 1, 8, 8, 1), MBConvConfig(4, 3, 2, 8, 16, 2)],
        dropout=0.2,
        num_classes=CLASSES,
        last_channel=32,
    ),
    "convnext": lambda: models.ConvNeXt(
        [CNBlockConfig(8, 16, 1), CNBlockConfig(16, 24, 2), CNBlockConfig(24, None, 1)], num_classes=CLASSES
    ),
    "vit": lambda: models.VisionTransformer(
        image_size=32,
        patch_size=8,
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        mlp_dim=32,
        num_classes=CLASSES,
    ),
    "swin": lambda: models.SwinTransformer(
        [4, 4], embed_dim=12, depths=[2, 2], num_heads=[2, 2], window_size=[4, 4], num_classes=CLASSES
    ),
    "regnet": lambda: RegNet(
        BlockParams([1, 2], [16, 24], [8, 8], [1.0, 1.0], [2, 2], se_ratio=0.25),
        num_classes=CLASSES,
        stem_width=8,
        norm_layer=partial(nn.BatchNorm2d, eps=1e-5, momentum=0.1),
    ),
    "densenet": lambda: models.DenseNet(
        growth_rate=8, block_config=(2, 2), num_init_features=16, num_classes=CLASSES
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_influence_equals_the_float64_reference(family):
    torch.manual_seed(0)
    model = FAMILIES[family]()
    lively(model)
    images, val_images = torch.randn(2, 3, 32, 32), torch.randn(6, 3, 32, 32)
    labels, val_labels = torch.tensor([0, 3]), torch.arange(6) % CLASSES
    estimator = DiagonalInfluence(model, val_images, damping=DAMPING).fit(
        [(val_images[:4], val_labels[:4]), (val_images[4:], val_labels[4:])]
    )
    assert set(estimator.fisher) == {name for name, _ in model.named_parameters()}

    wanted = torch.stack(
        [
            reference_influence(model, images, torch.full((2,), k), val_images, val_labels, DAMPING)
            for k in range(CLASSES)
        ],
        1,
    )
    found, _loss = estimator.score(images, labels)
    torch.testing.assert_close(found.double(), wanted[[0, 1], labels], rtol=1e-4, atol=0)
    every = estimator.score_all_labels(images, exact=None)
    assert every.exact.all()
    torch.testing.assert_close(every.values.double(), wanted, rtol=1e-4, atol=0)
    two = estimator.score_all_labels(images, exact=2)
    assert torch.equal(two.smallest(2)[1], wanted.topk(2, largest=False).indices)
    torch.testing.assert_close(two.values[two.exact].double(), wanted[two.exact], rtol=1e-4, atol=0)
    assert (two.values.double() <= wanted * (1 + 1e-4)).all(), "the others are lower bounds"


def lively(model):
    """Move weights and running statistics off their initial values, then evaluation mode.

    A head of zeros (ViT) or a layer scale of 1e-6 (ConvNeXt) would hide all gradients behind it.
    """
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    model.train()
    with torch.no_grad():
        for _ in range(10):
            model(torch.randn(8, 3, 32, 32))
    model.eval()
