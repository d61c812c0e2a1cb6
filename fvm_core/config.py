"""The settings of one run: Python object, TOML file and command line options are the same thing."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import tomli_w

from fvm_core.data.conversion import BACKGROUNDS
from fvm_core.data.dataset import DatasetSpec
from fvm_core.errors import SaltflatError
from fvm_core.estimators import registry
from fvm_core.estimators.setting import Value
from fvm_core.toml_file import read_toml
from fvm_core.typed_settings import build, table

SOLVERS = ("sgd", "sam", "asam", "fsam", "lpf")
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16")
SCORE_PRECISIONS = ("fp32", "bf16")
STEMS = ("auto", "cifar", "imagenet")
FITS = ("auto", "crop", "pad", "stretch")
DAMPING_KINDS = ("relative", "per_tensor", "absolute")
MAIN_ESTIMATORS = ("fvm", "vm")
"""Scores that a run is made for; the others stand beside them."""

MODEL_FILES = ("checkpoint", "backbone_weights", "features", "val_features")
"""Settings of `ModelConfig` that name files."""

_MOST_SEED = 2**32 - 1
"""All libraries that draw random numbers take seeds up to this one."""

OPTIONS = {
    "model": "model.name",
    "stem": "model.stem",
    "checkpoint": "model.checkpoint",
    "pretrained": "model.pretrained",
    "backbone_weights": "model.backbone_weights",
    "size": "model.size",
    "fit": "model.fit",
    "train_part": "model.train_part",
    "features": "model.features",
    "val_features": "model.val_features",
    "mirror": "model.mirror",
    "epochs": "train.epochs",
    "train_lr": "train.lr",
    "augment": "train.augment",
    "solver": "tune.solver",
    "gamma": "tune.gamma",
    "steps": "tune.steps",
    "saved_steps": "tune.saved_steps",
    "lr": "tune.lr",
    "estimator": "compare.estimators",
    "crossfit_folds": "crossfit.folds",
    "crossfit_rounds": "crossfit.rounds",
    "proximity": "crossfit.proximity",
    "damping": "score.damping",
    "damping_kind": "score.damping_kind",
    "score_precision": "score.precision",
    "batch_size": "score.batch_size",
    "alternatives": "score.alternatives",
    "keep_checkpoints": "compare.checkpoints",
    "best_epoch": "compare.best_epoch",
    "planted": "compare.planted",
    "figures": "compare.figures",
    "name": "name",
    "budget": "budget",
    "device": "device",
    "precision": "precision",
    "seed": "seed",
    "embed": "embed",
}
"""Flat names, as the command line and `fvm.run` take them, to places in the settings. Settings of
estimators are known by their own names beside them."""


@dataclass(frozen=True)
class ModelConfig:
    """Which classifier, and where its weights come from.

    Attributes:
        name: `auto` (a small CNN up to 16 px, a pretrained backbone above), `small_cnn`, any torchvision
            classification model, or `timm:NAME`.
        stem: `cifar` (3×3, stride 1) or `imagenet` for the ResNets; `auto` goes by the image size.
        checkpoint: file with weights of θ*, or of a start for training when `epochs` is above 0.
        pretrained: start from weights that were trained elsewhere; None: for `auto` and timm's models, and
            where `backbone_weights` or `train_part` ask for it.
        backbone_weights: file with these weights; empty takes what is installed, or the library's download.
        train_part: `head` embeds every image once and trains a linear head on the features, `last:N` also
            the last N blocks, `all` trains the whole network; `auto` is `head` for pretrained backbones.
        features: file with embeddings that were made elsewhere, in place of a backbone; val_features: that
            of the validation set, where it is another file.
        mirror: embed the mirror image of each image too and take the mean.
        size: height and width that images are brought to; 0 goes by the data and the model.
        fit: what becomes of wide and tall images: `crop`, `pad`, `stretch`; `auto` crops where the median
            image loses little by it, else pads.
    """

    name: str = "auto"
    stem: str = "auto"
    checkpoint: str = ""
    pretrained: bool | None = None
    size: int = 0
    fit: str = "auto"
    backbone_weights: str = ""
    train_part: str = "auto"
    features: str = ""
    val_features: str = ""
    mirror: bool = False

    @property
    def on_features(self) -> bool:
        """Whether what is trained gets features instead of images, once the settings are complete."""
        return self.train_part == "head" or self.train_part.startswith("last:")


@dataclass(frozen=True)
class TrainConfig:
    """Training of θ* (paper, appendix B.1). None means: chosen by the size of the data.

    Attributes:
        epochs: 0 uses the checkpoint as it is.
        lr: learning rate of SGD with `momentum`, multiplied by 0.1 after half of the epochs.
        augment: random crop with 4 px padding and horizontal flip.
    """

    epochs: int | None = None
    lr: float | None = None
    momentum: float = 0.9
    weight_decay: float = 5e-4
    batch_size: int | None = None
    augment: bool | None = None


@dataclass(frozen=True)
class TuneConfig:
    """Tuning on the validation set (paper, section 3.3 and appendix B.1).

    Attributes:
        solver: `sgd` gives VM, the others a flat minimum (FVM).
        gamma: radius of the flatness term; None takes the solver's default in the paper.
        steps: number of SGD steps, learning rate cosine to 0.
        saved_steps: number S of steps at which influence is computed, step 0 included.
    """

    solver: str = "sam"
    gamma: float | None = None
    steps: int | None = None
    saved_steps: int = 6
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    batch_size: int | None = None


@dataclass(frozen=True)
class ScoreConfig:
    """Influence scores (paper, equations 21 to 25).

    Attributes:
        estimator: `fvm` (with solver `sgd` it is VM).
        damping: added to the diagonal Fisher before it is inverted.
        damping_kind: `relative` to the mean of the Fisher's diagonal over all parameters, `per_tensor` to
            that over each tensor, or `absolute`.
        batch_size: samples per forward pass; 0 finds one, the scores do not depend on it.
        alternatives: how many labels are listed for each sample, best first; the first two with their exact
            influence, the others by probability.
        precision: `fp32`, or `bf16` for the forward and backward passes of each saved step at which they
            rank a part of the samples as fp32 does (Spearman at least 0.999).
    """

    estimator: str = "fvm"
    damping: float = 0.1
    damping_kind: str = "relative"
    batch_size: int = 0
    alternatives: int = 3
    precision: str = "fp32"


@dataclass(frozen=True)
class CrossfitConfig:
    """Scores by models that have not seen the sample's label.

    The samples are dealt to folds; each fold is scored by a model that is trained on the others and then
    tuned on the validation set, held near where it began by `(ρ/2)‖θ − θ_f‖²`. In the second round every
    sample weighs as much as the first round believes its label, and the validation samples join in.

    Attributes:
        rounds: 0 leaves the stage out; None is 2 for a head on features, else 0: a whole network costs a
            training for every fold and round.
        folds: F.
        proximity: ρ; None tries several and none at all, by the loss on validation samples that were left
            out.
        trusted_weight: of a validation sample in the second round, where a training sample weighs at most 1.
    """

    rounds: int | None = None
    folds: int = 5
    proximity: float | None = None
    trusted_weight: float = 2.0


@dataclass(frozen=True)
class CompareConfig:
    """What stands beside the run's own score (paper, section 4 and appendix B.1).

    Attributes:
        estimators: names, or classes as `path/to/file.py:Class`, see `saltflat estimators`; those that need
            neither checkpoints nor an ensemble can still be added to a finished run.
        checkpoints: how many training keeps, evenly spaced, the last epoch included; None keeps 5 where an
            estimator needs them, else none.
        best_epoch: the kept epoch for LiSSA*, DataInf* and EK-FAC*; None takes the one with the highest
            validation accuracy.
        planted: share of the validation set that is held back from tuning, half of it with planted wrong
            labels, to measure scores where no truth is known; None takes 0.1 where no true labels are
            known and the validation set has at least 200 samples, else 0.
        figures: also score at every kept checkpoint and, with the standard influence, at every saved step
            (the paper's figures 2 and 3).
        settings: of the estimators, as they declare them; in the table `[compare]` beside the others.
    """

    estimators: tuple[str, ...] = ()
    checkpoints: int | None = None
    best_epoch: int | None = None
    planted: float | None = None
    figures: bool = False
    settings: dict[str, Value] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class RunConfig:
    """All settings of a run; `config.toml` in the run folder holds them.

    Attributes:
        budget: minutes that a run with the model `auto` may take for trying more than one classifier; None
            is 20, with 0 only the first one is taken.
    """

    train_data: DatasetSpec
    val_data: DatasetSpec
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    tune: TuneConfig = field(default_factory=TuneConfig)
    score: ScoreConfig = field(default_factory=ScoreConfig)
    crossfit: CrossfitConfig = field(default_factory=CrossfitConfig)
    compare: CompareConfig = field(default_factory=CompareConfig)
    name: str = ""
    budget: float | None = None
    device: str = "auto"
    precision: str = "auto"
    seed: int = 0
    embed: bool = True

    def check(self) -> RunConfig:
        """Raise `SaltflatError` naming the first setting that cannot be; return self otherwise."""
        choices = [
            ("tune.solver", self.tune.solver, SOLVERS),
            ("device", self.device, DEVICES),
            ("precision", self.precision, PRECISIONS),
            ("model.stem", self.model.stem, STEMS),
            ("model.fit", self.model.fit, FITS),
            ("score.damping_kind", self.score.damping_kind, DAMPING_KINDS),
            ("score.precision", self.score.precision, SCORE_PRECISIONS),
            ("score.estimator", self.score.estimator, MAIN_ESTIMATORS),
            *((f"{name}.background", spec.background, (None, *BACKGROUNDS)) for name, spec in self._data()),
        ]
        for key, value, allowed in choices:
            if value not in allowed:
                allowed = [one for one in allowed if one is not None]
                raise SaltflatError(f"Setting `{key}` is {value!r}; choose one of: {', '.join(allowed)}.")
        _check_part(self.model)
        minimums = [
            ("train.epochs", self.train.epochs, 0),
            ("train.momentum", self.train.momentum, 0),
            ("train.weight_decay", self.train.weight_decay, 0),
            ("train.batch_size", self.train.batch_size, 1),
            ("tune.steps", self.tune.steps, 0),
            ("tune.saved_steps", self.tune.saved_steps, 1),
            ("tune.momentum", self.tune.momentum, 0),
            ("tune.weight_decay", self.tune.weight_decay, 0),
            ("tune.batch_size", self.tune.batch_size, 1),
            ("tune.gamma", self.tune.gamma, 0),
            ("score.damping", self.score.damping, 0),
            ("score.batch_size", self.score.batch_size, 0),
            ("score.alternatives", self.score.alternatives, 1),
            ("crossfit.rounds", self.crossfit.rounds, 0),
            ("crossfit.folds", self.crossfit.folds, 2),
            ("crossfit.proximity", self.crossfit.proximity, 0),
            ("crossfit.trusted_weight", self.crossfit.trusted_weight, 0),
            ("compare.checkpoints", self.compare.checkpoints, 0),
            ("compare.best_epoch", self.compare.best_epoch, 1),
            ("compare.planted", self.compare.planted, 0),
            ("model.size", self.model.size, 0),
            ("budget", self.budget, 0),
            ("seed", self.seed, 0),
            *((f"{name}.limit", spec.limit, 1) for name, spec in self._data()),
            *((f"{name}.seed", spec.seed, 0) for name, spec in self._data()),
            *((f"{name}.noise", spec.noise, 0) for name, spec in self._data()),
        ]
        for key, value, least in minimums:
            if value is not None and value < least:
                raise SaltflatError(f"Setting `{key}` is {value}; it must be at least {least}.")
        maximums = [
            ("seed", self.seed, _MOST_SEED),
            ("crossfit.rounds", self.crossfit.rounds, 2),
            ("crossfit.folds", self.crossfit.folds, 50),
            *((f"{name}.seed", spec.seed, _MOST_SEED) for name, spec in self._data()),
            *((f"{name}.noise", spec.noise, 1) for name, spec in self._data()),
        ]
        for key, value, most in maximums:
            if value is not None and value > most:
                raise SaltflatError(f"Setting `{key}` is {value}; it must be at most {most}.")
        for key, value in [("train.lr", self.train.lr), ("tune.lr", self.tune.lr)]:
            if value is not None and value <= 0:
                raise SaltflatError(f"Setting `{key}` is {value}; it must be above 0.")
        planted = self.compare.planted
        if planted is not None and planted >= 1:
            raise SaltflatError(f"Setting `compare.planted` is {planted}; it must be below 1.")
        for name in self.compare.estimators:
            registry.check(name)
        registry.checked_settings(self.compare.settings, self.compare.estimators)
        return self

    def _data(self) -> tuple[tuple[str, DatasetSpec], tuple[str, DatasetSpec]]:
        return ("train_data", self.train_data), ("val_data", self.val_data)

    def to_dict(self) -> dict:
        """Nested plain values, without the ones that are None."""
        values = asdict(self)
        values["compare"] |= values["compare"].pop("settings")
        return _without_none(values)

    def to_toml(self) -> str:
        """The text of `config.toml`."""
        return tomli_w.dumps(self.to_dict())

    @staticmethod
    def from_dict(values: dict) -> RunConfig:
        """The opposite of `to_dict`; raises `SaltflatError` naming an unknown or missing setting."""
        values = dict(values)
        for key in ("train_data", "val_data"):
            if not isinstance(values.get(key), dict) or "source" not in values[key]:
                raise SaltflatError(f"The settings lack `{key}.source`: say where the images are.")
        tables = {
            "train_data": DatasetSpec,
            "val_data": DatasetSpec,
            "model": ModelConfig,
            "train": TrainConfig,
            "tune": TuneConfig,
            "score": ScoreConfig,
            "crossfit": CrossfitConfig,
            "compare": CompareConfig,
        }
        if "compare" in values:
            values["compare"] = _with_settings(table(values["compare"], "compare"))
        for key, kind in tables.items():
            if key in values:
                values[key] = build(kind, values[key], key + ".")
        return build(RunConfig, values, "").check()

    @staticmethod
    def read(path: str | Path) -> RunConfig:
        """Settings from a TOML file; raises `SaltflatError` naming the file and the fault."""
        try:
            return RunConfig.from_dict(read_toml(path))
        except SaltflatError as error:
            text = str(error)
            raise SaltflatError(text if str(path) in text else f"{path}: {text}") from None

    @staticmethod
    def from_options(
        train: DatasetSpec, val: DatasetSpec, options: dict[str, object], base: dict | None = None
    ) -> RunConfig:
        """Settings from the flat names of the command line, see `OPTIONS`; None values are left out.

        Args:
            train: where the training set is.
            val: where the validation set is.
            options: values by flat name.
            base: settings as `to_dict` gives them, over which the options win.

        Raises:
            SaltflatError: an option that does not exist or a value that cannot be.
        """
        values: dict = copy.deepcopy(base or {}) | {"train_data": train.to_dict(), "val_data": val.to_dict()}
        places = {**{name: f"compare.{name}" for name in registry.settings()}, **OPTIONS}
        for name, value in options.items():
            if name not in places:
                raise SaltflatError(f"Unknown option `{name}`; known: {', '.join(sorted(places))}.")
            not_given = isinstance(value, list) and not value  # of an option that can be repeated
            if value is None or not_given:
                continue
            if name == "estimator":
                _take_estimators(values, value, solver=options.get("solver"))
                continue
            where, _, key = places[name].rpartition(".")
            (values.setdefault(where, {}) if where else values)[key] = value
        return RunConfig.from_dict(values)

    def named(self, name: str) -> RunConfig:
        """The same settings under another name."""
        return replace(self, name=name)


def _check_part(model: ModelConfig) -> None:
    """Refuse a part of a network that is none, and settings that contradict each other."""
    part = model.train_part
    blocks = part.removeprefix("last:")
    last = part.startswith("last:") and blocks.isdigit() and int(blocks) > 0
    if part not in ("auto", "head", "all") and not last:
        raise SaltflatError(
            f"Setting `model.train_part` is {part!r}; choose head, all, or last:N for the last N blocks."
        )
    if model.features and (last or part == "all"):
        raise SaltflatError(
            f"Setting `model.train_part` is {part}, but of `model.features` only a head can be trained: "
            "leave one of the two out."
        )
    if model.val_features and not model.features:
        raise SaltflatError("Setting `model.val_features` needs `model.features`, those of the training set.")


def _with_settings(values: Mapping[str, object]) -> dict[str, object]:
    """The table `[compare]` with estimators' settings in a table of their own."""
    known = {item.name for item in fields(CompareConfig)} - {"settings"}
    own = {key: value for key, value in values.items() if key in known}
    names = own.get("estimators", ())
    if isinstance(names, list | tuple) and all(isinstance(one, str) for one in names):
        own["estimators"] = names = tuple(registry.plain(one) for one in names)
        rest = {key: value for key, value in values.items() if key not in known}
        own["settings"] = registry.checked_settings(rest, names, known)
    return own


def _take_estimators(values: dict, given: object, solver: object) -> None:
    """Put names into `score.estimator` (the run's own) and `compare.estimators` (all others).

    `vm` without `fvm` makes the run itself one of plain SGD; beside `fvm` it is one of the others.
    """
    names = [given] if isinstance(given, str) else list(given)
    names = list(dict.fromkeys(registry.plain(name) for name in names))
    main = "vm" if "vm" in names and "fvm" not in names else "fvm"
    values["score"] = {**values.get("score", {}), "estimator": main}
    if main == "vm" and solver is None:
        values["tune"] = {**values.get("tune", {}), "solver": "sgd"}
    others = [name for name in names if name not in ("fvm", main)]
    values["compare"] = {**values.get("compare", {}), "estimators": others}


def _without_none(values: dict) -> dict:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None
    }
