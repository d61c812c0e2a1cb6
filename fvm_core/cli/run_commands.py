"""`saltflat run` and `saltflat demo`."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from fvm_core.cli.commands import application, console, execute_shown
from fvm_core.cli.defaults import shown_default
from fvm_core.cli.estimator_options import SetOption, given_settings, with_estimator_settings
from fvm_core.config import (
    DEVICES,
    FITS,
    OPTIONS,
    PRECISIONS,
    SOLVERS,
    STEMS,
    ModelConfig,
    RunConfig,
    TrainConfig,
    TuneConfig,
)
from fvm_core.data.conversion import BACKGROUNDS
from fvm_core.errors import SaltflatError
from fvm_core.estimators import registry
from fvm_core.start_folder import own_digits
from fvm_core.toml_file import read_toml
from fvm_core.wording import duration, size
from fvm_core.workspace import Workspace

Source = Annotated[
    str | None,
    typer.Option(
        metavar="SPEC",
        show_default="that of --config",
        help="`digits`, `cifar10:ROOT`, `cifar100:ROOT`, or a path: folder of class folders, .csv, .tsv, "
        ".jsonl, .parquet, .npz, or a folder or pattern ('train-*.parquet') of tables.",
    ),
]


def setting(name: str, *flags: str, **about: object):
    """A `typer.Option` whose help names the default of the setting."""
    return typer.Option(*flags, show_default=shown_default(name), **about)


def _listed(values: tuple[str, ...]) -> str:
    return " | ".join(values)


@application.command()
def demo(
    out: Annotated[
        Path | None, typer.Option(help="Run folder; by default a new one in the workspace.")
    ] = None,
) -> None:
    """Clean 1,200 handwritten digits with planted noise, end to end, in about a minute on two cores."""
    from fvm_core.cli.tables import metrics_table, run_rows
    from fvm_core.demo import demo_config
    from fvm_core.pipeline.runner import register
    from fvm_core.runs.run_folder import RunFolder

    begun = time.monotonic()
    out = out or Workspace.default().new_run_folder("digits-demo")
    config = demo_config()
    run = RunFolder.create(out, config)
    if reason := register(run):
        console.print(reason)
    execute_shown(run)
    # VM from the same θ*, for comparison: only the solver differs.
    checkpoint = str((run.checkpoints / "theta_star.safetensors").resolve())
    vm_config = replace(
        config,
        name="digits-demo-vm",
        model=ModelConfig(checkpoint=checkpoint),
        train=TrainConfig(epochs=0),
        tune=TuneConfig(solver="sgd"),
        embed=False,
    )
    vm = RunFolder.create(out / "vm", vm_config)
    register(vm)
    execute_shown(vm)
    rows = run_rows(run, run.metrics)
    vm_rows = run_rows(vm, vm.metrics)
    wrong, samples = run.metrics["wrong_labels"], run.metrics["samples"]
    title = f"Handwritten digits, {wrong:,} of {samples:,} labels planted wrong"
    console.print(metrics_table(title, [*rows[:2], *vm_rows[2:], *rows[2:]]))
    console.print(f"Done in {duration(time.monotonic() - begun)}. The run is in {out}.")
    console.print("Look at it with `saltflat app`.")


@application.command()
@with_estimator_settings
def run(
    out: Annotated[Path, typer.Option(help="Run folder to make.")],
    train: Source = None,
    val: Source = None,
    config: Annotated[
        Path | None, typer.Option(show_default="none", help="TOML file with settings; options win over it.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", show_default="off", help="Go on with the run in --out, with its settings."),
    ] = False,
    label_column: Annotated[str | None, setting("label_column", help="Column of the given labels.")] = None,
    true_label_column: Annotated[
        str | None, setting("true_label_column", help="Column of true labels, to measure.")
    ] = None,
    image_column: Annotated[
        str | None, setting("image_column", help="Column of images or their paths.")
    ] = None,
    id_column: Annotated[str | None, setting("id_column", help="Column of ids.")] = None,
    image_root: Annotated[
        Path | None, setting("image_root", help="Folder of the images that a table names by their paths.")
    ] = None,
    split: Annotated[
        str | None,
        setting("split", help="Which part of a source that holds several, such as train and test."),
    ] = None,
    val_label_column: Annotated[
        str | None, setting("val_label_column", help="Label column of the validation set.")
    ] = None,
    val_image_column: Annotated[
        str | None, setting("val_image_column", help="Its column of images or their paths.")
    ] = None,
    val_id_column: Annotated[str | None, setting("val_id_column", help="Its column of ids.")] = None,
    val_image_root: Annotated[
        Path | None, setting("val_image_root", help="Folder of the images that its table names.")
    ] = None,
    val_split: Annotated[
        str | None, setting("val_split", help="The part that is the validation set.")
    ] = None,
    limit: Annotated[int | None, setting("limit", min=1, help="Train on N rows drawn at random.")] = None,
    val_limit: Annotated[
        int | None, setting("val_limit", min=1, help="Validate on N rows drawn at random.")
    ] = None,
    noise: Annotated[
        float | None, setting("noise", min=0, max=1, help="Share of planted noise (digits).")
    ] = None,
    noise_kind: Annotated[
        str | None, setting("noise_kind", help="symmetric | class_dependent (digits).")
    ] = None,
    window: Annotated[
        tuple[float, float] | None,
        setting(
            "window",
            metavar="LOW HIGH",
            help="Values shown as black and white, of pictures with more than 8 bits (thermal, CT, float).",
        ),
    ] = None,
    background: Annotated[
        str | None,
        setting("background", help=f"Under transparent pictures: {_listed(tuple(BACKGROUNDS))}."),
    ] = None,
    model: Annotated[
        str | None,
        setting(
            "model",
            help="`small_cnn`, a torchvision classification model, or `timm:NAME` for any of timm's, such as "
            "timm:tf_efficientnet_lite0, whose ImageNet weights are installed with Saltflat.",
        ),
    ] = None,
    stem: Annotated[str | None, setting("stem", help=_listed(STEMS))] = None,
    size: Annotated[
        int | None, setting("size", min=1, help="Height and width images are brought to.")
    ] = None,
    fit: Annotated[
        str | None,
        setting(
            "fit",
            help=f"Wide and tall images: {_listed(FITS)}; auto crops where that costs the median image less "
            "than 20 %, and pads elsewhere.",
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None, setting("checkpoint", help="Weights of θ*: .pt, .pth, .safetensors.")
    ] = None,
    pretrained: Annotated[bool | None, setting("pretrained", help="Start from ImageNet weights.")] = None,
    backbone_weights: Annotated[
        Path | None,
        setting(
            "backbone_weights",
            metavar="FILE",
            help="ImageNet weights of the model, of torchvision, timm or your own: .pt, .pth, .safetensors.",
        ),
    ] = None,
    train_part: Annotated[
        str | None,
        setting(
            "train_part",
            help="head: every image is embedded once, and a linear head is trained on the features | last:N: "
            "the last N blocks too | all; auto is head for a pretrained backbone.",
        ),
    ] = None,
    mirror: Annotated[
        bool | None,
        setting("mirror", help="Embed the mirror image of each image too and take the mean."),
    ] = None,
    features: Annotated[
        Path | None,
        setting(
            "features",
            help="Embeddings made elsewhere, in place of a backbone: .npy, .npz, or .parquet by id.",
        ),
    ] = None,
    val_features: Annotated[
        Path | None, setting("val_features", help="Those of the validation set, where it is another file.")
    ] = None,
    budget: Annotated[
        float | None,
        setting(
            "budget",
            metavar="MINUTES",
            min=0,
            help="With the model auto: how long the run may take for trying other classifiers too, a small "
            "network and the last block of the backbone; 0 tries none.",
        ),
    ] = None,
    epochs: Annotated[
        int | None, setting("epochs", min=0, help="Training epochs; 0 takes the checkpoint.")
    ] = None,
    train_lr: Annotated[float | None, setting("train_lr", help="Learning rate of training.")] = None,
    augment: Annotated[bool | None, setting("augment", help="Random crop and flip while training.")] = None,
    solver: Annotated[str | None, setting("solver", help=f"{_listed(SOLVERS)}; sgd is VM.")] = None,
    gamma: Annotated[float | None, setting("gamma", min=0, help="Radius of flatness.")] = None,
    steps: Annotated[int | None, setting("steps", min=0, help="Tuning steps; the paper takes 1000.")] = None,
    saved_steps: Annotated[
        int | None, setting("saved_steps", min=1, help="Steps at which influence is computed.")
    ] = None,
    lr: Annotated[float | None, setting("lr", help="Learning rate of tuning; the paper takes 0.01.")] = None,
    crossfit_rounds: Annotated[
        int | None,
        setting(
            "crossfit_rounds",
            min=0,
            max=2,
            help="Rounds of scores by models that have not seen the label; 0 leaves them out. For a whole "
            "network each round is a training for every fold.",
        ),
    ] = None,
    crossfit_folds: Annotated[
        int | None, setting("crossfit_folds", min=2, max=50, help="Their folds.")
    ] = None,
    proximity: Annotated[
        float | None,
        setting("proximity", min=0, help="How strongly their tuning is held near where it began."),
    ] = None,
    estimator: Annotated[
        list[str] | None,
        setting(
            "estimator",
            metavar="NAME",
            help="What ranks the samples: fvm, or vm (plain SGD). Give it again for others beside it, "
            f"a class of your own as path/to/file.py:Class: {', '.join(registry.names())}.",
        ),
    ] = None,
    set_: SetOption = None,
    keep_checkpoints: Annotated[
        int | None,
        setting("keep_checkpoints", min=0, help="Checkpoints that training keeps; evenly spaced."),
    ] = None,
    best_epoch: Annotated[
        int | None,
        setting("best_epoch", min=1, help="Kept epoch for lissa_best & co."),
    ] = None,
    planted: Annotated[
        float | None,
        setting(
            "planted",
            min=0,
            max=0.9,
            help="Share of the validation set held back to measure scores by planted wrong labels.",
        ),
    ] = None,
    figures: Annotated[
        bool | None,
        setting(
            "figures",
            "--figures",
            help="Also score at kept checkpoints and saved steps, for the paper's figures 2 and 3.",
        ),
    ] = None,
    damping: Annotated[
        float | None, setting("damping", min=0, help="Added to the Fisher information.")
    ] = None,
    damping_kind: Annotated[
        str | None, setting("damping_kind", help="relative (to the mean Fisher) | per_tensor | absolute.")
    ] = None,
    score_precision: Annotated[
        str | None,
        setting("score_precision", help="Of scoring: fp32 | bf16, which is taken where it ranks as fp32."),
    ] = None,
    batch_size: Annotated[
        str | None, setting("batch_size", help="auto, or samples per scoring pass.")
    ] = None,
    device: Annotated[str | None, setting("device", help=_listed(DEVICES))] = None,
    precision: Annotated[
        str | None, setting("precision", help=f"Of training: {_listed(PRECISIONS)}.")
    ] = None,
    seed: Annotated[int | None, setting("seed", help="Makes the run repeatable.")] = None,
    embed: Annotated[bool | None, setting("embed", help="Make the map (UMAP).")] = None,
    name: Annotated[str | None, setting("name", help="Name of the run.")] = None,
    **estimator_settings: object,
) -> None:
    """Train, tune to a flat validation minimum, score every training sample and suggest labels."""
    given = dict(locals())
    given["estimator_settings"] = given_settings(given.pop("set_"), estimator_settings)
    from fvm_core.runs.run_folder import RunFolder

    folder = RunFolder(out)
    if resume and folder.exists():
        execute_shown(folder)
    else:
        folder.refuse_used()
        folder = start(out, _settings(given))
    _tell(folder)


def start(out: Path, settings: RunConfig):
    """Check data and settings, tell what the run will take, make its folder and do it; returns the run."""
    from fvm_core.data.problems import align_classes
    from fvm_core.pipeline.estimate import estimate
    from fvm_core.pipeline.preflight import checked
    from fvm_core.pipeline.prepare import open_data
    from fvm_core.pipeline.runner import register
    from fvm_core.runs.run_folder import RunFolder

    data = align_classes(*open_data(settings))
    settings = checked(settings, *data)
    expected = estimate(settings, *data)
    longest = max(expected.stages, key=expected.stages.get)
    console.print(
        f"{len(data[0]):,} training and {len(data[1]):,} validation samples, {expected.model_summary}, on "
        f"{expected.device}."
    )
    console.print(
        f"Takes about {duration(expected.seconds)} (longest stage: {longest}, "
        f"{duration(expected.stages[longest])}), {size(expected.memory_bytes)} of memory and "
        f"{size(expected.disk_bytes)} of disk."
    )
    for notice in expected.notices:
        console.print(notice)
    made = RunFolder.create(out, settings, estimate=expected.stages)
    if reason := register(made):
        console.print(reason)
    execute_shown(made, data)
    return made


def _settings(given: dict) -> RunConfig:
    """The settings from `--config`, with the options that were given in front."""
    from fvm_core.data.options import TRAINING, VALIDATION, shared_columns, taken

    file = given["config"]
    base = read_toml(file) if file else {}
    for key, split in (("train_data", "train"), ("val_data", "val")):
        stored = base.get(key, {})
        if not isinstance(stored, dict):
            raise SaltflatError(f"{file}: Setting `{key}` is {stored!r}; write [{key}] above its settings.")
        option = key.split("_")[0]
        source = stored.get("source") if given[option] is None else own_digits(given[option])
        if source is None:
            raise SaltflatError(f"Say where the images are: --{option} SPEC (or --config FILE).")
        if split == "train":
            own, shared = taken(given, TRAINING), {}
        else:
            own, shared = taken(given, VALIDATION), shared_columns(base["train_data"], source)
        base[key] = {"split": split, **shared, **stored, **own, "source": source}
    try:
        stored = RunConfig.from_dict(base)
    except SaltflatError as error:
        raise SaltflatError(f"{file}: {error}" if file else str(error)) from None
    options = {
        key: str(value) if isinstance(value, Path) else value
        for key, value in given.items()
        if key in _RUN_OPTIONS
    }
    options["batch_size"] = _batch_size(given["batch_size"])
    base = stored.to_dict()
    base["compare"] |= given["estimator_settings"]
    return RunConfig.from_options(stored.train_data, stored.val_data, options, base)


_RUN_OPTIONS = tuple(name for name in OPTIONS if name not in ("batch_size", "alternatives"))


def _batch_size(text: str | None) -> int | None:
    if text is None:
        return None
    if text == "auto":
        return 0
    if not text.isdigit() or int(text) == 0:
        raise SaltflatError(f"--batch-size is {text!r}; give `auto` or a number of samples.")
    return int(text)


def _tell(run) -> None:
    from fvm_core.cli.tables import metrics_table, run_rows
    from fvm_core.comparison.reasons import reasons

    summary = run.info["summary"]
    seconds = sum(stage["seconds"] for stage in run.info["stages"].values())
    console.print(
        f"{run.name}: {run.info['samples']:,} samples in {duration(seconds)}. {summary['flagged']:,} are "
        f"above the default threshold, {summary['suggested_relabels']:,} have another suggested label.",
    )
    for problem in run.info["problems"]:
        console.print(f"{problem['where']}: {problem['message']}")
    if run.metrics:
        console.print(metrics_table("Against the true labels", run_rows(run, run.metrics)))
    for reason in reasons(run):
        console.print(reason)
    console.print(f"Review it with `saltflat app`, or export {run.path} with `saltflat export`.")
