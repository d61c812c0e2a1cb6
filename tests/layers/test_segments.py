"""Cutting a model into a chain of segments, and passes over its parts."""

import pytest
import torch
import torchvision
from torch import nn

from fvm_core.layers.segments import segments_of
from fvm_core.layers.tapped import TappedModel
from fvm_core.models.build import build_model
from tests.cases import small_bn_cnn


def chain(model, example, cost):
    segments = segments_of(model, example, cost)
    values, seen = example, []
    for segment in segments:
        seen.append(values)
        values = segment.forward(values)
    return segments, seen, values


def test_a_plain_chain_is_cut_between_its_layers():
    model = small_bn_cnn()
    cost = {name: 1 for name, part in model.named_modules() if any(True for _ in part.parameters(False))}
    images = torch.randn(3, 1, 8, 8)
    segments, _, logits = chain(model, images, cost)
    assert torch.equal(logits, model(images))
    assert [sorted(segment.modules & cost.keys()) for segment in segments][-1] == ["9"]
    assert len(segments) == len(cost)
    assert sum(segment.uses("3.weight") for segment in segments) == 1


def test_no_cut_is_where_something_writes_into_the_tensor():
    """A ReLU in place after a BatchNorm would change what the next segment keeps as its input."""
    model = small_bn_cnn()
    cost = {name: 1 for name, part in model.named_modules() if any(True for _ in part.parameters(False))}
    images = torch.randn(3, 1, 8, 8)
    segments, seen, _ = chain(model, images, cost)
    kept = [values.clone() for values in seen]
    again = images
    for segment in segments:
        again = segment.forward(again)
    assert all(torch.equal(a, b) for a, b in zip(seen, kept, strict=True))


def test_residual_blocks_stay_whole():
    model = build_model("resnet18", 4, size=32).eval()
    tapped = TappedModel(model, torch.randn(2, 3, 32, 32))
    assert len(tapped.segments) == 10
    blocks = [
        {".".join(name.split(".")[:2]) for name in s.modules if name.startswith("layer")}
        for s in tapped.segments
    ]
    assert next(sorted(block) for block in blocks if block) == ["layer1.0"]
    assert all(len(block) <= 1 for block in blocks)
    assert abs(sum(tapped.segment_cost()) - 1) < 1e-9


class LooksAtValues(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x):
        x = self.one(x)
        return self.two(x if float(x.detach().abs().max()) >= 0 else -x)


class FixedBatch(nn.Module):
    """Tracing keeps the batch size that it has seen."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.two(torch.relu(self.one(x)).reshape(len(x), 5))


@pytest.mark.parametrize("model", [LooksAtValues(), FixedBatch()])
def test_what_cannot_be_traced_is_one_segment(model):
    tapped = TappedModel(model.eval(), torch.randn(4, 6))
    assert len(tapped.segments) == 1
    assert tapped.segments[0].forward is model
    assert set(tapped.taps) == {"one", "two"}


def test_parameters_of_two_segments_keep_the_model_whole():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
            self.two.weight = self.one.weight

        def forward(self, x):
            return self.head(torch.relu(self.two(torch.relu(self.one(x)))))

    tapped = TappedModel(Tied().eval(), torch.randn(4, 6))
    assert len(tapped.segments) == 1
    assert "one.weight" in tapped.leftover


@pytest.mark.parametrize(
    ("build", "aligned"),
    [
        (lambda: build_model("resnet18", 4, size=32), {"layer4.1.conv2", "layer4.1.bn2"}),
        (lambda: torchvision.models.VGG(small_vgg(), num_classes=4, init_weights=True), {"classifier.3"}),
        (small_bn_cnn, {"7"}),
    ],
)
def test_layers_aligned_with_the_head_are_found(build, aligned):
    model = build().eval()
    shape = (2, 1, 8, 8) if isinstance(model, nn.Sequential) else (2, 3, 32, 32)
    tapped = TappedModel(model, torch.randn(shape))
    assert {name for name, tap in tapped.taps.items() if tap.aligned} == aligned


def small_vgg():
    return nn.Sequential(nn.Conv2d(3, 512, 3, stride=4, padding=1), nn.ReLU(inplace=True))
