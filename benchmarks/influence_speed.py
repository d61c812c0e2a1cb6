"""Influence with one label, the argmin over labels and all labels: this engine against others.

Everything runs in one process on the same model, images and device: kronfluence's diagonal self-scores,
`vmap(grad)` for each label, and a loop over single samples. Prints milliseconds per sample, the ratio to
this engine with the given label, peak memory above what was there before, and the largest relative
difference to a float64 reference, with the sample where it is. Whether that is rounding is seen beside it: a
ReLU whose input is nearly 0 is open in float32 and closed in float64, or the other way, and then what is
left of the difference when the float64 reference takes the signs of that method's own pass.
Writes the table as Markdown where asked to.
"""

from __future__ import annotations

import copy
import ctypes
import gc
import logging
import platform
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import psutil
import torch
import torch.nn.functional as F
import typer
from cifar_resnet import cifar, tuned
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr
from sklearn.cluster import MiniBatchKMeans
from torch import nn
from torch.func import functional_call, grad, vmap

from fvm_core.allocator import keep_freed_memory
from fvm_core.diagonal.influence import DiagonalInfluence

DAMPING = 0.1
REFERENCES = 32
"""Samples with a float64 reference."""
WEIGHTS = Path("benchmarks/weights")


@dataclass
class Case:
    """What every method is given: weights D, model, images (N, …), labels (N,)."""

    name: str
    estimator: DiagonalInfluence
    images: torch.Tensor
    labels: torch.Tensor
    classes: int
    batch: int

    @property
    def model(self) -> nn.Module:
        """Tuned, in evaluation mode."""
        return self.estimator.tapped.model

    def parts(self, count: int) -> list[slice]:
        """Slices of the first `count` samples."""
        return [slice(start, min(start + self.batch, count)) for start in range(0, count, self.batch)]


@dataclass
class Row:
    """One method's result; `values` (n,) for the given labels or (n, K)."""

    method: str
    milliseconds: float
    megabytes: float
    values: torch.Tensor
    note: str = ""
    run: Callable | None = None


def main(
    labels: Annotated[str, typer.Option(help="Label column of CIFAR-10N.")] = "worse_label",
    classes: Annotated[int, typer.Option(help="10, or more: clusters within the classes.")] = 10,
    count: Annotated[int, typer.Option(help="Samples for the fast methods.")] = 256,
    few: Annotated[int, typer.Option(help="Samples for the slow ones.")] = 32,
    batch: Annotated[int, typer.Option()] = 32,
    validation: Annotated[int, typer.Option(help="Validation samples for the Fisher information.")] = 512,
    repeats: Annotated[int, typer.Option(help="The fastest of so many is reported.")] = 2,
    weights: Annotated[Path, typer.Option(help="Where cifar_resnet.py keeps weights.")] = WEIGHTS,
    model: Annotated[str, typer.Option(help="resnet18, or on a GPU resnet34.")] = "resnet18",
    device: Annotated[str, typer.Option()] = "cpu",
    only: Annotated[str, typer.Option(help="Letters of the methods: g, b, a, r, A, k, v, l.")] = "gbarAkvl",
    out: Annotated[Path | None, typer.Option(help="Markdown file to append the table to.")] = None,
) -> None:
    """Compare the methods on CIFAR-10N with a tuned ResNet-18."""
    keep_freed_memory()
    case = _case(labels, classes, count, batch, validation, tuned(labels, weights, name=model, device=device))
    ways: dict[str, Callable[[], Row]] = {
        "g": lambda: _timed(case, "Saltflat, given label", _given, count, repeats),
        "a": lambda: _timed(case, f"Saltflat, exact argmin of {classes}", _smallest(1), count, repeats),
        "r": lambda: _timed(case, "Saltflat, exact argmin and runner-up", _smallest(2), count, repeats),
        "b": lambda: _timed(case, "Saltflat, given label, bf16", _lower, count, repeats),
        "A": lambda: _timed(case, f"Saltflat, all {classes}", _smallest(None), few, repeats),
        "k": lambda: _kronfluence(case, count, repeats),
        "v": lambda: _timed(case, f"vmap(grad) × {classes}", _vmap, few, 1),
        "l": lambda: _timed(case, "one sample at a time, given label", _loop, few, 1),
    }
    found = {letter: ways[letter]() for letter in only}
    if {"g", "b"} <= found.keys():
        agreement = spearmanr(found["g"].values.cpu(), found["b"].values.cpu()).statistic
        found["b"].note = f"Spearman with fp32 {agreement:.5f}"
    rows = list(found.values())
    wanted = _reference(case, REFERENCES)
    title = (
        f"{model} that learnt {labels}, K = {classes}, batch {batch}, {count} samples ({few} for the slow "
        f"methods), its prediction is the given label on {_accuracy(case):.0f} %. {_machine(device)}"
    )
    if device != "cpu":
        title += _ceiling(case, rows[0].milliseconds)
    _print(rows, wanted, case, title, out)


def _case(labels, classes, count, batch, validation, model) -> Case:
    device = next(model.parameters()).device
    images, targets = (t.to(device) for t in cifar(labels, "train"))
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(5))
    images, targets = images[order[:count]], targets[order[:count]]
    val_images, val_targets = (t[:validation].to(device) for t in cifar("label", "test"))
    if classes > 10:
        others = cifar(labels, "train")[0][order[-max(4000, 20 * classes) :]].to(device)
        model, targets, val_targets = _finer(model, classes, images, val_images, others)
    estimator = DiagonalInfluence(model, images[:2], damping=DAMPING)
    starts = range(0, validation, batch)
    estimator.fit((val_images[i : i + batch], val_targets[i : i + batch]) for i in starts)
    return Case(labels, estimator, images, targets, classes, batch)


def _finer(model: nn.Module, classes: int, images, val_images, others):
    """The model with a head for `classes` clusters of its features, made and fitted on other images."""
    model = copy.deepcopy(model)
    head, model.fc = model.fc, nn.Identity()
    with torch.no_grad():
        found = [
            torch.cat([model(part) for part in each.split(128)]) for each in (images, val_images, others)
        ]
    clusters = MiniBatchKMeans(classes, random_state=0, n_init=3).fit(F.normalize(found[2]).cpu().numpy())
    targets = [torch.from_numpy(clusters.predict(F.normalize(f).cpu().numpy())).long() for f in found]
    targets = [values.to(images.device) for values in targets]
    torch.manual_seed(0)
    model.fc = nn.Linear(head.in_features, classes).to(images.device)
    optimizer = torch.optim.Adam(model.fc.parameters(), 0.01)
    for _ in range(200):
        optimizer.zero_grad()
        F.cross_entropy(model.fc(found[2]), targets[2]).backward()
        optimizer.step()
    return model.eval(), targets[0], targets[1]


def _given(case: Case, count: int) -> torch.Tensor:
    score = case.estimator.score
    return torch.cat([score(case.images[p], case.labels[p])[0] for p in case.parts(count)])


def _lower(case: Case, count: int) -> torch.Tensor:
    half = DiagonalInfluence(case.model, case.images[:2], damping=DAMPING, precision="bf16")
    half.use_fisher(case.estimator.fisher)
    return torch.cat([half.score(case.images[p], case.labels[p])[0] for p in case.parts(count)])


def _smallest(exact: int | None):
    def run(case: Case, count: int):
        options = {"exact": exact, "batch_size": case.batch}
        pools = case.images[:count].split(4 * case.batch)
        found = [case.estimator.score_all_labels(pool, **options) for pool in pools]
        values = torch.cat([f.values.masked_fill(~f.exact, torch.nan) for f in found])
        work = torch.cat([f.work for f in found]).mean()
        full = torch.cat([f.evaluations for f in found]).float().mean()
        return values, f"{full:.2f} labels in full, {work:.2f} backward passes per sample"

    return run


def _vmap(case: Case, count: int) -> torch.Tensor:
    """Per-sample gradients of every label by vmap, eight samples at a time, which was the fastest."""
    model, inverse = case.model, case.estimator.inverse
    values = {name: p.detach() for name, p in model.named_parameters()}

    def loss(own, image, label):
        return F.cross_entropy(functional_call(model, own, (image[None],)), label[None])

    gradients = vmap(grad(loss), in_dims=(None, 0, 0))
    found = case.images.new_zeros(count, case.classes)
    for label in range(case.classes):
        for start in range(0, count, 8):
            part = slice(start, min(start + 8, count))
            labels = torch.full((part.stop - start,), label, device=case.images.device)
            for name, g in gradients(values, case.images[part], labels).items():
                found[part, label] += g.square_().flatten(1) @ inverse[name].flatten()
    return found


def _loop(case: Case, count: int, model: nn.Module | None = None) -> torch.Tensor:
    model = model or case.model
    names, parameters = zip(*model.named_parameters(), strict=True)
    inverse = [case.estimator.inverse[name].to(parameters[0].dtype) for name in names]
    found = []
    for image, label in zip(case.images[:count].to(parameters[0].dtype), case.labels, strict=False):
        own = torch.autograd.grad(F.cross_entropy(model(image[None]), label[None]), parameters)
        found.append(sum((g.square() * d).sum() for g, d in zip(own, inverse, strict=True)))
    return torch.stack(found)


def _reference(case: Case, count: int, gates: list[torch.Tensor] | None = None) -> torch.Tensor:
    """(n, K) in float64, one sample and label at a time, at most ten labels.

    `gates` are, for every ReLU in the order of the pass, which of its units (n, …) are open; None: its own.
    """
    model = copy.deepcopy(case.model).double()
    return torch.stack(
        [_one_label(case, model, count, label, gates) for label in range(min(10, case.classes))], 1
    )


def _one_label(
    case: Case, model: nn.Module, count: int, label: int, gates: list[torch.Tensor] | None
) -> torch.Tensor:
    own = copy.copy(case)
    own.labels = torch.full_like(case.labels, label)
    if gates is None:
        return _loop(own, count, model)
    found = []
    for row in range(count):
        own.images, own.labels = case.images[row : row + 1], torch.full_like(case.labels[:1], label)
        with _gated(model, [gate[row : row + 1] for gate in gates]):
            found.append(_loop(own, 1, model))
    return torch.cat(found)


def _gates(case: Case, run: Callable, count: int) -> list[torch.Tensor] | None:
    """Which units of every ReLU are open in a method's first pass over each batch; None under vmap."""
    layers = [layer for layer in case.model.modules() if isinstance(layer, nn.ReLU)]
    seen: list[torch.Tensor] = []
    hooks = [
        layer.register_forward_pre_hook(lambda _layer, inputs: seen.append(inputs[0] > 0)) for layer in layers
    ]
    run(case, count)
    for hook in hooks:
        hook.remove()
    if any(torch._C._functorch.is_functorch_wrapped_tensor(gate) for gate in seen):
        return None
    calls = len(_calls(case, layers))
    passes, rows = [], 0
    for start in range(0, len(seen), calls):
        if rows < count:
            passes.append(seen[start : start + calls])
            rows += len(seen[start])
    return [torch.cat(parts)[:count] for parts in zip(*passes, strict=True)]


def _calls(case: Case, layers: list[nn.ReLU]) -> list[None]:
    """One entry for each ReLU of a pass; a module may be called several times."""
    found: list[None] = []
    hooks = [layer.register_forward_pre_hook(lambda _layer, _inputs: found.append(None)) for layer in layers]
    with torch.no_grad():
        case.model(case.images[:1])
    for hook in hooks:
        hook.remove()
    return found


@contextmanager
def _gated(model: nn.Module, gates: list[torch.Tensor]) -> Iterator[None]:
    """A pass whose ReLUs are open where they are told to be."""
    waiting = iter(gates)
    layers = [layer for layer in model.modules() if isinstance(layer, nn.ReLU)]
    forwards = [layer.forward for layer in layers]
    for layer in layers:
        layer.forward = lambda x: x * next(waiting)
    try:
        yield
    finally:
        for layer, forward in zip(layers, forwards, strict=True):
            layer.forward = forward


def _kronfluence(case: Case, count: int, repeats: int) -> Row:
    from kronfluence.analyzer import Analyzer, prepare_model
    from kronfluence.arguments import FactorArguments, ScoreArguments
    from kronfluence.task import Task

    class Classification(Task):
        def compute_train_loss(self, batch, model, sample=False):
            return F.cross_entropy(model(batch[0]), batch[1], reduction="sum")

        def compute_measurement(self, batch, model):
            return self.compute_train_loss(batch, model)

    task = Classification()
    model = prepare_model(copy.deepcopy(case.model), task)
    logging.disable(logging.WARNING)
    data = torch.utils.data.TensorDataset(case.images[:count], case.labels[:count])
    small = torch.utils.data.TensorDataset(case.images[:64], case.labels[:64])
    with tempfile.TemporaryDirectory() as folder:
        options = {"cpu": case.images.device.type == "cpu", "disable_tqdm": True, "log_level": logging.ERROR}
        analyzer = Analyzer("speed", model, task, output_dir=folder, disable_model_save=True, **options)
        factors = FactorArguments(strategy="diagonal", use_empirical_fisher=True)
        analyzer.fit_all_factors("f", small, per_device_batch_size=case.batch, factor_args=factors)

        def run(_case: Case, _count: int) -> torch.Tensor:
            scores = ScoreArguments(damping_factor=1e-8)
            analyzer.compute_self_scores(
                "s", "f", data, case.batch, score_args=scores, overwrite_output_dir=True
            )
            return torch.full((count,), torch.nan)

        row = _timed(case, "kronfluence 1.0.1, diagonal self-scores", run, count, repeats)
    row.note = "convolutions and Linear only"
    return row


def _timed(case: Case, method: str, run, count: int, repeats: int) -> Row:
    run(case, min(count, case.batch))
    gc.collect()
    seconds, peak = [], 0.0
    for _ in range(repeats):
        with _Memory(case.images.device) as memory:
            start = time.perf_counter()
            found = run(case, count)
            if case.images.device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
        peak = max(peak, memory.peak)
    values, note = found if isinstance(found, tuple) else (found, "")
    print(f"{method}: {min(seconds) / count * 1e3:.1f} ms {note}", flush=True)
    return Row(method, min(seconds) / count * 1e3, peak / 2**20, values, note, run)


class _Memory:
    """Peak bytes above those at the start: of the process, sampled, or of the CUDA allocator."""

    def __init__(self, device: torch.device):
        self._cuda = device.type == "cuda"

    def __enter__(self):
        gc.collect()
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()
            return self
        if platform.libc_ver()[0] == "glibc":
            ctypes.CDLL(None).malloc_trim(0)
        self._process, self._stop = psutil.Process(), threading.Event()
        self._before = self.peak = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            self.peak = max(self.peak, self._process.memory_info().rss)

    def __exit__(self, *_error) -> None:
        if self._cuda:
            self.peak = torch.cuda.max_memory_allocated() - self._before
            return
        self._stop.set()
        self._thread.join()
        self.peak -= self._before


def _relative(row: Row, wanted: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(n, K) relative differences, NaN where a method has no value."""
    values = row.values[: len(wanted)].double()
    if values.dim() == 1:
        whole = torch.full_like(wanted[: len(values)], torch.nan)
        own = labels[: len(values), None]
        inside = own < wanted.shape[1]
        filled = torch.where(inside, values[:, None], torch.nan)
        values = whole.scatter_(1, own.clamp(max=wanted.shape[1] - 1), filled)
    wanted = wanted[: len(values)]
    return ((values[:, : wanted.shape[1]] - wanted) / wanted).abs()


def _worst(row: Row, wanted: torch.Tensor, case: Case) -> str:
    """The largest relative difference, its sample and label, and what is left with the method's own ReLUs."""
    relative = _relative(row, wanted, case.labels)
    if not relative.isfinite().any():
        return ""
    place = int(relative.nan_to_num(-1, posinf=-1).argmax())
    sample, label = divmod(place, relative.shape[1])
    text = f"{relative[sample, label]:.1e} (sample {sample}, label {label})"
    gates = None if row.run is None else _gates(case, row.run, len(wanted))
    if gates is None:
        return text
    left = _relative(row, _reference(case, len(wanted), gates), case.labels)
    most = left[left.isfinite()].max()
    return f"{text}; {left[sample, label]:.1e} with its ReLUs, then at most {most:.1e}"


@torch.no_grad()
def _accuracy(case: Case) -> float:
    parts = case.parts(len(case.images))
    right = sum(int((case.model(case.images[p]).argmax(1) == case.labels[p]).sum()) for p in parts)
    return 100 * right / len(case.images)


def _ceiling(case: Case, milliseconds: float) -> str:
    """Achieved share of what a large float32 product reaches: forward, backward and gradients, 2 per MAC."""
    a = torch.randn(8192, 8192, device=case.images.device)
    a @ a
    torch.cuda.synchronize()
    start = time.perf_counter()
    a @ a
    torch.cuda.synchronize()
    peak = 2 * 8192**3 / (time.perf_counter() - start)
    achieved = 6 * sum(tap.cost for tap in case.estimator.tapped.taps.values()) / (milliseconds / 1e3)
    return (
        f" The given label reaches {achieved / 1e12:.1f} of {peak / 1e12:.1f} TFLOP/s of a float32 product."
    )


def _machine(device: str) -> str:
    name = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} CPU threads"
    return f"torch {torch.__version__}, {name}."


def _print(rows: list[Row], wanted: torch.Tensor, case: Case, title: str, out: Path | None) -> None:
    base = rows[0].milliseconds
    titles = ("method", "ms per sample", "ratio", "peak MB", "largest rel. diff. to float64", "")
    table, lines = Table(title=title), [f"\n{title}\n", f"| {' | '.join(titles)} |", "|---" * 6 + "|"]
    for name in titles:
        table.add_column(name)
    for row in rows:
        shown = _worst(row, wanted, case)
        numbers = (f"{row.milliseconds:.1f}", f"{row.milliseconds / base:.2f}", f"{row.megabytes:.0f}")
        cells = (row.method, *numbers, shown, row.note)
        table.add_row(*cells)
        lines.append(f"| {' | '.join(cells)} |")
    Console(width=150).print(table)
    if out is not None:
        with out.open("a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    typer.run(main)
