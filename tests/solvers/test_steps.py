"""Every solver against steps computed by hand in numpy on L(w) = ½ wᵀAw, and on a small network."""

import numpy as np
import pytest
import torch
from torch import nn

from fvm_core.solvers import ASAM, FSAM, LPF, SAM, SGD, SOLVER_CLASSES

A = np.array([[3.0, 0.5, 0, 0], [0.5, 1.0, 0.2, 0], [0, 0.2, 2.0, -0.3], [0, 0, -0.3, 0.5]])
START = np.array([1.0, -2.0, 0.5, 3.0])
LR, MOMENTUM, DECAY = 0.1, 0.9, 0.01


class Quadratic(nn.Module):
    """The four numbers of w: a 1×2 `weight` and a `bias` of two; `scale` stands for the minibatch."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(START[None, :2]))
        self.bias = nn.Parameter(torch.tensor(START[2:]))
        self.scale = 1.0
        self.seen: list[np.ndarray] = []

    @property
    def w(self) -> np.ndarray:
        return torch.cat([self.weight[0], self.bias]).detach().numpy().copy()

    def loss(self) -> torch.Tensor:
        self.seen.append(self.w)
        w = torch.cat([self.weight[0], self.bias])
        return self.scale * 0.5 * w @ torch.tensor(A) @ w


def risk(w: np.ndarray, scale: float = 1.0) -> float:
    return scale * 0.5 * w @ A @ w


def setup(kind: type, gamma: float | None = None, momentum: float = 0.0, decay: float = 0.0):
    model = Quadratic()
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=momentum, weight_decay=decay)
    return model, kind(model, optimizer, gamma)


class ByHand:
    """SGD with momentum and weight decay, as torch defines it: v ← μv + g + λw, w ← w − lr·v."""

    def __init__(self, momentum: float = 0.0, decay: float = 0.0):
        self.w, self.v, self.momentum, self.decay = START.copy(), np.zeros(4), momentum, decay

    def step(self, gradient: np.ndarray) -> None:
        self.v = self.momentum * self.v + gradient + self.decay * self.w
        self.w = self.w - LR * self.v


def unit(g: np.ndarray) -> np.ndarray:
    return g / np.linalg.norm(g)


def asam_move(w: np.ndarray, g: np.ndarray, gamma: float) -> np.ndarray:
    """Kwon et al. 2021, equation (9) with T = |w| + η for weights only."""
    t = np.where([True, True, False, False], np.abs(w) + 0.01, 1.0)
    return gamma * t**2 * g / np.linalg.norm(t * g)


MOVES = {
    "sgd": lambda w, g: np.zeros(4),
    "sam": lambda w, g: 0.3 * unit(g),
    "asam": lambda w, g: asam_move(w, g, 0.3),
}


@pytest.mark.parametrize("name", list(MOVES))
@pytest.mark.parametrize(("momentum", "decay"), [(0.0, 0.0), (MOMENTUM, DECAY)])
def test_three_steps(name, momentum, decay):
    model, solver = setup(SOLVER_CLASSES[name], 0.3, momentum, decay)
    hand = ByHand(momentum, decay)
    for _ in range(3):
        done = solver.step(model.loss)
        moved = hand.w + MOVES[name](hand.w, A @ hand.w)
        assert done.loss == pytest.approx(risk(hand.w), rel=1e-12)
        if name == "sgd":
            assert done.sharpness is None
        else:
            assert done.sharpness == pytest.approx(risk(moved) - risk(hand.w), rel=1e-9)
        np.testing.assert_allclose(model.seen[-1], moved, rtol=1e-10)
        hand.step(A @ moved)
        np.testing.assert_allclose(model.w, hand.w, rtol=1e-10)


@pytest.mark.parametrize(("momentum", "decay"), [(0.0, 0.0), (MOMENTUM, DECAY)])
def test_fsam_subtracts_the_average_before_its_update_and_nothing_at_first(momentum, decay):
    model, solver = setup(FSAM, 0.3, momentum, decay)
    hand, average = ByHand(momentum, decay), None
    for scale in (1.0, 2.5, 0.4, -1.0):
        model.scale = scale
        solver.step(model.loss)
        g = scale * A @ hand.w
        direction = g if average is None else g - 1.0 * average
        average = g if average is None else 0.9 * average + 0.1 * g
        moved = hand.w + 0.3 * unit(direction)
        np.testing.assert_allclose(model.seen[-1], moved, rtol=1e-9)
        hand.step(scale * A @ moved)
        np.testing.assert_allclose(model.w, hand.w, rtol=1e-9)
        kept = torch.cat([solver.state()["weight"][0], solver.state()["bias"]]).numpy()
        np.testing.assert_allclose(kept, average, rtol=1e-9)


def test_fsam_goes_on_from_its_state():
    model, solver = setup(FSAM, 0.3)
    other, fresh = setup(FSAM, 0.3)
    for scale in (1.0, 2.0):
        model.scale = scale
        solver.step(model.loss)
    other.load_state_dict(model.state_dict())
    fresh.restore({name: value.clone() for name, value in solver.state().items()})
    model.scale = other.scale = 0.5
    solver.step(model.loss)
    fresh.step(other.loss)
    np.testing.assert_array_equal(model.w, other.w)


def test_lpf_takes_the_gradient_at_noisy_parameters():
    model, solver = setup(LPF, 0.2, MOMENTUM, DECAY)
    hand = ByHand(MOMENTUM, DECAY)
    for seed in range(3):
        torch.manual_seed(seed)
        noise = torch.cat([part.flatten() for part in solver.noise().values()]).numpy()
        torch.manual_seed(seed)
        done = solver.step(model.loss)
        assert done.loss == pytest.approx(risk(hand.w), rel=1e-12)
        assert done.sharpness == pytest.approx(risk(hand.w + noise) - risk(hand.w), rel=1e-9)
        hand.step(A @ (hand.w + noise))
        np.testing.assert_allclose(model.w, hand.w, rtol=1e-10)


def test_lpf_noise_has_the_filters_norm_times_gamma():
    torch.manual_seed(0)
    layer = nn.Conv2d(8, 3, 5)
    with torch.no_grad():
        layer.weight[1] *= 10
        layer.weight[2] = 0
    gamma = 0.01
    solver = LPF(layer, torch.optim.SGD(layer.parameters(), lr=0.1), gamma)
    draws = [solver.noise() for _ in range(200)]
    weight = torch.stack([draw["weight"] for draw in draws])
    for number in range(3):
        values, wanted = weight[:, number], gamma * float(layer.weight[number].detach().norm())
        assert float(values.std()) == pytest.approx(wanted, rel=0.02)
        assert abs(float(values.mean())) <= 0.02 * wanted
    bias = torch.stack([draw["bias"] for draw in draws])
    assert float(bias.std()) == pytest.approx(gamma * float(layer.bias.detach().norm()), rel=0.15)


def test_asam_scales_what_is_named_weight_and_nothing_else():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Parameter(torch.full((2, 3), 7.0))
            self.norm = nn.LayerNorm(3)

    model = Model()
    solver = ASAM(model, torch.optim.SGD(model.parameters(), lr=0.1), gamma=1.0)
    seen = {}

    def loss():
        seen.update({name: p.detach().clone() for name, p in model.named_parameters()})
        return sum(p.sum() for p in model.parameters())  # a gradient of ones

    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    solver.step(loss)
    moved = {name: value - before[name] for name, value in seen.items()}
    scaled = (1 + ASAM.eta) ** 2
    length = (6 + 3 * (1 + ASAM.eta) ** 2 + 3) ** 0.5
    torch.testing.assert_close(moved["token"], torch.full((2, 3), 1 / length))
    torch.testing.assert_close(moved["norm.bias"], torch.full((3,), 1 / length))
    torch.testing.assert_close(moved["norm.weight"], torch.full((3,), scaled / length))


def test_defaults_are_those_of_the_papers():
    defaults = {name: kind.default_gamma for name, kind in SOLVER_CLASSES.items()}
    assert defaults == {"sgd": 0.0, "sam": 0.05, "asam": 0.5, "fsam": 0.05, "lpf": 0.001}
    assert (ASAM.eta, FSAM.sigma, FSAM.decay) == (0.01, 1.0, 0.9)
    assert setup(SAM)[1].gamma == 0.05
    assert setup(SAM, 0.0)[1].gamma == 0.0


@pytest.mark.parametrize("name", list(SOLVER_CLASSES))
def test_radius_zero_is_plain_sgd(name):
    model, solver = setup(SOLVER_CLASSES[name], 0.0, MOMENTUM, DECAY)
    plain, sgd = setup(SGD, None, MOMENTUM, DECAY)
    for _ in range(3):
        solver.step(model.loss)
        sgd.step(plain.loss)
    np.testing.assert_allclose(model.w, plain.w, rtol=1e-12)


@pytest.mark.parametrize("name", list(SOLVER_CLASSES))
def test_a_vanishing_gradient_moves_nothing(name):
    model, solver = setup(SOLVER_CLASSES[name])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    for _ in range(2):
        solver.step(model.loss)
        np.testing.assert_array_equal(model.w, np.zeros(4))
