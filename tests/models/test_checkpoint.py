import collections
import pickle
import random
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fvm_core.errors import SaltflatError
from fvm_core.models.checkpoint import load_weights, read_state_dict


def network(classes: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, classes))


def state(seed: int = 1) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return network().state_dict()


def assert_same(model: nn.Module, expected: dict[str, torch.Tensor]) -> None:
    for key, value in model.state_dict().items():
        assert torch.equal(value, expected[key]), key


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.bin", "w.safetensors", "legacy.pt"])
def test_every_kind_of_file(tmp_path, name):
    wanted, path = state(), tmp_path / name
    if name.endswith(".safetensors"):
        save_file(wanted, path)
    else:
        torch.save(wanted, path, _use_new_zipfile_serialization=name != "legacy.pt")
    model = network()
    load_weights(model, path)
    assert_same(model, wanted)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "module.module."])
def test_prefixes_are_cut_off(tmp_path, prefix):
    wanted = state()
    save_file({prefix + key: value for key, value in wanted.items()}, tmp_path / "w.safetensors")
    model = network()
    load_weights(model, str(tmp_path / "w.safetensors"))
    assert_same(model, wanted)


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda found: {"state_dict": found, "epoch": 90, "arch": "resnet18"},
        lambda found: {"model": found, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}},
        lambda found: {"model_state_dict": found, "loss": 0.5},
        lambda found: {"net": found, "acc": 93.1},
        lambda found: {"model": {"state_dict": found}},
        lambda found: collections.OrderedDict(found),
    ],
)
def test_wrapping_dictionaries_are_opened(tmp_path, wrapped):
    wanted = state()
    torch.save(wrapped(wanted), tmp_path / "w.pt")
    assert read_state_dict(tmp_path / "w.pt").keys() == wanted.keys()


def test_a_model_with_a_part_called_model_is_not_taken_for_a_wrapper(tmp_path):
    torch.save({"model.weight": torch.ones(2), "module.net.bias": torch.ones(1)}, tmp_path / "w.pt")
    assert list(read_state_dict(tmp_path / "w.pt")) == ["model.weight", "net.bias"]


def test_batch_counters_may_be_missing(tmp_path):
    wanted = {key: value for key, value in state().items() if not key.endswith("num_batches_tracked")}
    save_file(wanted, tmp_path / "w.safetensors")
    model = network()
    load_weights(model, tmp_path / "w.safetensors")
    assert torch.equal(model[3].weight, wanted["3.weight"])


def test_a_mismatch_is_a_table_and_changes_nothing(tmp_path):
    found = state()
    del found["0.bias"]
    found["extra.weight"] = torch.zeros(4, 2)
    found["3.weight"] = torch.zeros(10, 8)
    save_file(found, tmp_path / "w.safetensors")
    model = network()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(SaltflatError) as caught:
        load_weights(model, tmp_path / "w.safetensors")
    assert str(caught.value).splitlines() == [
        f"{tmp_path / 'w.safetensors'} does not fit the model:",
        "  missing in the file (1):",
        "    0.bias  model 2",
        "  not in the model (1):",
        "    extra.weight  file 4×2",
        "  other shape (1):",
        "    3.weight  model 3×8, file 10×8",
        "Choose the architecture, stem and classes with which the file was made.",
    ]
    assert_same(model, before)


def test_a_long_table_is_cut(tmp_path):
    save_file({f"w{number}": torch.zeros(1) for number in range(20)}, tmp_path / "w.safetensors")
    with pytest.raises(SaltflatError, match=r"not in the model \(20\)(.|\n)*and 12 more"):
        load_weights(network(), tmp_path / "w.safetensors")


class Malicious:
    """Unpickling this writes a file."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return Path.write_text, (self.target, "code ran")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("way", ["zip", "legacy", "pickle", "state"])
def test_code_in_a_file_never_runs(tmp_path, way):
    trap, path = Malicious(tmp_path / "ran"), tmp_path / "w.pt"
    if way == "pickle":
        path.write_bytes(pickle.dumps(trap))
    else:
        content = {"weight": torch.zeros(2), "trap": trap} if way == "state" else trap
        torch.save(content, path, _use_new_zipfile_serialization=way != "legacy")
    with pytest.raises(SaltflatError, match=r"w\.pt can't be read as weights.*would have to run their code"):
        read_state_dict(path)
    assert not (tmp_path / "ran").exists()
    pickle.loads(pickle.dumps(trap))
    assert (tmp_path / "ran").exists(), "the trap itself works"


def test_a_whole_model_object_is_refused(tmp_path):
    torch.save(network(), tmp_path / "w.pt")
    with pytest.raises(SaltflatError, match=r"Save it as torch\.save\(model\.state_dict\(\)"):
        read_state_dict(tmp_path / "w.pt")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello, this is text\n",
        b"{}",
        b"\x00" * 64,
        b"PK\x03\x04 broken zip",
        b"\x80\x02}q\x00.",
        b"\x80\x04K",
        b"(dp0\nS'a'\np1\nI1\ns.",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        bytes(range(256)),
        *[random.Random(seed).randbytes(200) for seed in range(20)],
        *[b"\x80\x02" + random.Random(seed).randbytes(50) for seed in range(20)],
    ],
)
def test_files_that_are_no_weights_are_refused(tmp_path, ending, content):
    path = tmp_path / f"w{ending}"
    path.write_bytes(content)
    with pytest.raises(SaltflatError, match=rf"w\{ending}"):
        read_state_dict(path)


def test_a_truncated_file_is_refused(tmp_path):
    for name in ("w.pt", "w.safetensors"):
        path = tmp_path / name
        save_file(state(), path) if name.endswith("safetensors") else torch.save(state(), path)
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(SaltflatError, match="can't be read as weights"):
            read_state_dict(path)


def test_other_zip_files_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("a/data.txt", "x")
    with pytest.raises(SaltflatError, match="can't be read as weights"):
        read_state_dict(tmp_path / "w.pt")


@pytest.mark.parametrize("content", [[torch.zeros(2)], {"epoch": 3, "name": "x"}, {}, torch.zeros(2), 5])
def test_files_without_named_tensors_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(SaltflatError, match="holds no"):
        read_state_dict(tmp_path / "w.pt")


def test_missing_files_and_folders_are_told(tmp_path):
    for path in (tmp_path / "none.pt", tmp_path):
        with pytest.raises(SaltflatError, match="There is no checkpoint"):
            read_state_dict(path)
