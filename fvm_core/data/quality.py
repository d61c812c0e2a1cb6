"""Pictures that show little or are unlike the others: blank, dark, bright, blurred, odd in size or shape."""

from __future__ import annotations

import numpy as np

from fvm_core.data.dataset import Problem
from fvm_core.data.wording import count

BLANK = 1.5
"""Standard deviation of the luminance, of 255, below which a picture is of one colour but for noise of the
camera and of JPEG."""
LITTLE_CONTRAST = 5.0
"""The same below which a person sees next to nothing; the palest of 10,000 CIFAR images has 7.6."""
DARK = 64
"""Luminance, of 255, that 99 % of a very dark picture stay below: a quarter of the range."""
BRIGHT = 192
"""Luminance that 99 % of a very bright picture lie above; for CIFAR this ends at 141."""
BLURRED = 0.1
"""Sharpness (see `measure`) below which a picture is blurred. Parts of two photographs had at least 0.16, the
same blurred by 1 % of their width about 0.15 and by 2 % about 0.06."""
BLURRED_SHARE = 1 / 3
"""And below this share of the dataset's median: X-rays and skies are smooth and are not blurred."""
ODD_SIZE = 2.0
"""Powers of two, so four times, by which the side (root of width × height) of an odd-sized picture differs
from the median."""
ODD_SHAPE = 1.0
"""Powers of two, so twice, by which a picture is longer than the median one for its width."""
SPREAD = 3.0
"""Interquartile ranges by which size and shape have to differ too: where everything varies nothing is odd."""


def usable(measures: np.ndarray, readable: np.ndarray) -> np.ndarray:
    """N booleans: pictures that can be read and show something."""
    return readable & (measures["contrast"] >= LITTLE_CONTRAST)


def quality_problems(measures: np.ndarray, readable: np.ndarray, where: str, words: str) -> list[Problem]:
    """What pictures are unlike what a classifier can learn from; every picture is named once for its light.

    Args:
        measures: N `MEASURES`.
        readable: N booleans.
        where: `train` or `val`.
        words: what the set is called, such as "training".
    """
    if not readable.any():
        return []
    contrast, shows = measures["contrast"], usable(measures, readable)
    blank = readable & (contrast < BLANK)
    pale = readable & (contrast < LITTLE_CONTRAST) & ~blank
    if 2 * (blank | pale).sum() > readable.sum():
        found = [_set_without_contrast(blank | pale, readable, where, words)]
    else:
        nothing, file = "Exclude what shows nothing.", "Look whether the files are right."
        found = [
            _problem("blank_image", blank, where, words, ("has", "have"), f"one colour only. {nothing}"),
            _problem("low_contrast", pale, where, words, ("has", "have"), f"almost no contrast. {file}"),
        ]
    dark = shows & (measures["brightest"] < DARK)
    bright = shows & (measures["darkest"] > BRIGHT)
    advice = "Exclude what nobody can recognise."
    for kind, mask, what in (
        ("dark_image", dark, "very dark"),
        ("bright_image", bright, "very bright"),
        ("blurred_image", _blurred(measures["sharpness"], shows), "blurred"),
    ):
        found.append(_problem(kind, mask, where, words, ("is", "are"), f"{what}. {advice}"))
    return [*(problem for problem in found if problem), *_odd(measures, readable, where, words)]


def _blurred(sharpness: np.ndarray, shows: np.ndarray) -> np.ndarray:
    known = shows & np.isfinite(sharpness)
    if not known.any():
        return known
    return known & (sharpness < min(BLURRED, BLURRED_SHARE * float(np.median(sharpness[known]))))


def cut_off(measures: np.ndarray, names: list[str], where: str) -> Problem | None:
    """The notice on files that lack their last bytes and are used; `names` are the rows' ids."""
    rows = np.flatnonzero(measures["missing"] > 0)
    if not len(rows):
        return None
    shares = [f"{100 * one:.0f} %" if one >= 0.01 else "less than 1 %" for one in measures["missing"][rows]]
    notes = tuple(f"{share} of the rows missing" for share in shares)
    first = ", ".join(f"{names[row]} ({note})" for row, note in zip(rows[:3], notes, strict=False))
    lack = "1 file lacks its" if len(rows) == 1 else f"{len(rows):,} files lack their"
    text = (
        f"{lack} last bytes; what is there is used: {first}{' …' if len(rows) > 3 else ''}. Copy them anew."
    )
    return Problem("cut_off_image", text, tuple(rows.tolist()), where, "notice", notes)


def _set_without_contrast(mask: np.ndarray, readable: np.ndarray, where: str, words: str) -> Problem:
    """The problem of a whole set whose pictures have nearly no spread."""
    text = (
        f"{int(mask.sum()):,} of {count(int(readable.sum()), f'{words} image')} have almost no contrast: "
        "what they show fills a small part of the range from black to white. Set the values for black and "
        "white (`window`, --window LOW HIGH) or what transparent images are laid on (--background), or look "
        "whether the files are right."
    )
    return Problem("low_contrast", text, _rows(mask), where)


def _problem(
    kind: str, mask: np.ndarray, where: str, words: str, verbs: tuple[str, str], text: str
) -> Problem | None:
    number = int(mask.sum())
    if not number:
        return None
    verb = verbs[0] if number == 1 else verbs[1]
    return Problem(kind, f"{count(number, f'{words} image')} {verb} {text}", _rows(mask), where)


def _odd(measures: np.ndarray, readable: np.ndarray, where: str, words: str) -> list[Problem]:
    width, height = np.maximum(measures["width"], 1), np.maximum(measures["height"], 1)
    side = np.log2(width.astype(float) * height) / 2
    shape = np.log2(np.maximum(width, height) / np.minimum(width, height))
    found = []
    for kind, values, least, what, both in (
        ("odd_size", side, ODD_SIZE, "much larger or smaller than", True),
        ("odd_shape", shape, ODD_SHAPE, "much longer for their width than", False),
    ):
        low, median, high = np.percentile(values[readable], (25, 50, 75))
        away = np.abs(values - median) if both else values - median
        mask = readable & (away > max(least, SPREAD * (high - low)))
        rows = np.flatnonzero(mask)
        if len(rows):
            be = "is" if len(rows) == 1 else "are"
            usual = np.flatnonzero(readable)[np.abs(values[readable] - median).argmin()]
            text = (
                f"{count(len(rows), f'{words} image')} {be} {what} the others, such as "
                f"{_size(measures[rows[0]])} where {_size(measures[usual])} is usual. Look whether they "
                "belong here."
            )
            notes = tuple(_size(measures[row]) for row in rows)
            found.append(Problem(kind, text, tuple(rows.tolist()), where, notes=notes))
    return found


def _size(one: np.void) -> str:
    return f"{one['width']:,} × {one['height']:,} px"


def _rows(mask: np.ndarray) -> tuple[int, ...]:
    return tuple(np.flatnonzero(mask).tolist())
