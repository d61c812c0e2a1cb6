from urllib.error import URLError

import pytest
import torch
import torchvision
from torch import nn

from fvm_core.errors import SaltflatError
from fvm_core.models.architecture import architecture
from fvm_core.models.build import build_model, model_names

FAMILIES = [
    "resnet18",
    "mobilenet_v3_small",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "mnasnet0_5",
    "efficientnet_b0",
]


def test_names_are_the_small_cnn_torchvisions_classifiers_and_timms():
    names = model_names()
    assert names[0] == "small_cnn"
    assert {"resnet18", "resnet34", "vit_b_16", "googlenet"} <= set(names)
    assert {"timm:resnet18", "timm:tf_efficientnet_lite0"} <= set(names)
    names = [name for name in names if not name.startswith("timm:")]
    assert not any("deeplab" in name or "r3d" in name or "quantized" in name for name in names)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_head_has_one_output_a_class(name):
    model = build_model(name, 7, size=32)
    assert model.training
    assert model.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 7)


@pytest.mark.parametrize(("size", "channels", "norms"), [(8, 1, 0), (16, 3, 0), (17, 1, 4), (32, 3, 4)])
def test_small_cnn_for_every_size_and_channel(size, channels, norms):
    model = build_model("small_cnn", 5, channels=channels, size=size)
    assert model(torch.zeros(2, channels, size, size)).shape == (2, 5)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in model.modules()) == norms
    assert model.hidden[0].in_features == (64 if size <= 16 else 128) * 16


@pytest.mark.parametrize(
    ("stem", "size", "tiny"),
    [
        ("auto", 32, True),
        ("auto", 64, True),
        ("auto", 65, False),
        ("cifar", 96, True),
        ("imagenet", 32, False),
    ],
)
def test_the_stem_of_resnets(stem, size, tiny):
    model = build_model("resnet18", 10, size=size, stem=stem)
    convolution = model.conv1
    assert (convolution.kernel_size, convolution.stride) == (((3, 3), (1, 1)) if tiny else ((7, 7), (2, 2)))
    assert isinstance(model.maxpool, nn.Identity if tiny else nn.MaxPool2d)
    assert model.fc.out_features == 10


def test_resnet18_with_the_cifar_stem_has_the_parameters_of_the_papers_model():
    assert sum(p.numel() for p in build_model("resnet18", 10, size=32).parameters()) == 11_173_962


def test_a_seed_gives_the_same_weights():
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(build_model("shufflenet_v2_x0_5", 4, size=32).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_a_trial_of_the_size_leaves_no_trace():
    model = build_model("resnet18", 4, size=32)
    assert int(model.bn1.num_batches_tracked) == 0
    assert float(model.bn1.running_mean.abs().max()) == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "resnet19"}, r"no model `resnet19`\. Do you mean resnet18.*Known: small_cnn, alexnet"),
        ({"name": "resnet18", "channels": 1}, "3 channels, not 1"),
        ({"name": "small_cnn", "pretrained": True}, "no ImageNet weights"),
        ({"name": "alexnet", "size": 32}, "`alexnet` can't take images of 32 × 32"),
        ({"name": "vit_b_32", "size": 40}, "`vit_b_32` can't take images of 40 × 40"),
    ],
)
def test_what_cannot_be_built_is_told(options, message):
    with pytest.raises(SaltflatError, match=message):
        build_model(num_classes=3, **options)


def test_a_vision_transformer_takes_the_size_of_the_images():
    model = build_model("vit_b_32", 3, size=64)
    assert model.image_size == 64
    assert model.encoder.pos_embedding.shape[1] == 1 + 4


@pytest.mark.parametrize(
    "error", [URLError("no network"), ConnectionResetError("reset"), TimeoutError("slow")]
)
def test_offline_weights_give_a_clear_message(monkeypatch, tmp_path, error):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def fail(*_args, **_options):
        raise error

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(
        SaltflatError, match=r"weights of `resnet18` can't be downloaded.*Go online"
    ) as caught:
        build_model("resnet18", 3, pretrained=True)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(("name", "size"), [("resnet18", 224), ("googlenet", 224)])
def test_downloaded_weights_are_used_and_the_head_is_new(monkeypatch, tmp_path, name, size):
    """The download is replaced by weights that are made here."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    options = {"init_weights": False} if name == "googlenet" else {}
    source = torchvision.models.get_model(name, **options)

    def download(_url, target, *_args, **_options):
        torch.save(source.state_dict(), target)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    monkeypatch.setattr(
        "torchvision.models._api.WeightsEnum.get_state_dict", lambda _self, **_options: source.state_dict()
    )
    model = build_model(name, 3, size=size, pretrained=True)
    assert torch.equal(next(model.parameters()), next(source.parameters()))
    assert model.eval()(torch.zeros(1, 3, size, size)).shape == (1, 3)
    assert not any(key.startswith("aux") for key, _ in model.named_parameters())


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("timm:resnet18", 40),
        ("timm:tf_efficientnet_lite0", 65),
        ("timm:vit_tiny_patch16_224", 48),
        ("timm:mobilenetv3_small_050", 32),
        ("timm:swin_tiny_patch4_window7_224", 56),
    ],
)
def test_models_of_timm(name, size):
    """Traced to plain layers, with timm's values and names."""
    torch.manual_seed(2)
    model = build_model(name, 6, size=size)
    assert model.training
    torch.manual_seed(2)
    bare = architecture(name, size, 6).eval()
    assert model.state_dict().keys() == bare.state_dict().keys()
    assert all(torch.equal(value, bare.state_dict()[key]) for key, value in model.state_dict().items())
    images = torch.randn(3, 3, size, size)
    assert torch.equal(model.eval()(images), bare(images))
    if "lite0" in name:
        assert not any(
            type(module).__module__.startswith("timm")
            for module in model.modules()
            if list(module.parameters(recurse=False))
        )


def test_a_model_whose_output_is_no_row_a_class_is_refused(monkeypatch):
    class Maps(nn.Conv2d):
        pass

    monkeypatch.setattr("fvm_core.models.build.architecture", lambda *_arguments: Maps(3, 4, 1))
    with pytest.raises(SaltflatError, match=r"`timm:resnet18` gives shape \(1, 4, 8, 8\) for one image"):
        build_model("timm:resnet18", 4, size=8)


def test_names_without_their_prefix_are_recognised():
    with pytest.raises(SaltflatError, match=r"no model `tf_efficientnet_lite0`\. Do you mean timm:tf_effi"):
        build_model("tf_efficientnet_lite0", 3)
    with pytest.raises(SaltflatError, match=r"no model `timm:hf_hub:a/b`.*listed by"):
        build_model("timm:hf_hub:a/b", 3)
    assert build_model("timm:resnet18.a1_in1k", 3, size=32).eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 3)
