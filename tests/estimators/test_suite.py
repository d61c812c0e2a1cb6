"""What holds for every estimator: one line each, and the settings with which it is quick here."""

from typing import get_args

import numpy as np
import pytest
import torch

from fvm_core.errors import SaltflatError
from fvm_core.estimators import registry
from fvm_core.estimators.base import Need
from fvm_core.estimators.costs import Sizes
from fvm_core.metrics import detection
from tests.estimators.bench import CLASSES, Bench

LINES = {
    "fvm": {},
    "vm": {},
    "fvm_sam": {},
    "fvm_asam": {},
    "fvm_fsam": {},
    "fvm_lpf": {},
    "crossfit_wrong": {},
    "crossfit_loss": {},
    "crossfit_margin": {},
    "tuned_loss": {},
    "tuned_margin": {},
    "tuned_gradient_norm": {},
    "tuned_confident": {},
    "knn": {"neighbours": 10},
    "probed_lissa": {"lissa_depth": 60},
    "probed_datainf": {},
    "gex": {"members": 4},
    "lissa": {"lissa_depth": 60},
    "lissa_best": {"lissa_depth": 60},
    "datainf": {},
    "datainf_best": {},
    "ekfac": {},
    "ekfac_best": {},
    "diagonal": {},
    "tracin": {},
    "loss": {},
    "margin": {},
    "aum": {},
    "epoch_margin": {},
    "gradient_norm": {},
    "confident": {},
    "ablation_ss": {},
    "ablation_so": {},
    "ablation_os": {},
}


@pytest.fixture(params=LINES)
def kind(request):
    return registry.find(request.param)


@pytest.fixture
def bench(kind):
    return Bench(LINES[kind.name])


def test_every_estimator_has_a_line():
    assert set(LINES) == set(registry.built_in())


def test_it_declares_itself(kind):
    assert kind.title and kind.cost and kind.__doc__
    assert kind.suspicious in ("high", "low")
    assert kind.needs and kind.needs <= set(get_args(Need))
    assert isinstance(kind.relabels, bool)
    for one in kind.settings:
        assert one.checked(one.default) == one.default
        assert one == registry.settings()[one.name]  # no name with two meanings
        assert one.title and one.help.endswith(".")


def test_its_costs_are_there_before_it_is_made(kind, bench):
    sizes = Sizes(rated=1000, trusted=200, config=bench.config)
    phases = kind.phases(sizes)
    assert phases["scoring"] > 0 and all(passes >= 0 for passes in phases.values())
    more = kind.phases(Sizes(rated=2000, trusted=200, config=bench.config))
    assert more["scoring"] > phases["scoring"]
    assert kind.vectors(bench.config) >= 1 and kind.models(bench.config) >= 0


def test_the_constructor_stores_and_computes_nothing(kind, bench):
    calls = []
    for model in (*bench._at, bench._tuned):
        model.register_forward_hook(lambda *_: calls.append(1))
    before = torch.get_rng_state()
    try:
        if kind.name != "gex":  # whose members are tuned for it, here when it is made
            bench.made(kind)
        assert not calls
        assert torch.equal(torch.get_rng_state(), before)
    finally:
        for model in (*bench._at, bench._tuned):
            model._forward_hooks.clear()


def test_fit_asks_for_the_sets_that_it_needs_and_no_others(kind, bench):
    for number, (what, need) in enumerate((("training", "training_set"), ("validation", "validation_set"))):
        if need in kind.needs:
            sets = list(bench.sets(kind))
            sets[number] = None
            with pytest.raises(SaltflatError, match=f"{what} set"):
                bench.made(kind).fit(*sets)
            sets[number] = []
            with pytest.raises(SaltflatError, match=f"{what} set is empty"):
                bench.made(kind).fit(*sets)
            sets[number] = iter(bench.sets(kind)[number])
            with pytest.raises(SaltflatError, match="iterated only once"):
                bench.made(kind).fit(*sets)
    images = bench.inputs(kind)
    if {"training_set", "validation_set"} & kind.needs:
        with pytest.raises(SaltflatError, match=r"call fit\(\)"):
            bench.made(kind).score(images[:4], bench.training[1][:4])
    values = bench.fitted(kind).score(images, bench.training[1])
    assert values.shape == (len(images),) and torch.isfinite(values).all()


def test_values_do_not_depend_on_the_batch_nor_on_when_they_are_computed(kind, bench):
    images, labels = bench.inputs(kind), bench.training[1]
    estimator = bench.fitted(kind)
    wanted = estimator.score(images, labels)
    assert torch.equal(estimator.score(images, labels), wanted)
    assert torch.equal(bench.fitted(kind).score(images, labels), wanted)
    scale = wanted.abs().max()
    for size in (1, 7):
        parts = [
            estimator.score(images[at : at + size], labels[at : at + size])
            for at in range(0, len(images), size)
        ]
        torch.testing.assert_close(torch.cat(parts), wanted, rtol=1e-4, atol=1e-5 * float(scale))


def test_values_of_all_labels_agree_with_those_of_one(kind, bench):
    if not kind.relabels:
        pytest.skip("suggests no labels")
    images, labels = bench.inputs(kind), bench.training[1]
    estimator = bench.fitted(kind)
    every = estimator.score_labels(images)
    assert every.shape == (len(images), CLASSES)
    wanted = estimator.score(images, labels)
    scale = float(every.abs().max())
    torch.testing.assert_close(every.gather(1, labels[:, None])[:, 0], wanted, rtol=1e-4, atol=1e-5 * scale)
    values, best = estimator.judge(images, labels)
    torch.testing.assert_close(values, wanted, rtol=1e-4, atol=1e-5 * scale)
    suspicion = estimator.suspicion(every)
    chosen = suspicion.gather(1, best[:, None])[:, 0]
    torch.testing.assert_close(chosen, suspicion.min(1).values, rtol=1e-4, atol=1e-5 * scale)


def test_wrong_labels_are_at_the_end_that_it_declares(kind, bench):
    values = bench.fitted(kind).score(bench.inputs(kind), bench.training[1])
    suspicion = values if kind.suspicious == "high" else -values
    found = detection(suspicion.double().numpy(), bench.wrong.numpy())
    assert found["roc_auc"] > 0.7


def test_state_takes_the_place_of_fit(kind, bench):
    images, labels = bench.inputs(kind), bench.training[1]
    estimator = bench.fitted(kind)
    wanted = estimator.score(images, labels)
    other = bench.made(kind)
    other.restore({name: value.clone() for name, value in estimator.state().items()})
    assert torch.equal(other.score(images, labels), wanted)


def test_fit_tells_of_phases_whose_cost_it_declares_and_can_be_stopped(kind, bench):
    told = []
    bench.made(kind).fit(*bench.sets(kind), progress=lambda *what: told.append(what))
    assert all(0 <= done <= total for _phase, done, total in told)
    phases = kind.phases(Sizes(rated=120, trusted=60, config=bench.config))
    assert {phase for phase, _done, _total in told} <= set(phases)
    if not told:
        return

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.made(kind).fit(*bench.sets(kind), progress=stop)


def test_the_model_stays_as_it_was(kind, bench):
    estimator = bench.fitted(kind)
    model = getattr(estimator, "model", None)
    if model is None:
        pytest.skip("looks at no model")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    estimator.fit(*bench.sets(kind)).judge(bench.inputs(kind), bench.training[1])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert [module.training for module in model.modules()] == modes


def test_training_mode_is_refused(kind, bench):
    estimator = bench.fitted(kind)
    if getattr(estimator, "model", None) is None:
        pytest.skip("looks at no model")
    estimator.model.train()
    with pytest.raises(SaltflatError, match="training mode"):
        estimator.fit(*bench.sets(kind)).score(bench.inputs(kind)[:4], bench.training[1][:4])


@pytest.mark.parametrize(
    "labels", [torch.tensor([0, 1, CLASSES, 0]), torch.tensor([0, -1, 1, 0]), torch.tensor([0, 1, 2])]
)
def test_labels_that_cannot_be_are_refused(kind, bench, labels):
    with pytest.raises(SaltflatError):
        bench.fitted(kind).score(bench.inputs(kind)[:4], labels)


def test_titles_and_places_tell_estimators_apart():
    kinds = registry.built_in().values()
    assert len({kind.title for kind in kinds}) == len({kind.place for kind in kinds}) == len(LINES)
    aliases = [alias for kind in kinds for alias in kind.aliases]
    assert not set(aliases) & set(LINES) and len(set(aliases)) == len(aliases)
    assert np.all(np.diff([kind.place for kind in kinds]) > 0)
