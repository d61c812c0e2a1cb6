"""Numbers, times and labels as a person reads them."""

from __future__ import annotations

import html
import math
import re
import time
from collections import Counter
from collections.abc import Sequence

from fvm_core.wording import duration, size  # noqa: F401 (said here for the screens)

NARROW = "\u202f"
"""Narrow no-break space, between a number and its unit."""

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$&^=\"'/@])")


def count(number: float, one: str = "", many: str | None = None) -> str:
    """`1 sample`, `50,000 samples`, or only the number."""
    text = f"{int(number):,}"
    if not one:
        return text
    return f"{text} {one if int(number) == 1 else many or one + 's'}"


def percent(share: float | None, decimals: int = 1) -> str:
    """A fraction as `0.8 %`; a dash where it is not known."""
    if share is None or not math.isfinite(share):
        return "–"
    return f"{100 * share:.{decimals}f}{NARROW}%"


def percentile(value: float | None) -> str:
    """A percentile (0 to 100) as `99.2 %`; never rounded up to 100 before it is reached."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{math.floor(value * 10) / 10:.1f}{NARROW}%"


def value(number: float) -> str:
    """Three digits: `0.0123`, `10,600`, `1.06 × 10¹⁰`."""
    if not math.isfinite(number):
        return "–"
    if number == 0 or 1e-3 <= abs(number) < 1e6:
        rounded = float(f"{number:.3g}")
        return f"{rounded:,.0f}" if abs(rounded) >= 1000 else f"{rounded:g}"
    mantissa, exponent = f"{number:.2e}".split("e")
    return f"{mantissa} × 10{str(int(exponent)).translate(_SUPERSCRIPT)}"


def moment(seconds: float, now: float | None = None) -> str:
    """A time of day for today, a date for earlier."""
    then, today = time.localtime(seconds), time.localtime(now)
    if then[:3] == today[:3]:
        return time.strftime("today %H:%M", then)
    return time.strftime("%-d %b %H:%M" if then[0] == today[0] else "%-d %b %Y", then)


def plain(text: object) -> str:
    """Data for places that draw plain text: control characters and line breaks become visible blanks."""
    return " ".join(str(text).split()) or "(empty)"


def distinct(labels: Sequence[str]) -> list[str]:
    """Labels as plain text, all different: those that look the same get their numbers."""
    texts = [plain(label) for label in labels]
    seen = Counter(texts)
    return [text if seen[text] == 1 else f"{text} ({k})" for k, text in enumerate(texts)]


def in_html(text: object) -> str:
    """Data (a label, a file name, a run name) for HTML."""
    return html.escape(plain(text), quote=True)


def in_markdown(text: object) -> str:
    """Data for Markdown: nothing in it formats, links, loads an image or becomes an icon."""
    escaped = _MARKDOWN.sub(r"\\\1", plain(text))
    # Icons like :name: are replaced after Markdown is parsed, where a backslash is gone already.
    return escaped.replace(":", ":\u2060")
