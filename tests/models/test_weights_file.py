"""Backbones from files whose names, order or classes are not the library's."""

from collections import OrderedDict

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fvm_core.errors import SaltflatError
from fvm_core.models.weights_file import load_backbone


class Network(nn.Module):
    def __init__(self, classes: int = 4):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, classes)

    def forward(self, x):
        return self.fc(self.norm(self.conv(x)).mean((2, 3)))


def state(classes: int = 4) -> dict[str, torch.Tensor]:
    torch.manual_seed(7)
    return {
        name: torch.randn_like(value.float()) for name, value in Network(classes).state_dict().items()
    } | {"norm.num_batches_tracked": torch.tensor(3)}


def renamed(tensors: dict[str, torch.Tensor]) -> OrderedDict[str, torch.Tensor]:
    names = {"conv": "_stem", "norm": "_bn0", "fc": "_head"}
    return OrderedDict(
        (f"{names[key.split('.')[0]]}.{key.split('.')[1]}", value) for key, value in tensors.items()
    )


def assert_taken(model: nn.Module, wanted: dict[str, torch.Tensor], but: tuple[str, ...] = ()) -> None:
    for name, value in model.state_dict().items():
        if name not in but and "num_batches" not in name:
            assert torch.equal(value, wanted[name]), name


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_by_name(tmp_path, ending):
    path, wanted, model = tmp_path / f"w.{ending}", state(), Network()
    save_file(wanted, path) if ending == "safetensors" else torch.save({"model": wanted}, path)
    assert load_backbone(model, path) == str(path)
    assert_taken(model, wanted)


@pytest.mark.parametrize("counters", [True, False])
def test_by_order_where_the_names_are_others(tmp_path, counters):
    wanted, model = state(), Network()
    found = renamed(wanted)
    if not counters:
        del found["_bn0.num_batches_tracked"]
    torch.save(found, tmp_path / "w.pth")
    assert load_backbone(model, tmp_path / "w.pth").endswith("w.pth, its tensors taken in their order")
    assert_taken(model, wanted)


def test_sorted_names_would_exchange_tensors_of_one_shape_and_are_refused(tmp_path):
    found = renamed(state())
    torch.save(
        {name: found[name] for name in ["_stem.weight", *sorted(found)[:4], "_head.weight", "_head.bias"]},
        tmp_path / "w.pt",
    )
    with pytest.raises(SaltflatError, match=r"does not fit the model(.|\n)*_bn0\.bias"):
        load_backbone(Network(), tmp_path / "w.pt")


@pytest.mark.parametrize("names", [dict, renamed])
def test_a_head_for_other_classes_is_left_out_and_told(tmp_path, names):
    wanted, model = state(9), Network()
    torch.save(names(wanted), tmp_path / "w.pt")
    assert load_backbone(model, tmp_path / "w.pt").endswith(", without its classifier of 9 classes")
    assert_taken(model, wanted, but=("fc.weight", "fc.bias"))
    assert not model.fc.weight.any() and not model.fc.bias.any()


def test_a_file_without_a_head(tmp_path):
    wanted, model = state(), Network()
    torch.save(
        {name: value for name, value in wanted.items() if not name.startswith("fc")}, tmp_path / "w.pt"
    )
    assert load_backbone(model, tmp_path / "w.pt").endswith("w.pt, without its classifier, which it lacks")
    assert_taken(model, wanted, but=("fc.weight", "fc.bias"))


def test_auxiliary_heads_are_passed_over(tmp_path):
    wanted, model = state(), Network()
    torch.save(wanted | {"aux1.fc.weight": torch.zeros(2)}, tmp_path / "w.pt")
    load_backbone(model, tmp_path / "w.pt")
    assert_taken(model, wanted)


def test_other_networks_are_refused_with_a_table_and_nothing_changes(tmp_path):
    model, other = Network(), state()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    other["conv.weight"] = torch.zeros(4, 3, 5, 5)
    other["extra.weight"] = torch.zeros(2)
    torch.save(other, tmp_path / "w.pt")
    with pytest.raises(SaltflatError) as caught:
        load_backbone(model, tmp_path / "w.pt")
    assert "extra.weight  file 2" in str(caught.value)
    assert "conv.weight  model 4×3×3×3, file 4×3×5×5" in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
