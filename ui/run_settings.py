"""Widgets for model, training, tuning and scoring; the paper's defaults are named beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from fvm_core.access import places
from fvm_core.config import (
    DEVICES,
    FITS,
    MODEL_FILES,
    CompareConfig,
    ModelConfig,
    RunConfig,
    ScoreConfig,
    TrainConfig,
    TuneConfig,
)
from fvm_core.estimators import Estimator, Setting, registry
from fvm_core.estimators.setting import Value
from fvm_core.models.build import model_names
from fvm_core.models.pretrained import starts_pretrained
from fvm_core.pipeline.candidates import BUDGET, names_one
from fvm_core.pipeline.data_changes import PYTHON
from ui import paths, wording

COMMON_MODELS = ["auto", "small_cnn", "resnet18", "resnet34", "timm:tf_efficientnet_lite0"]
SOLVER_WORDS = {
    "sam": "SAM: a flat minimum (FVM, the paper's choice)",
    "sgd": "SGD: any minimum (VM)",
    "asam": "ASAM: flat, scaled by the weights",
    "fsam": "F-SAM: flat against noise only",
    "lpf": "LPF: flat on average",
}
"""Texts for the settings; the address bar and the run use the keys."""
PART_WORDS = {
    "auto": "auto: a head on the features of a pretrained backbone",
    "head": "a head on the features",
    "last:1": "the last block and a head",
    "last:2": "the last two blocks and a head",
    "last:3": "the last three blocks and a head",
    "all": "the whole network",
}


def model() -> ModelConfig:
    """Which classifier and which weights."""
    names = [*COMMON_MODELS, *(name for name in model_names() if name not in COMMON_MODELS)]
    name = st.selectbox(
        "Model",
        names,
        key="model",
        bind="query-params",
        help="auto takes a small CNN for tiny images and a pretrained backbone above 16 px. The paper uses "
        "ResNet-34. Names that begin with timm: are models of that library; the ImageNet weights of "
        "timm:tf_efficientnet_lite0 are installed with Saltflat, others are downloaded.",
    )
    checkpoint = paths.ask(
        "Checkpoint with trained weights",
        key="checkpoint",
        bind="query-params",
        placeholder="none: the model is trained first",
        help="A .pt or .pth state dict, or .safetensors. It is read without running code from it.",
    )
    pretrained = None
    if name not in ("auto", "small_cnn") and not checkpoint:
        pretrained = st.toggle(
            "Start from ImageNet weights",
            value=starts_pretrained(name, None),
            key=_pretrained_key(name),
            bind="query-params",
        )
    fit = st.selectbox(
        "Wide and tall images",
        FITS,
        key="fit",
        bind="query-params",
        help="The model takes squares. crop may cut off what the label means, pad makes things smaller, "
        "stretch changes their shape. auto crops where that costs the median image less than 20 %, and pads "
        "elsewhere.",
    )
    part = "auto"
    if not checkpoint and (name == "auto" or pretrained):
        part = st.selectbox(
            "What is trained",
            list(PART_WORDS),
            format_func=PART_WORDS.get,
            key="part",
            bind="query-params",
            help="With a head every image goes through the backbone once; all that follows takes seconds, "
            "and the next run on these images finds the features in the workspace.",
        )
    features = val_features = weights = None
    if not checkpoint and part in ("auto", "head"):
        with st.expander("Backbone's weights, or features from elsewhere", key="backbone"):
            if pretrained or name == "auto":
                weights = paths.ask(
                    "Weights of the backbone",
                    key="backbone-weights",
                    bind="query-params",
                    placeholder="those that come along, or the library's download",
                    help="safetensors or a state dict. It is read without running code from it.",
                )
            features = paths.ask(
                "Features of the training images",
                key="features",
                bind="query-params",
                placeholder="none: a backbone embeds the images",
                help="Embeddings that you have made: a .parquet file with a column id and one of lists, "
                "an .npz file, or an .npy file with its rows in the order of the images.",
            )
            if features:
                val_features = paths.ask(
                    "Features of the trusted images",
                    key="val-features",
                    bind="query-params",
                    placeholder="in the same file",
                )
    return ModelConfig(
        name="auto" if features else name,
        checkpoint=str(checkpoint or ""),
        pretrained=None if features else pretrained,
        train_part=part,
        fit=fit,
        backbone_weights=str(weights or "") if not features else "",
        features=str(features or ""),
        val_features=str(val_features or ""),
    )


def within_reach(model: ModelConfig) -> ModelConfig:
    """The model with whole paths that the screens may read; raises `SaltflatError` for others."""
    given = {name: getattr(model, name) for name in MODEL_FILES}
    return replace(model, **{name: str(places.allowed(path)) for name, path in given.items() if path})


def _pretrained_key(name: str) -> str:
    """One for the models that have weights by default: a switch keeps what it was at first."""
    return "pretrained-timm" if starts_pretrained(name, None) else "pretrained"


def settings(config: RunConfig, several: bool) -> RunConfig:
    """The time for choosing a model, and the folded settings; what is left empty goes by the data.

    Args:
        config: data and model.
        several: whether `auto` has more than one classifier to choose from for these images.
    """
    budget = None if names_one(config) or not several else _budget()
    with st.expander("Tuning and other settings", key="settings"):
        solver = st.selectbox(
            "Solver", list(SOLVER_WORDS), key="solver", bind="query-params", help=_solver_help()
        )
        st.caption(SOLVER_WORDS[solver])
        left, right = st.columns(2)
        gamma = left.number_input(
            "Flatness radius γ",
            0.0,
            value=None,
            step=0.01,
            format="%.3f",
            key="gamma",
            bind="query-params",
            placeholder="paper",
            help="Paper: 0.05 for 10 classes, 0.1 for 100 (SAM).",
            disabled=solver == "sgd",
        )
        steps = right.number_input(
            "Tuning steps",
            1,
            value=None,
            step=100,
            key="steps",
            bind="query-params",
            placeholder="by size",
            help="Paper: 1000; 300 for tiny images.",
        )
        saved = left.number_input(
            "Saved steps",
            1,
            50,
            6,
            key="saved",
            bind="query-params",
            help="Steps at which every sample is scored. The first is before tuning.",
        )
        damping = right.number_input(
            "Damping",
            0.0,
            value=0.1,
            step=0.05,
            format="%.3f",
            key="damping",
            bind="query-params",
            help="Added to the Fisher's diagonal, as a share of its mean.",
        )
        epochs = left.number_input(
            "Training epochs",
            0,
            value=None,
            step=10,
            key="epochs",
            bind="query-params",
            placeholder="by size",
            help="Paper: 100. 0 uses the checkpoint as it is.",
        )
        seed = right.number_input(
            "Seed", 0, value=0, key="seed", bind="query-params", help="Same seed, same result."
        )
        device = left.selectbox(
            "Device", DEVICES, key="device", bind="query-params", help="auto takes the fastest."
        )
        embed = right.toggle(
            "Make the map",
            value=True,
            key="map",
            bind="query-params",
            help="A 2-D map of all images. Takes about 20 s more.",
        )
    return replace(
        config,
        budget=budget,
        compare=_comparison(),
        train=TrainConfig(epochs=epochs),
        tune=TuneConfig(
            solver=solver, gamma=None if solver == "sgd" else gamma, steps=steps, saved_steps=saved
        ),
        score=ScoreConfig(estimator="vm" if solver == "sgd" else "fvm", damping=damping),
        device=device,
        seed=seed,
        embed=embed,
    )


def _budget() -> float:
    """Minutes for trying several classifiers."""
    return st.number_input(
        "Minutes that the run may take",
        0.0,
        value=BUDGET,
        step=10.0,
        format="%g",
        key="budget",
        bind="query-params",
        help="Within them auto also tries a small network and the last block of the backbone, each on folds "
        "of your images, and keeps the one that knows most of the trusted images. On drawings and other "
        "pictures that are no photographs a small network is often better. 0 tries nothing else.",
    )


def _comparison() -> CompareConfig:
    """The folded settings of the scores that stand beside the run's own."""
    with st.expander("Compare with other scores", key="comparison"):
        kinds, faults = registry.loadable()
        names = estimator_choice("estimators", list(kinds))
        for reason in faults.values():
            st.caption(wording.in_markdown(reason))
        left, right = st.columns(2)
        planted = left.number_input(
            "Planted wrong labels",
            0.0,
            0.5,
            value=None,
            step=0.05,
            format="%.2f",
            key="planted",
            bind="query-params",
            placeholder="by data",
            help="Share of the trusted images that is held back, half of it with wrong labels, to measure "
            "which score finds them. Left empty: 0.1 where no truth is known and there are 200 images.",
        )
        kept = right.number_input(
            "Checkpoints to keep",
            0,
            50,
            value=None,
            key="kept",
            bind="query-params",
            placeholder="where needed",
            help="Of training, evenly spaced. TracIn and the starred scores need them from the start.",
        )
        figures = left.toggle(
            "The paper's figures",
            key="figures",
            bind="query-params",
            help="Scores over training and tuning: every kept checkpoint and saved step is scored with the "
            "standard influence too (figures 2 and 3).",
        )
        own = estimator_settings([registry.find(name) for name in names])
    return CompareConfig(
        estimators=tuple(names), planted=planted, checkpoints=kept, figures=figures, settings=own
    )


def estimator_choice(key: str, names: Sequence[str]) -> list[str]:
    """A choice of several estimators by title, with what each costs below."""
    kinds = {name: registry.find(name) for name in names}
    titles = {name: kind.title for name, kind in kinds.items()}
    chosen = st.multiselect(
        "Scores beside the influence",
        names,
        key=key,
        bind="query-params",
        format_func=titles.get,
        placeholder="none: the influence, and the loss before and after tuning",
        help="All are computed on the same samples from the same model, and stand side by side on Compare.",
    )
    for name in chosen:
        st.caption(f"{titles[name]}: {kinds[name].cost}.")
    return chosen


def estimator_settings(
    kinds: Sequence[type[Estimator]], values: Mapping[str, Value] | None = None, key: str = ""
) -> dict[str, Value]:
    """A field for everything that the chosen estimators let people set.

    Args:
        kinds: the chosen estimators.
        values: what the fields hold at first, where it is not the declared default.
        key: stands before the fields' names in the address.
    """
    declared = {one.name: one for kind in kinds for one in kind.settings}
    columns = st.columns(2) if declared else ()
    return {
        one.name: _field(columns[number % 2], one, (values or {}).get(one.name, one.default), key)
        for number, one in enumerate(declared.values())
    }


def _field(where: DeltaGenerator, one: Setting, value: Value, key: str) -> Value:
    about = {"key": key + _key(one.name), "bind": "query-params", "help": one.help}
    if one.choices:
        words = dict(one.choices)
        options = list(words)
        return where.selectbox(one.title, options, options.index(value), format_func=words.get, **about)
    if isinstance(one.default, bool):
        return where.toggle(one.title, value, **about)
    if isinstance(one.default, str):
        return where.text_input(one.title, value, **about)
    kind = type(one.default)
    fine = {"step": 1} if kind is int else {"step": one.default / 10 or 0.01, "format": "%.3f"}
    least = None if one.least is None else kind(one.least)
    most = None if one.below is None else kind(one.below) - fine["step"]
    return where.number_input(one.title, least, most, value, **fine, **about)


def _key(name: str) -> str:
    """Of a setting's field, and its name in the address."""
    return name.replace("_", "-")


def prefill(config: RunConfig) -> None:
    """Set the widgets to what another run used; call it before the widgets are drawn."""
    values = {
        "model": "auto" if config.model.features else config.model.name,
        "budget": config.budget,
        "checkpoint": config.model.checkpoint,
        _pretrained_key(config.model.name): config.model.pretrained,
        "fit": config.model.fit,
        "backbone-weights": config.model.backbone_weights or None,
        "features": None if config.model.features in ("", PYTHON) else config.model.features,
        "val-features": config.model.val_features or None,
        "part": config.model.train_part if config.model.train_part in PART_WORDS else None,
        "solver": config.tune.solver,
        "gamma": config.tune.gamma,
        "steps": config.tune.steps,
        "saved": config.tune.saved_steps,
        "damping": config.score.damping,
        "epochs": config.train.epochs,
        "seed": config.seed,
        "device": config.device,
        "map": config.embed,
        # A file of somebody's own is run with their rights: it is named in the terminal, never by an address.
        "estimators": [name for name in config.compare.estimators if name in registry.names()],
        "planted": config.compare.planted,
        "kept": config.compare.checkpoints or None,
        "figures": config.compare.figures,
        **{_key(name): value for name, value in config.compare.settings.items()},
    }
    for key, value in values.items():
        if value is not None:
            st.session_state[key] = value


def _solver_help() -> str:
    return "How the model is tuned on the images you trust. " + " · ".join(SOLVER_WORDS.values())
