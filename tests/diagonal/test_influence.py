"""The estimator against a float64 reference that does one sample at a time."""

import copy
import gc
import weakref

import pytest
import torch
from torch import nn

import fvm_core as fvm
from fvm_core.diagonal.influence import DiagonalInfluence
from fvm_core.errors import SaltflatError
from fvm_core.models.build import build_model
from tests.cases import digits, reference_influence, small_bn_cnn

DAMPING = 0.1


@pytest.fixture(scope="module")
def model():
    return small_bn_cnn()


@pytest.fixture(scope="module")
def data():
    return (*digits(12), *digits(40, split="val"))


def fitted(model, val_images, val_labels, size=16, **options):
    batches = [(val_images[i : i + size], val_labels[i : i + size]) for i in range(0, len(val_images), size)]
    return DiagonalInfluence(model, val_images[:2], damping=DAMPING, **options).fit(batches)


def test_score_equals_the_float64_reference(model, data):
    images, labels, *val = data
    found, loss = fitted(model, *val).score(images, labels)
    wanted = reference_influence(model, images, labels, *val, DAMPING)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=0)
    assert (found >= 0).all()
    torch.testing.assert_close(loss, nn.functional.cross_entropy(model(images), labels, reduction="none"))


def test_scores_do_not_depend_on_the_batch(model, data):
    images, labels, *val = data
    whole, _ = fitted(model, *val, size=40).score(images, labels)
    alone = fitted(model, *val, size=7)
    single = torch.cat([alone.score(i[None], k[None])[0] for i, k in zip(images, labels, strict=True)])
    torch.testing.assert_close(single, whole, rtol=1e-4, atol=0)


def test_every_label_and_the_argmin(model, data):
    images, labels, *val = data
    estimator = fitted(model, *val)
    wanted = torch.stack(
        [reference_influence(model, images, torch.full_like(labels, k), *val, DAMPING) for k in range(10)], 1
    )
    everything = estimator.score_all_labels(images, exact=None)
    assert everything.exact.all()
    torch.testing.assert_close(everything.values.double(), wanted, rtol=1e-4, atol=0)

    one = estimator.score_all_labels(images, exact=1)
    picked = one.values.masked_fill(~one.exact, torch.inf).argmin(1)
    assert torch.equal(picked, wanted.argmin(1))
    assert (~one.exact).any(), "the head's share should spare some labels"
    # What was not computed is a lower bound.
    assert (one.values.double() <= wanted * (1 + 1e-4)).all()

    told = estimator.score_all_labels(images, exact=1, known=(labels, estimator.score(images, labels)[0]))
    assert told.exact.gather(1, labels[:, None]).all()
    assert torch.equal(told.best, wanted.argmin(1))
    best = wanted.argmin(1)
    knowing = estimator.score_all_labels(images, exact=1, known=(best, wanted.min(1).values))
    assert torch.equal(knowing.best, best)
    assert knowing.work.sum() < one.work.sum() - 10, "what is known needs no backward pass"
    parts = estimator.score_all_labels(images, exact=1, batch_size=5)
    assert torch.equal(parts.best, best)
    torch.testing.assert_close(parts.smallest(1)[0], one.smallest(1)[0], rtol=1e-4, atol=0)

    two = estimator.score_all_labels(images)
    best = two.values.masked_fill(~two.exact, torch.inf).topk(2, largest=False).indices
    assert torch.equal(best, wanted.topk(2, largest=False).indices)


def test_damping_is_relative_to_the_mean_fisher_or_absolute(model, data):
    images, labels, *val = data
    relative = fitted(model, *val)
    mean = sum(f.sum() for f in relative.fisher.values()) / sum(f.numel() for f in relative.fisher.values())
    assert relative.effective_damping() == pytest.approx(DAMPING * float(mean), rel=1e-5)
    absolute = fitted(model, *val, damping_kind="absolute")
    assert absolute.effective_damping() == DAMPING
    g = relative.score(images, labels)[0] - absolute.score(images, labels)[0]
    assert (g > 0).all(), "a smaller damping gives larger influence"


def test_weights_and_requires_grad_are_left_as_they_were(model, data):
    images, labels, *val = data
    own = copy.deepcopy(model)
    own[0].weight.requires_grad_(False)
    before = copy.deepcopy(own.state_dict())
    estimator = fitted(own, *val)
    estimator.score(images, labels)
    assert "0.weight" not in estimator.fisher
    assert [p.requires_grad for p in own.parameters()] == [False, *[True] * (len(list(own.parameters())) - 1)]
    assert all(torch.equal(value, before[name]) for name, value in own.state_dict().items())
    assert all(p.grad is None for p in own.parameters())
    wanted = reference_influence(own, images, labels, *val, DAMPING)
    torch.testing.assert_close(estimator.score(images, labels)[0].double(), wanted, rtol=1e-4, atol=0)


class Tied(nn.Module):
    """A layer used twice, tied weights, a raw parameter and an unknown layer."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.randn(64) * 0.1)
        self.twice = nn.Linear(64, 64)
        self.one, self.two = nn.Linear(64, 32), nn.Linear(64, 32)
        self.two.weight = self.one.weight
        self.mix = nn.Bilinear(32, 32, 16)
        self.head = nn.Linear(16, 10)

    def forward(self, images):
        x = images.flatten(1) + self.token
        x = torch.tanh(self.twice(torch.tanh(self.twice(x))))
        return self.head(torch.tanh(self.mix(self.one(x), self.two(x))))


def test_shared_tied_raw_and_unknown_parameters_count_once(data):
    images, labels, *val = data
    torch.manual_seed(1)
    model = Tied().eval()
    estimator = fitted(model, *val)
    assert set(estimator.tapped.leftover) >= {"token", "twice.weight", "one.weight", "mix.weight"}
    assert set(estimator.fisher) == {name for name, _ in model.named_parameters()}
    wanted = reference_influence(model, images, labels, *val, DAMPING)
    torch.testing.assert_close(estimator.score(images, labels)[0].double(), wanted, rtol=1e-4, atol=0)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "densenet121"])
def test_torchvision_models(name):
    torch.manual_seed(0)
    model = build_model(name, 4, size=32).eval()
    images, val = torch.randn(2, 3, 32, 32), torch.randn(4, 3, 32, 32)
    labels, val_labels = torch.tensor([0, 3]), torch.tensor([0, 1, 2, 3])
    estimator = fitted(model, val, val_labels, size=4)
    assert estimator.tapped.leftover == []
    wanted = reference_influence(model, images, labels, val, val_labels, DAMPING)
    # Random weights leave tiny Fisher entries; fp32 keeps three digits of them in networks this deep.
    torch.testing.assert_close(estimator.score(images, labels)[0].double(), wanted, rtol=1e-3, atol=0)


def test_training_mode_and_random_models_are_refused(model, data):
    images = data[0]
    own = copy.deepcopy(model).train()
    with pytest.raises(SaltflatError, match="training mode"):
        DiagonalInfluence(own, images)

    class Random(nn.Linear):
        def forward(self, x):
            return super().forward(x.flatten(1)) * torch.rand(())

    with pytest.raises(SaltflatError, match="draws random numbers"):
        DiagonalInfluence(Random(64, 3).eval(), images)
    with pytest.raises(SaltflatError, match="no trainable parameters"):
        DiagonalInfluence(nn.Flatten().eval(), images)
    with pytest.raises(SaltflatError, match="logits"):
        DiagonalInfluence(nn.Conv2d(1, 2, 3).eval(), images)


def test_missing_fisher_and_zero_damping_are_told(model, data):
    images, labels, *val = data
    with pytest.raises(SaltflatError, match="fit"):
        DiagonalInfluence(model, images).score(images, labels)
    dead = copy.deepcopy(model)
    dead[9].weight.data.zero_()
    dead[9].bias.data.zero_()
    with pytest.raises(SaltflatError, match="damping above 0"):
        DiagonalInfluence(dead, images, damping=0.0).fit([tuple(val)])
    with pytest.raises(SaltflatError, match="empty"):
        DiagonalInfluence(model, images).fit([])


def test_the_short_way_gives_the_same(model, data):
    images, labels, *val = data
    batches = [(images[:5], labels[:5]), (images[5:], labels[5:])]
    found = fvm.influence(model, batches, iter([tuple(val)]), damping=DAMPING)
    torch.testing.assert_close(found, fitted(model, *val).score(images, labels)[0], rtol=1e-4, atol=0)
    with pytest.raises(SaltflatError, match="validation set is empty"):
        fvm.influence(model, batches, [])


def test_nothing_of_a_batch_stays_in_memory(model, data):
    """Hooks sit in the autograd graph, whose cycles Python's collector does not see."""
    images, labels, *val = data
    estimator = fitted(model, *val)
    seen = []
    forward = estimator.tapped.forward

    def watched(batch):
        run = forward(batch)
        seen.extend([weakref.ref(run), weakref.ref(run.logits), weakref.ref(run.head_inputs)])
        return run

    estimator.tapped.forward = watched
    gc.disable()
    try:
        estimator.score(images, labels)
        estimator.score_all_labels(images, exact=3)
        assert len(seen) >= 6
        assert [reference() for reference in seen] == [None] * len(seen)
    finally:
        gc.enable()


@pytest.mark.parametrize("exact", [1, 2, 5, None])
def test_many_labels(data, exact):
    """More labels than go down together, none of them likely, so that hardly one is dropped early."""
    images, _, val_images, val_labels = data
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.Tanh(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 40),
    ).eval()
    estimator = fitted(model, val_images, val_labels)
    wanted = torch.stack(
        [
            reference_influence(model, images, torch.full((12,), k), val_images, val_labels, DAMPING)
            for k in range(40)
        ],
        1,
    )
    found = estimator.score_all_labels(images, exact=exact)
    torch.testing.assert_close(found.values[found.exact].double(), wanted[found.exact], rtol=1e-4, atol=0)
    assert (found.values.double() <= wanted * (1 + 1e-4)).all()
    count = 40 if exact is None else exact
    assert (found.evaluations >= count).all()
    labels = wanted.topk(count, largest=False).indices
    assert torch.equal(found.smallest(count)[1][:, :5], labels[:, :5])
    if count > 1:
        gap = wanted.gather(1, labels)[:, 1] - wanted.gather(1, labels)[:, 0]
        torch.testing.assert_close(found.margin.double(), gap, rtol=1e-3, atol=1e-3 * float(wanted.mean()))
    if exact == 1:
        assert found.work.mean() < 40


def test_confident_samples_keep_their_digits(data):
    """1 − p of a sure sample has no digits left in float32; its influence has to have them."""
    images, labels, *val = data
    sure = copy.deepcopy(small_bn_cnn())
    with torch.no_grad():
        sure[9].weight *= 6
    estimator = fitted(sure, *val)
    labels = sure(images).argmax(1)
    wanted = reference_influence(sure, images, labels, *val, DAMPING)
    assert float(wanted.min()) < 1e-9 * float(wanted.max())
    torch.testing.assert_close(estimator.score(images, labels)[0].double(), wanted, rtol=1e-3, atol=0)
    best = estimator.score_all_labels(images, exact=1)
    assert torch.equal(best.best, labels)
    torch.testing.assert_close(best.smallest(1)[0][:, 0].double(), wanted, rtol=1e-3, atol=0)


def test_what_one_validation_sample_weighs(model, data):
    images, labels, *val = data
    estimator = fitted(model, *val)
    few = (images[:2], labels[:2], val[0][:3], val[1][:3])
    default = estimator.pairwise(*few)
    assert default.shape == (2, 3)
    torch.testing.assert_close(default, estimator.pairwise(*few, epsilon=1 / 40))
    other = DiagonalInfluence(model, images[:2])
    other.use_fisher(estimator.fisher)
    with pytest.raises(SaltflatError, match="epsilon"):
        other.pairwise(*few)


def test_damping_by_tensor(model, data):
    images, labels, *val = data
    estimator = fitted(model, *val, damping_kind="per_tensor")
    for name, value in estimator.fisher.items():
        wanted = 1 / (value + DAMPING * value.mean())
        torch.testing.assert_close(estimator.inverse[name], wanted, rtol=1e-5, atol=0)
    assert (estimator.score(images, labels)[0] > 0).all()
