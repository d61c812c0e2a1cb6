import pytest
import torch
from torch import nn

from fvm_core.layers.eager import eager, unwrapped

SWITCHES = {
    "attention": lambda: torch.backends.mha.get_fastpath_enabled(),
    "cuDNN": lambda: torch.backends.cudnn.enabled,
    "TF32 in convolutions": lambda: torch.backends.cudnn.allow_tf32,
    "TF32 in products": lambda: torch.backends.cuda.matmul.allow_tf32,
}


def state():
    return {name: read() for name, read in SWITCHES.items()}


@pytest.fixture
def tf32():
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    yield
    torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize("recurrent", [False, True])
def test_full_precision_and_nothing_fused_inside_and_all_back_after_it(recurrent, tf32):
    model = nn.GRU(2, 2) if recurrent else nn.Linear(2, 2)
    before = state()
    with pytest.raises(KeyError), eager(model):
        inside = state()
        raise KeyError
    assert state() == before
    assert inside["cuDNN"] == (before["cuDNN"] and not recurrent)
    assert not any(inside[name] for name in SWITCHES if name != "cuDNN")


def test_wrappers_are_taken_off_in_any_order():
    model = nn.Linear(2, 2)
    assert unwrapped(torch.compile(nn.DataParallel(torch.compile(model)))) is model
    assert unwrapped(model) is model
