"""Several estimators in one run: their values, what they share, and that nothing is computed twice."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from fvm_core.comparison.results import descriptions, read_result
from fvm_core.config import CompareConfig, CrossfitConfig, TrainConfig, TuneConfig
from fvm_core.diagonal.influence import DiagonalInfluence
from fvm_core.errors import Cancelled, SaltflatError
from fvm_core.estimators import registry
from fvm_core.estimators.costs import Sizes
from fvm_core.metrics import detection
from fvm_core.pipeline.context import Context
from fvm_core.pipeline.ensembles import members
from fvm_core.pipeline.estimator_costs import phases
from fvm_core.pipeline.prepare import open_data, open_inputs
from fvm_core.pipeline.progress import Silent
from fvm_core.pipeline.runner import execute
from fvm_core.pipeline.weights import save_tensors
from fvm_core.runs.checksums import content_fault, read
from fvm_core.runs.run_folder import RunFolder
from tests.cases import tiny_config
from tests.pipeline.test_resume import StopsAt, same_results

ALL = CompareConfig(
    estimators=registry.names(),
    checkpoints=3,
    planted=0.2,
    figures=True,
    settings={"members": 3, "folds": 2, "lissa_depth": 20},
)
OWN = {"fvm", "influence_trained"}
CROSSFIT = {"crossfit_wrong", "crossfit_loss", "crossfit_margin"}


def few_epochs(**changes):
    settings = {"train": TrainConfig(epochs=12), "tune": TuneConfig(steps=30, saved_steps=2)}
    return tiny_config(**settings, crossfit=CrossfitConfig(rounds=1, folds=2), **changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = RunFolder.create(tmp_path_factory.mktemp("compare") / "all", few_epochs(compare=ALL))
    return execute(folder)


@pytest.fixture(scope="module")
def context(run):
    config = run.config
    found = Context(run, config, *open_data(config), "cpu", Silent())
    open_inputs(found)
    return found


def wrong_labels(run):
    scores = run.scores
    return (scores["given_label"] != scores["true_label"]).to_numpy()


def test_every_estimator_is_there_with_one_row_a_sample(run):
    found = {one.name: one for one in descriptions(run.path)}
    # The run is tuned by SAM itself.
    assert set(found) == (set(registry.names()) - {"fvm_sam"}) | OWN
    for name, one in found.items():
        table = read_result(run.path, name)
        assert len(table) == 300
        assert np.isfinite(table["value"]).all(), name
        sign = 1 if one.suspicious == "high" else -1
        assert (table["suspicion"] == sign * table["value"]).all()
        assert ("suggested_label" in table) == one.relabels
        assert len(one.planted) == 24
        if name not in OWN:
            assert one.seconds > 0 and one.peak_memory_bytes > 2**20
            assert one.title == registry.find(name).title
    assert found["lissa"].trace[-1][0] == 20
    assert not found["datainf"].trace


def test_every_estimator_finds_wrong_labels_better_than_chance(run):
    wrong = wrong_labels(run)
    for one in descriptions(run.path):
        area = detection(read_result(run.path, one.name)["suspicion"].to_numpy(), wrong)["roc_auc"]
        assert area > 0.55, one.name


def test_values_are_those_of_the_estimators_themselves(run, context):
    rows = np.arange(40)
    images, labels = context.train_inputs.images(rows), context.train_inputs.targets(rows)
    model = context.model_at("tuned_sgd")
    trusted = context.val_inputs.usable()
    assert len(trusted) == 120 - 24
    influence = DiagonalInfluence(model, images[:2])
    influence.fit(context.val_inputs.batches(trusted, 32))
    wanted = influence.score(images, labels)[0].numpy()
    vm = read_result(run.path, "vm")
    np.testing.assert_allclose(vm["value"][:40], wanted, rtol=1e-4)
    best = influence.score_all_labels(images, exact=1).best
    assert vm["suggested_label"][:40].tolist() == [context.classes[k] for k in best]
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(
            context.model_at("theta_star")(images), labels, reduction="none"
        )
    np.testing.assert_allclose(read_result(run.path, "loss")["value"][:40], loss, rtol=1e-4, atol=1e-6)
    assert np.allclose(read_result(run.path, "tuned_loss")["value"], run.scores["loss"], rtol=1e-3, atol=1e-6)


def test_starred_ones_look_at_the_kept_epoch_with_the_best_validation_accuracy(run):
    found = {one.name: one for one in descriptions(run.path)}
    table = run.training().set_index("epoch")["val_accuracy"]
    kept = [4, 8, 12]
    assert found["tracin"].settings["epochs"] == "4, 8, 12"
    assert found["ekfac_best"].settings["epoch"] == table[kept].idxmax()


def test_figures_over_epochs_and_steps(run):
    epochs, steps = (
        pd.read_parquet(run.path / "figures" / f"{name}.parquet") for name in ("epochs", "steps")
    )
    assert list(zip(epochs["epoch"], epochs["estimator"], strict=True)) == [
        (epoch, name) for epoch in (4, 8, 12) for name in ("lissa", "tracin")
    ]
    last = epochs[(epochs["epoch"] == 12) & (epochs["estimator"] == "lissa")]["suspicion"].iloc[0]
    assert np.array_equal(last, read_result(run.path, "lissa")["suspicion"].to_numpy())
    assert steps["step"].tolist() == [0, 30]
    assert np.allclose(
        steps["suspicion"].iloc[1], read_result(run.path, "ablation_ss")["suspicion"], rtol=1e-4, atol=1e-7
    )
    assert all(len(one) == 24 for one in steps["planted"])


def test_planted_samples_are_clean_ones_with_half_of_the_labels_wrong(run, context):
    planted = pd.read_parquet(run.path / "planted.parquet")
    assert run.info["planted"] == {"samples": 24, "wrong": 12, "in_training": True}
    truth = [context.classes[context.val.given[row]] for row in planted["row"]]
    assert planted["true_label"].tolist() == truth
    assert ((planted["planted_label"] != planted["true_label"]) == planted["wrong"]).all()
    assert planted["wrong"].sum() == 12
    # Wrong ones are told from right ones, as in the training set; they are in no table of results.
    own = next(one for one in descriptions(run.path) if one.name == "fvm")
    assert detection(np.array(own.planted), planted["wrong"].to_numpy())["roc_auc"] > 0.9
    assert len(run.scores) == 300 and len(run.trajectory()[1][0]) == 300
    assert not set(planted["id"]) & set(run.scores["id"])
    over_steps = run.planted_trajectory()
    assert over_steps.shape == (2, 24)
    assert np.array_equal(over_steps[-1], np.array(own.planted, dtype=np.float32))


class Watch:
    """Progress that keeps what the compare stage tells."""

    def __init__(self):
        self.told = []

    def update(self, stage, done, total):
        if stage == "compare":
            self.told.append((done, total))

    def log(self, text):
        pass


def same_comparison(one, other):
    for described, again in zip(descriptions(one.path), descriptions(other.path), strict=True):
        assert described.name == again.name
        assert described.planted == again.planted, described.name
        assert read_result(one.path, described.name).equals(read_result(other.path, described.name))
    for name in ("epochs", "steps"):
        tables = [pd.read_parquet(run.path / "figures" / f"{name}.parquet") for run in (one, other)]
        pd.testing.assert_frame_equal(*tables)


def test_stopped_anywhere_and_resumed_gives_the_same(run, tmp_path):
    other = RunFolder.create(tmp_path / "run", few_epochs(compare=ALL))
    for count in (3, 20, 40, 60, 80, 100, 150, 250):
        with pytest.raises(Cancelled):
            execute(other, StopsAt("compare", count))
    execute(other)
    same_results(other, run)
    same_comparison(other, run)


def test_estimators_added_later_are_those_of_a_run_that_had_them_from_the_start(run, tmp_path):
    later = RunFolder.create(tmp_path / "run", few_epochs(compare=replace(ALL, estimators=(), figures=False)))
    execute(later)
    assert {one.name for one in descriptions(later.path)} == OWN | {"loss", "tuned_loss"} | CROSSFIT
    before = {path: path.stat().st_mtime_ns for path in later.path.glob("*.parquet")}
    later.add_estimators(["datainf", "tracin", "tuned_margin"], figures=True)
    assert not later.finished
    watch = Watch()
    execute(later, watch)
    assert later.finished
    done = [done for done, _total in watch.told]
    assert done == sorted(done) and watch.told[-1][0] == watch.told[-1][1]
    assert len({total for _done, total in watch.told[1:]}) == 1
    assert watch.told[len(done) // 2][0] < watch.told[-1][1]
    assert {path: path.stat().st_mtime_ns for path in later.path.glob("*.parquet")} == before
    for name in ("datainf", "tracin", "tuned_margin"):
        assert read_result(later.path, name).equals(read_result(run.path, name)), name
    tables = [pd.read_parquet(one.path / "figures" / "steps.parquet") for one in (later, run)]
    pd.testing.assert_frame_equal(*tables)


def test_one_that_is_there_is_computed_again_only_with_another_setting(tmp_path):
    run = execute(RunFolder.create(tmp_path / "run", few_epochs()))
    run.add_estimators(["lissa", "tuned_margin"], settings={"lissa_depth": 20})
    execute(run)
    first = {one.name: one for one in descriptions(run.path)}
    values = read_result(run.path, "lissa")["value"].to_numpy()
    assert first["lissa"].settings["depth"] == 20
    stamp = (run.path / "estimators" / "lissa.parquet").stat().st_mtime_ns
    for settings in ({}, {"lissa_depth": 20}):
        run.add_estimators(["lissa"], settings=settings)
        execute(run)
        assert (run.path / "estimators" / "lissa.parquet").stat().st_mtime_ns == stamp
    run.add_estimators(["lissa"], settings={"lissa_depth": 5})
    assert "lissa" not in {one.name for one in descriptions(run.path)}
    execute(run)
    again = {one.name: one for one in descriptions(run.path)}
    assert again["lissa"].settings["depth"] == 5
    assert not np.allclose(read_result(run.path, "lissa")["value"].to_numpy(), values, rtol=1e-3)
    assert again["tuned_margin"] == first["tuned_margin"]
    assert all(content_fault(run.path, name, noted) is None for name, noted in read(run.path).items())
    for settings, message in (
        ({"members": 8}, "No estimator that is asked for has the setting `members`; ask for gex with it"),
        ({"nothing": 8}, "has the setting `nothing`; see `saltflat estimators`"),
        ({"lissa_depth": 0}, "lissa_depth` is 0; it must be at least 1"),
    ):
        with pytest.raises(SaltflatError, match=message):
            run.add_estimators(["lissa"], settings=settings)
    assert run.finished and run.config.compare.settings["lissa_depth"] == 5


def test_what_a_run_lacks_is_told_before_anything_is_computed(tmp_path):
    config = few_epochs(compare=CompareConfig(checkpoints=0))
    run = execute(RunFolder.create(tmp_path / "run", config))
    run.add_estimators(["tracin", "vm"])
    with pytest.raises(SaltflatError, match="TracIn needs checkpoints of training and this run has none"):
        execute(run)
    assert not (run.checkpoints / "tuned_sgd.safetensors").exists()
    with pytest.raises(SaltflatError, match="no estimator `lisa`"):
        run.add_estimators(["lisa"])
    given = replace(config.model, checkpoint=str(run.checkpoints / "theta_star.safetensors"))
    other = replace(config, model=given, train=TrainConfig(epochs=0))
    other = replace(other, compare=CompareConfig(estimators=("confident",)))
    with pytest.raises(SaltflatError, match="trains a model for every fold"):
        execute(RunFolder.create(tmp_path / "other", other))


def test_one_that_diverges_does_not_stop_the_others(tmp_path):
    compare = CompareConfig(
        estimators=("lissa", "datainf"),
        settings={"lissa_matrix": "hessian", "lissa_damping": 0.0, "lissa_depth": 300},
    )
    run = execute(RunFolder.create(tmp_path / "run", few_epochs(compare=compare)))
    assert run.finished
    names = {one.name for one in descriptions(run.path)}
    assert "datainf" in names and "lissa" not in names
    (reason,) = run.info["stages"]["compare"]["failed"].values()
    assert "LiSSA diverged at step" in reason
    assert list(run.info["stages"]["compare"]["failed"]) == ["lissa"]


def test_a_checkpoint_has_not_learnt_the_planted_samples(run, tmp_path):
    config = few_epochs(compare=CompareConfig(planted=0.2))
    given = replace(config.model, checkpoint=str(run.checkpoints / "theta_star.safetensors"))
    other = RunFolder.create(tmp_path / "run", replace(config, model=given, train=TrainConfig(epochs=0)))
    assert execute(other).info["planted"]["in_training"] is False


def test_costs_in_forward_passes():
    config = few_epochs(compare=replace(ALL, settings={"members": 4}))
    config = replace(config, tune=replace(config.tune, batch_size=64))
    sizes = Sizes(rated=1000, trusted=200, config=config)
    assert phases("loss", sizes) == {"scoring": 1000}
    assert phases("gex", sizes) == {"tuning": 4 * 30 * 64 * 3, "scoring": 4 * 1000}
    assert phases("fvm_sam", sizes)["tuning"] == 2 * 30 * 64 * 3
    assert phases("lissa_best", sizes) == phases("lissa", sizes)
    assert all(phases(name, sizes)["scoring"] > 0 for name in registry.names())


@pytest.mark.parametrize("start", ["previous", "theta_star"])
def test_members_start_where_the_settings_say(context, start, tmp_path):
    (tmp_path / "one").mkdir()
    first, second = members(context, tmp_path / "one", 2, start, lambda done, total: None)
    # Another first member, already there: only a second one that goes on from it notices.
    (tmp_path / "two").mkdir()
    save_tensors(tmp_path / "two" / "member_000.safetensors", {name: 2 * v for name, v in first.items()})
    other = members(context, tmp_path / "two", 2, start, lambda done, total: None)[1]
    same = all(torch.equal(value, other[name]) for name, value in second.items())
    assert same == (start == "theta_star")
    assert any(not torch.equal(value, second[name]) for name, value in first.items())
