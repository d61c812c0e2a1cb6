"""One conversion to 8 bits for a whole dataset, from a sample of its pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fvm_core.data.conversion import BACKGROUNDS, PLAIN, Conversion, conversion_of
from fvm_core.data.dataset import ImageDataset, ImageSource, Problem
from fvm_core.data.parallel import in_chunks
from fvm_core.errors import UnreadableImage

SAMPLE = 100
"""Pictures looked at, evenly spaced: percentiles of a million values hardly move with more."""

PERCENTILES = (0.5, 99.5)
"""The window's ends: dead pixels, metal and other outliers lie beyond, and take no contrast from the rest."""

FULL_RANGES = ((0.0, 1.0), (0.0, 255.0), (0.0, 65535.0))
"""Ranges that values usually stand for. A dataset that fills at least half of one keeps it, so that a well
exposed one looks as it was meant."""

VISIBLE = 16.0
"""Standard deviation of the luminance, of 255, from which a drawing is plain to see on its background."""

_VALUES = 16_384  # of one picture
_NOTHING = 1e30  # "no data" of floats is the type's lowest or highest value


@dataclass(frozen=True)
class Choice:
    """What suits some pictures, None for what they leave no choice in, and what people should know of it."""

    window: tuple[float, float] | None = None
    background: str | None = None
    notices: tuple[Problem, ...] = ()


def with_conversion(
    train: ImageDataset, val: ImageDataset | None = None
) -> tuple[ImageDataset, ImageDataset | None]:
    """Both sets with the same conversion, so that brightness means the same in both.

    What the spec of a set names is kept; the rest is chosen by the training images, and where these leave no
    choice, by those of the validation set. The choice stands in `spec`, and in `problems` as a notice.
    """
    suits = choose(train.images)
    train = _with(train, suits)
    if val is None:
        return train, None
    used, own = conversion_of(train.images), choose(val.images)
    named = train.spec is not None and train.spec.background is not None
    shared = Choice(
        window=used.window or own.window,
        background=used.background if suits.background or named else own.background,
        notices=tuple(one for one in own.notices if one.kind != "window" or used.window is None),
    )
    return train, _with(val, shared)


def choose(images: ImageSource) -> Choice:
    """What suits a sample of the pictures; nothing where all are opaque and of 8 bits."""
    if not hasattr(images, "convertible"):
        return Choice()
    rows = np.unique(np.linspace(0, len(images) - 1, min(SAMPLE, len(images))).astype(int))
    deep, contrasts = [], []

    def look(places: range) -> list[np.ndarray]:
        return [found for row in rows[places] if (found := _sampled(images, int(row))) is not None]

    for found in (one for part in in_chunks(look, len(rows), chunk=8) for one in part):
        if found.ndim == 2:
            contrasts.append(_contrasts(found))
        else:
            deep.append(found)
    window, background, notices = None, None, []
    if deep:
        window, text = _window(deep)
        notices.append(Problem("window", text, severity="notice"))
    if contrasts:
        background = _background(np.array(contrasts))
        if background != "white":
            text = (
                f"Drawings on transparent ground are laid on {background}, on which most of them can be "
                "seen. Another ground: the setting `background` (--background)."
            )
            notices.append(Problem("background", text, severity="notice"))
    return Choice(window, background, tuple(notices))


def converted(dataset: ImageDataset, conversion: Conversion) -> ImageDataset:
    """The same rows in a conversion, where the images know of one."""
    if conversion_of(dataset.images) == conversion or not hasattr(dataset.images, "converted"):
        return dataset
    return replace(dataset, images=dataset.images.converted(conversion))


def _with(dataset: ImageDataset, choice: Choice) -> ImageDataset:
    """The dataset in the chosen conversion, but for what its spec names."""
    spec = dataset.spec
    window = choice.window if spec is None or spec.window is None else spec.window
    background = choice.background if spec is None or spec.background is None else spec.background
    asked = {
        kind for kind in ("window", "background") if spec is not None and getattr(spec, kind) is not None
    }
    if spec is not None:
        spec = replace(spec, window=window, background=background)
    notices = [notice for notice in choice.notices if notice.kind not in asked]
    dataset = replace(dataset, spec=spec, problems=[*dataset.problems, *notices])
    return converted(dataset, Conversion(window, background or PLAIN.background))


def _sampled(images: ImageSource, row: int) -> np.ndarray | None:
    """Values of one picture: M deep ones, or M×4 of a transparent one."""
    try:
        values = images.convertible(row)
    except UnreadableImage:
        return None
    if values is None:
        return None
    see_through = values.dtype == np.uint8
    values = values.reshape(-1, 4) if see_through else values.reshape(-1)
    values = values[:: max(1, len(values) // _VALUES)]
    return values.copy()  # a view would keep the whole picture


def _window(deep: list[np.ndarray]) -> tuple[tuple[float, float] | None, str]:
    """The window, None where all values are one, and the notice on it."""
    names = sorted({str(values.dtype) for values in deep})
    whole = all(values.dtype.kind in "iu" for values in deep)
    values = np.concatenate([_present(values) for values in deep])
    kind = f"Pictures of {' and '.join(names)} values"
    if not len(values) or values.min() == values.max():
        return (
            None,
            f"{kind} that are all the same: nothing can be told apart. Look whether the files are right.",
        )
    low, high = np.percentile(values, PERCENTILES)
    least, most = float(values.min()), float(values.max())
    if low == high:  # more than 99 % are one value: the rest is what can be seen
        low, high = least, most
    text = f"{kind} from {least:,.6g} to {most:,.6g}"
    for start, stop in FULL_RANGES:
        if start <= least and most <= stop:
            if high - low >= (stop - start) / 2:
                return (
                    start,
                    stop,
                ), f"{text} are shown from {start:,.6g} (black) to {stop:,.6g} (white). {_HOW}"
            break
    low, high = (np.floor(low), np.ceil(high)) if whole else (_rounded(low), _rounded(high))
    share = PERCENTILES[1] - PERCENTILES[0]
    return (float(low), float(high)), (
        f"{text} are shown from {low:,.6g} (black) to {high:,.6g} (white), between which {share:g} % of a "
        f"sample lie. {_HOW}"
    )


_HOW = "Another range: the setting `window` (--window LOW HIGH)."


def _present(values: np.ndarray) -> np.ndarray:
    """Without what stands for "no data": NaN, infinite, a type's lowest value."""
    if values.dtype.kind == "f":
        exact = values.astype(np.float64)
        return exact[np.isfinite(exact) & (np.abs(exact) < _NOTHING)]
    if values.dtype.kind == "i":
        values = values[values != np.iinfo(values.dtype).min]
    return values.astype(np.float64)


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _contrasts(rgba: np.ndarray) -> list[float]:
    """Standard deviation of the luminance on each background, of M×4 colours with opacity."""
    luminance = rgba[:, :3] @ np.array([0.299, 0.587, 0.114])
    opacity = rgba[:, 3] / 255
    return [float((opacity * (luminance - ground)).std()) for ground in BACKGROUNDS.values()]


def _background(contrasts: np.ndarray) -> str:
    """White where nearly all drawings can be seen on it, else what most can be seen on."""
    seen = (contrasts >= VISIBLE).mean(axis=0)
    names = list(BACKGROUNDS)
    return names[0] if seen[0] >= 0.95 else names[int(seen.argmax())]
