import tomllib
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fvm_core.config import (
    DEVICES,
    OPTIONS,
    SOLVERS,
    CompareConfig,
    CrossfitConfig,
    ModelConfig,
    RunConfig,
    ScoreConfig,
    TrainConfig,
    TuneConfig,
)
from fvm_core.data import DatasetSpec
from fvm_core.errors import SaltflatError

TRAIN, VAL = DatasetSpec("train.parquet", label="worse_label", limit=50), DatasetSpec("digits", split="val")
PLAIN = RunConfig(TRAIN, VAL)
FULL = RunConfig(
    TRAIN,
    DatasetSpec("cifar10:/data", split="test", true_label="t", image="i", id="k", noise=0.0, seed=3),
    ModelConfig("resnet18", "cifar", "weights/θ*.pt", True, 64),
    TrainConfig(12, 0.05, 0.8, 0.0, 32, True),
    TuneConfig("lpf", 0.002, 700, 4, 0.003, 0.0, 1e-3, 16),
    ScoreConfig("vm", 1e-10, "absolute", 256, 5),
    name='first "run"',
    device="cuda",
    precision="bf16",
    seed=7,
    embed=False,
)


@pytest.mark.parametrize("config", [PLAIN, FULL])
def test_a_toml_file_gives_the_same_settings(tmp_path, config):
    path = tmp_path / "config.toml"
    path.write_text(config.to_toml(), encoding="utf-8")
    assert RunConfig.read(path) == config
    assert RunConfig.from_dict(config.to_dict()) == config


def test_what_is_not_set_is_not_written():
    written = tomllib.loads(PLAIN.to_toml())
    assert "epochs" not in written["train"]
    assert "gamma" not in written["tune"]
    assert written["train_data"]["label"] == "worse_label"


@settings(deadline=None, max_examples=60)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=3, max_size=3),
    rate=st.floats(1e-300, 1e300),
    damping=st.floats(0, 1e300),
    seed=st.integers(0, 2**32 - 1),
)
def test_texts_and_numbers_come_back_exactly(texts, rate, damping, seed):
    config = replace(
        PLAIN,
        name=texts[0],
        train_data=DatasetSpec(texts[1], label=texts[2]),
        tune=TuneConfig(lr=rate),
        score=ScoreConfig(damping=damping),
        seed=seed,
    )
    assert RunConfig.from_dict(tomllib.loads(config.to_toml())) == config


def changed(key: str, value: object) -> dict:
    values = PLAIN.to_dict()
    table, _, name = key.rpartition(".")
    (values[table] if table else values)[name] = value
    return values


@pytest.mark.parametrize(
    ("key", "known"),
    [
        ("tune.solvr", "gamma"),
        ("train_data.path", "source"),
        ("colour", "precision"),
        ("score.fvm", "damping"),
    ],
)
def test_an_unknown_setting_is_named_with_the_known_ones(key, known):
    with pytest.raises(SaltflatError, match=f"Unknown setting `{key}`; known here: .*{known}"):
        RunConfig.from_dict(changed(key, 1))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("tune.solver", "adam", "choose one of: sgd, sam, asam, fsam, lpf"),
        ("device", "gpu", "choose one of: auto, cpu, cuda, mps"),
        ("precision", "fp16", "choose one of"),
        ("model.stem", "tiny", "choose one of"),
        ("score.damping_kind", "big", "choose one of: relative, per_tensor, absolute"),
        ("tune.steps", -1, "at least 0"),
        ("tune.saved_steps", 0, "at least 1"),
        ("tune.gamma", -0.1, "at least 0"),
        ("tune.momentum", -0.1, "at least 0"),
        ("train.weight_decay", -1.0, "at least 0"),
        ("train.batch_size", 0, "at least 1"),
        ("score.damping", -1e-9, "at least 0"),
        ("score.alternatives", 0, "at least 1"),
        ("seed", -1, "at least 0"),
        ("train.lr", 0, "above 0"),
        ("tune.lr", -0.1, "above 0"),
        ("tune.steps", "many", "a whole number"),
        ("tune.steps", 2.5, "a whole number"),
        ("tune.steps", True, "a whole number"),
        ("seed", "1", "a whole number"),
        ("tune.lr", "0.1", "a number"),
        ("tune.lr", float("nan"), "a number"),
        ("score.damping", float("inf"), "a number"),
        ("model.pretrained", "yes", "true or false"),
        ("embed", 1, "true or false"),
        ("model.name", 18, "a text"),
        ("model.name", ["resnet18"], "a text"),
        ("train_data.source", 5, "a text"),
        ("train_data.limit", "all", "a whole number"),
    ],
)
def test_a_bad_value_is_named(key, value, message):
    with pytest.raises(SaltflatError, match=f"Setting `{key}` is .*{message}"):
        RunConfig.from_dict(changed(key, value))


def test_a_value_where_a_table_belongs_is_named():
    with pytest.raises(SaltflatError, match=r"`model` is 'resnet18'.*\[model\]"):
        RunConfig.from_dict({**PLAIN.to_dict(), "model": "resnet18"})


@pytest.mark.parametrize("missing", ["train_data", "val_data"])
def test_data_must_be_named(missing):
    values = PLAIN.to_dict()
    del values[missing]
    with pytest.raises(SaltflatError, match=rf"lack `{missing}\.source`"):
        RunConfig.from_dict(values)
    with pytest.raises(SaltflatError, match=rf"lack `{missing}\.source`"):
        RunConfig.from_dict({**values, missing: "digits"})


def test_the_file_is_named(tmp_path):
    with pytest.raises(SaltflatError, match=r"There is no settings file .*none\.toml"):
        RunConfig.read(tmp_path / "none.toml")
    with pytest.raises(SaltflatError, match="can't be read"):
        RunConfig.read(tmp_path)
    for name, content in [("a.toml", b"x = = 1"), ("b.toml", b"x = '\xff'")]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SaltflatError, match=f"{name} is not a TOML file"):
            RunConfig.read(tmp_path / name)
    (tmp_path / "c.toml").write_text(PLAIN.to_toml().replace('"sam"', '"adam"'))
    with pytest.raises(SaltflatError, match=r"c\.toml: Setting `tune\.solver` is 'adam'"):
        RunConfig.read(tmp_path / "c.toml")


def test_flat_options_reach_their_place():
    given_options = {"model": "resnet34", "epochs": 0, "gamma": 0.2, "batch_size": 64, "seed": 5, "lr": None}
    config = RunConfig.from_options(TRAIN, VAL, given_options)
    assert (config.train_data, config.val_data) == (TRAIN, VAL)
    assert (config.model.name, config.train.epochs, config.tune.gamma) == ("resnet34", 0, 0.2)
    assert (config.score.batch_size, config.seed, config.tune.lr) == (64, 5, TuneConfig().lr)
    assert RunConfig.from_options(TRAIN, VAL, {}) == PLAIN


def test_options_win_over_the_base_and_leave_it_alone():
    base = FULL.to_dict()
    before = FULL.to_dict()
    config = RunConfig.from_options(TRAIN, VAL, {"solver": "sgd"}, base)
    assert config == replace(FULL, train_data=TRAIN, val_data=VAL, tune=replace(FULL.tune, solver="sgd"))
    assert base == before


def test_every_option_has_a_place():
    tables = {
        "model": ModelConfig,
        "train": TrainConfig,
        "tune": TuneConfig,
        "score": ScoreConfig,
        "crossfit": CrossfitConfig,
        "compare": CompareConfig,
    }
    for place in OPTIONS.values():
        table, _, name = place.rpartition(".")
        assert name in {item.name for item in fields(tables[table] if table else RunConfig)}, place


def test_options_that_cannot_be_are_named():
    with pytest.raises(SaltflatError, match=r"Unknown option `step`; known: .*steps"):
        RunConfig.from_options(TRAIN, VAL, {"step": 3})
    with pytest.raises(SaltflatError, match=r"Setting `tune\.steps` is 'x'"):
        RunConfig.from_options(TRAIN, VAL, {"steps": "x"})


def test_paths_and_numbers_of_numpy_become_plain():
    options = {"checkpoint": Path("w.pt"), "seed": np.int64(3), "lr": np.float32(0.5), "gamma": 1}
    config = RunConfig.from_options(TRAIN, VAL, options)
    assert (config.model.checkpoint, config.seed, config.tune.lr) == ("w.pt", 3, 0.5)
    assert [type(value) for value in (config.seed, config.tune.lr, config.tune.gamma)] == [int, float, float]
    assert RunConfig.from_dict(tomllib.loads(config.to_toml())) == config


def test_every_solver_and_device_is_accepted():
    for solver in SOLVERS:
        for device in DEVICES:
            config = RunConfig.from_options(TRAIN, VAL, {"solver": solver, "device": device})
            assert (config.tune.solver, config.device) == (solver, device)


def test_a_name_is_set_on_a_copy():
    assert (PLAIN.named("second").name, PLAIN.name) == ("second", "")


def options(**values):
    return RunConfig.from_options(DatasetSpec("digits"), DatasetSpec("digits", split="val"), values)


@pytest.mark.parametrize(
    ("names", "main", "solver", "others"),
    [
        ("fvm", "fvm", "sam", ()),
        ("vm", "vm", "sgd", ()),
        (["vm", "fvm"], "fvm", "sam", ("vm",)),
        (["lissa", "lissa*", "lissa"], "fvm", "sam", ("lissa", "lissa_best")),
        (["vm", "gex"], "vm", "sgd", ("gex",)),
    ],
)
def test_estimators_are_the_runs_own_and_others(names, main, solver, others):
    config = options(estimator=names)
    assert config.score.estimator == main
    assert config.tune.solver == solver
    assert config.compare.estimators == others
    again = RunConfig.from_dict(tomllib.loads(config.to_toml()))
    assert again == config


def test_vm_with_another_solver_keeps_the_solver():
    assert options(estimator="vm", solver="lpf").tune.solver == "lpf"


def test_wrong_settings_of_the_comparison_are_told():
    with pytest.raises(SaltflatError, match="no estimator `lisa`"):
        options(estimator="lisa")
    with pytest.raises(SaltflatError, match=r"`compare\.planted` is 1"):
        options(planted=1.0)
    with pytest.raises(SaltflatError, match=r"`compare\.members` is 1; it must be at least 2"):
        options(members=1)
    with pytest.raises(SaltflatError, match="must be a list of texts"):
        RunConfig.from_dict(
            {"train_data": {"source": "a"}, "val_data": {"source": "b"}, "compare": {"estimators": "lissa"}}
        )
