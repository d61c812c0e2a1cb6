"""Body and tail of a network, and what the engine makes of a tail."""

import copy

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torch.func import functional_call, grad, vmap

from fvm_core.diagonal.influence import DiagonalInfluence
from fvm_core.errors import SaltflatError
from fvm_core.layers.registry import kernel_for
from fvm_core.models.architecture import architecture
from fvm_core.models.build import build_model
from fvm_core.models.split import count_blocks, split

# Model, size of its images, how many blocks it has.
CASES = {
    "resnet18": (64, 8),
    "mobilenet_v3_small": (64, 11),
    "efficientnet_b0": (32, 16),
    "convnext_tiny": (32, 18),
    "swin_t": (64, 12),
    "densenet121": (32, 4),
    "vit_b_32": (64, 12),
    "timm:tf_efficientnet_lite0": (65, 16),
    "timm:resnet18": (64, 8),
    "timm:vit_tiny_patch16_224": (64, 12),
    "timm:convnext_atto": (64, 12),
    "timm:mobilenetv3_small_050": (64, 11),
}


def trained(name: str, size: int) -> nn.Module:
    """Random weights, with statistics in its BatchNorms that are not the initial ones."""
    torch.manual_seed(0)
    model = architecture(name, size, 5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    return model.eval()


@pytest.mark.parametrize("name", CASES)
def test_tail_of_body_is_the_model(name):
    size, count = CASES[name]
    model = trained(name, size)
    assert count_blocks(model) == count
    images, others = torch.randn(2, 3, size, size), torch.randn(5, 3, size, size)
    sizes = []
    for blocks in (1, 2, count):
        body, tail = split(model, blocks, images)
        assert not body.training and not any(module.training for module in tail.modules())
        with torch.no_grad():
            activation = body(others)
            assert activation.shape[0] == 5
            assert torch.equal(tail(activation), model(others))
        names = dict(tail.named_parameters())
        assert names and names.keys() <= dict(model.named_parameters()).keys()
        assert tail.state_dict().keys() <= model.state_dict().keys()
        assert all(model.get_parameter(key) is value for key, value in names.items())
        sizes.append(sum(p.numel() for p in names.values()))
        own, state = copy.deepcopy(tail), tail.state_dict()
        own.load_state_dict({key: torch.zeros_like(value) for key, value in state.items()})
        own.load_state_dict(state)
        with torch.no_grad():
            assert torch.equal(own(activation), tail(activation))
        assert not {id(p) for p in own.parameters()} & {id(p) for p in model.parameters()}
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]


@pytest.mark.parametrize("name", ["timm:tf_efficientnet_lite0", "timm:vit_tiny_patch16_224", "timm:resnet18"])
def test_a_built_model_can_be_cut_too(name):
    model = build_model(name, 3, size=64).eval()
    images = torch.randn(2, 3, 64, 64)
    body, tail = split(copy.deepcopy(model), 2, images)
    assert torch.equal(tail(body(images)), model(images))


@pytest.mark.parametrize("name", ["timm:tf_efficientnet_lite0", "timm:mobilenetv3_small_050"])
def test_the_tails_modules_with_parameters_are_layers_that_kernels_serve(name):
    size, _ = CASES[name]
    _, tail = split(trained(name, size), 3, torch.randn(2, 3, size, size))
    layers = [module for module in tail.modules() if any(True for _ in module.parameters(recurse=False))]
    assert {type(layer) for layer in layers} == {nn.Conv2d, nn.BatchNorm2d, nn.Linear}
    assert all(kernel_for(layer) is not None for layer in layers)


def test_the_tail_learns_like_the_model():
    """BatchNorm in training mode, with the statistics that it keeps."""
    model = trained("timm:tf_efficientnet_lite0", 64)
    images = torch.randn(4, 3, 64, 64)
    body, tail = split(copy.deepcopy(model), 16, images)
    stem = {name for name, _ in body.named_modules() if name}
    for module in (model, tail):
        module.train()
    for name in stem:
        model.get_submodule(name).eval()
    torch.testing.assert_close(tail(body(images)), model(images))
    for name, value in tail.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name])


@pytest.mark.parametrize(
    ("name", "blocks"),
    [("mobilenet_v3_small", 2), ("timm:tf_efficientnet_lite0", 2), ("timm:convnext_atto", 1)],
)
def test_the_engine_rates_samples_by_a_tail(name, blocks):
    size, _ = CASES[name]
    body, tail = split(trained(name, size), blocks, torch.randn(2, 3, size, size))
    with torch.no_grad():
        given, trusted = body(torch.randn(4, 3, size, size)), body(torch.randn(6, 3, size, size))
    labels, trusted_labels = torch.arange(4) % 5, torch.arange(6) % 5
    estimator = DiagonalInfluence(tail, given[:2], damping=1e-3, damping_kind="absolute")
    estimator.fit([(trusted, trusted_labels)])
    assert all("gamma" in one for one in estimator.tapped.leftover)  # ConvNeXt's raw parameters
    found, _ = estimator.score(given, labels)

    own = copy.deepcopy(tail).double()
    values = {key: p.detach() for key, p in own.named_parameters()}

    def loss(values, activation, label):
        return F.cross_entropy(functional_call(own, values, (activation[None],)), label[None])

    def squares(activations, labels):
        gradients = vmap(grad(loss), (None, 0, 0))(values, activations.double(), labels)
        return {key: value.square() for key, value in gradients.items()}

    fisher = {key: value.mean(0) for key, value in squares(trusted, trusted_labels).items()}
    wanted = sum(
        (value / (fisher[key] + 1e-3)).flatten(1).sum(1) for key, value in squares(given, labels).items()
    )
    torch.testing.assert_close(found.double(), wanted, rtol=1e-3, atol=0)


def test_what_cannot_be_cut_is_told():
    images = torch.randn(2, 3, 64, 64)
    with pytest.raises(SaltflatError, match=r"\(GoogLeNet\) has no blocks.*--train-part head"):
        split(build_model("googlenet", 3, size=64), 1, images)
    resnet = torchvision.models.resnet18()
    for blocks in (0, 9):
        with pytest.raises(SaltflatError, match=rf"last {blocks} blocks .* this model has 8\. Choose 1 to 8"):
            split(resnet, blocks, images)


class Looks(nn.Module):
    """A block whose forward pass looks at values."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return self.one(x) if x.sum() > 0 else self.two(x)


class Overwrites(Looks):
    def forward(self, x):
        return self.two(self.one(x.relu_()))


class Skips(nn.Module):
    """What goes around the last block can't be left to a body that gives one value."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Sequential(), Straight(), Straight()])

    def forward(self, x):
        first = self.blocks[1](x)
        return self.blocks[2](first + 1) + first


class Straight(Looks):
    def forward(self, x):
        return self.two(self.one(x))


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (nn.Sequential(Straight(), Looks()), "control flow"),
        (nn.Sequential(Straight(), Overwrites()), "writes into"),
        (Skips(), "2 values go into block"),
    ],
)
def test_reasons_why_a_cut_is_refused(model, reason):
    with pytest.raises(SaltflatError, match=rf"can't be cut before its last 1 blocks \(.*{reason}"):
        split(model, 1, torch.randn(2, 4))


def test_buffers_that_are_not_saved_stay_so():
    model = timm.create_model("swin_tiny_patch4_window7_224", img_size=56, num_classes=3).eval()
    images = torch.randn(2, 3, 56, 56)
    assert count_blocks(model) == 12
    _, tail = split(model, 1, images)
    assert any("relative_position_bias_table" in name for name, _ in tail.named_parameters())
    assert any("relative_position_index" in name for name, _ in tail.named_buffers())
    assert tail.state_dict().keys() <= model.state_dict().keys()
