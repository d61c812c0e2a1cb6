"""What a step may leave behind: BatchNorm statistics of one pass, parameters of one step of SGD."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fvm_core.solvers import SAM, SOLVER_CLASSES

NAMES = list(SOLVER_CLASSES)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 16, 6),
        nn.BatchNorm1d(6, momentum=None),
        nn.BatchNorm1d(6, track_running_stats=False),
        nn.Linear(6, 3),
    )


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(8, 1, 6, 6, generator=generator), torch.arange(8) % 3


def solver_for(name: str, model: nn.Module):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    return SOLVER_CLASSES[name](model, optimizer, 0.1)


def buffers(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.named_buffers()}


@pytest.mark.parametrize("name", NAMES)
def test_running_statistics_count_each_batch_once(name):
    model, once = network(), network()
    solver = solver_for(name, model)
    images, labels = batch()
    for step in range(3):
        once.load_state_dict(model.state_dict())
        once(images)
        solver.step(lambda: F.cross_entropy(model(images), labels))
        for key, value in buffers(once).items():
            assert torch.equal(model.get_buffer(key), value), key
        assert int(model[1].num_batches_tracked) == step + 1
        assert [layer.track_running_stats for layer in (model[1], model[5], model[6])] == [True, True, False]


@pytest.mark.parametrize("name", NAMES)
def test_in_evaluation_mode_statistics_stay_and_are_used(name):
    model = network()
    images, labels = batch()
    model(images)
    model.eval()
    before = buffers(model)
    solver = solver_for(name, model)
    seen = []

    def loss() -> torch.Tensor:
        logits = model(images)
        # A sample alone has the same logits only if the running statistics normalise.
        seen.append(torch.allclose(model[:6](images[:1]), model[:6](images)[:1], atol=1e-5))
        return F.cross_entropy(logits, labels)

    solver.step(loss)
    assert seen == [True] * (1 if name == "sgd" else 2)
    for key, value in before.items():
        assert torch.equal(model.get_buffer(key), value), key


@pytest.mark.parametrize("name", NAMES)
def test_the_step_starts_from_exactly_the_parameters_before(name):
    """With learning rate 0 a step changes no bit of any parameter."""
    model = network()
    before = {key: value.clone() for key, value in model.named_parameters()}
    solver = SOLVER_CLASSES[name](model, torch.optim.SGD(model.parameters(), lr=0.0), 0.37)
    images, labels = batch()
    solver.step(lambda: F.cross_entropy(model(images), labels))
    for key, value in before.items():
        assert torch.equal(model.get_parameter(key), value), key


def test_moved_restores_everything_also_after_an_error():
    model = network()
    solver = solver_for("sam", model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    move = {key: torch.full_like(value, 1 / 3) for key, value in solver.parameters.items()}
    with pytest.raises(ZeroDivisionError), solver.moved(move):
        for key, value in solver.parameters.items():
            assert torch.equal(value, before[key] + 1 / 3)
        model(batch()[0])
        raise ZeroDivisionError
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert model[1].track_running_stats


@pytest.mark.parametrize("name", NAMES)
def test_frozen_parameters_stay(name):
    model = network()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    solver = solver_for(name, model)
    images, labels = batch()
    for _ in range(2):
        solver.step(lambda: F.cross_entropy(model(images), labels))
    assert torch.equal(model[0].weight, before)
    assert "0.weight" not in solver.parameters
    assert len(solver.parameters) == len([p for p in model.parameters() if p.requires_grad])


def test_sharpness_is_the_rise_of_the_loss_within_the_radius():
    model = network().double()
    images, labels = batch()
    images = images.double()
    done = SAM(model, torch.optim.SGD(model.parameters(), lr=0.0), 1e-4).step(
        lambda: F.cross_entropy(model(images), labels)
    )
    model.zero_grad()
    F.cross_entropy(model(images), labels).backward()
    length = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
    assert done.sharpness == pytest.approx(1e-4 * float(length), rel=1e-2)
