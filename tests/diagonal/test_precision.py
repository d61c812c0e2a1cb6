"""Passes in bf16 rank the demo's samples as fp32 does, and only then take its place."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from fvm_core.demo import demo_config
from fvm_core.diagonal.influence import DiagonalInfluence
from fvm_core.diagonal.precision import AGREEMENT, rank_correlation
from fvm_core.models.build import build_model
from fvm_core.pipeline.runner import execute
from fvm_core.pipeline.weights import load_tensors
from fvm_core.runs.run_folder import RunFolder
from tests.cases import digits, small_bn_cnn


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    config = demo_config()
    score = replace(config.score, precision="bf16")
    config = replace(config, score=score, tune=replace(config.tune, saved_steps=2), embed=False)
    return execute(RunFolder.create(tmp_path_factory.mktemp("runs") / "demo", config))


def estimators(run):
    """fp32 and bf16 at the last step, and the training set as the model sees it."""
    shape = run.info["input"]
    model = build_model("small_cnn", 10, channels=shape["channels"], size=shape["size"])
    last = sorted(run.checkpoints.glob("step_*.safetensors"))[-1]
    model.load_state_dict(load_tensors(last))
    images, _ = digits(1200)
    images = (images - shape["mean"][0]) / shape["std"][0]
    labels = torch.tensor([int(name) for name in run.scores["given_label"]])
    found = [DiagonalInfluence(model.eval(), images[:2], precision=p) for p in ("fp32", "bf16")]
    for estimator in found:
        estimator.use_fisher(load_tensors(run.path / "curvature" / last.name))
    return *found, images, labels


def rounding(model) -> float:
    """Relative error of g² in bf16, if all roundings went one way: each layer rounds its weight, input and
    output once forward and once backward, each by at most 2⁻⁹, and the square doubles that.
    """
    layers = sum(isinstance(part, nn.Conv2d | nn.Linear | nn.BatchNorm2d) for part in model.modules())
    return 2 * 6 * layers * 2**-9


@pytest.mark.slow
def test_bf16_on_the_demo(demo):
    full, half, images, labels = estimators(demo)
    batches = [(images[i : i + 256], labels[i : i + 256]) for i in range(0, 1200, 256)]
    assert rank_correlation(full, half, batches) >= AGREEMENT
    found = torch.cat([half.score(*batch)[0] for batch in batches])
    exact = torch.cat([full.score(*batch)[0] for batch in batches])
    assert found.dtype == torch.float32
    assert not torch.equal(found, exact), "bf16 was not used"
    most = rounding(full.tapped.model)
    assert float(((found - exact).abs() / exact).median()) < most
    assert demo.info["stages"]["score"]["precision"][-1] == "bf16"
    run = torch.tensor(demo.scores["influence"].to_numpy())
    assert float(((run - found).abs() / exact).median()) < most
    best = torch.cat([half.score_all_labels(i, exact=1).best for i, _ in batches])
    wanted = torch.cat([full.score_all_labels(i, exact=None).values for i, _ in batches])
    other = (best != wanted.argmin(1)).nonzero()[:, 0]
    assert len(other) < len(best) / 20
    # Where it takes another label, that one is nearly as good: of two equal ones rounding takes either.
    assert bool((wanted[other, best[other]] <= (1 + 2 * most) * wanted[other].amin(1)).all())


def test_a_precision_that_ranks_otherwise_is_seen():
    images, labels = digits(64)
    one = DiagonalInfluence(small_bn_cnn(), images[:2]).fit([digits(64, split="val")])
    assert rank_correlation(one, one, [(images, labels)]) == 1.0

    class Rough(DiagonalInfluence):
        def score(self, images, labels):
            influence, loss = super().score(images, labels)
            return influence.roll(1), loss

    other = Rough(small_bn_cnn(), images[:2])
    other.use_fisher(one.fisher)
    assert rank_correlation(one, other, [(images, labels)]) < AGREEMENT
