"""Whether values from a file are of the kinds that the program goes by."""

from __future__ import annotations

import math
from collections.abc import Callable

Shape = object
"""`str`, `int`, `float` (any number), `bool`; a tuple of shapes of which one must fit; `[shape]` for a list;
`{"key": shape, "key?": shape}` for an object that has, or may have, these keys and any others;
`{str: shape}` for an object with any keys; `object` for anything; or a function that returns a fault."""

_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}


def fault(value: object, shape: Shape, place: str = "") -> str | None:
    """What is wrong with `value`, as half a sentence that names the place; None if it is as it should be."""
    if shape is object:
        return None
    if isinstance(shape, dict):
        return _object_fault(value, shape, place)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return _not(value, "a list", place)
        found = (fault(one, shape[0], f"{place}[{number}]") for number, one in enumerate(value))
        return next((text for text in found if text), None)
    if isinstance(shape, tuple):
        faults = [fault(value, one, place) for one in shape]
        return None if None in faults else faults[0]
    if isinstance(shape, type):
        return None if _is(value, shape) else _not(value, _WORDS[shape], place)
    return _told(value, shape, place)


def text(value: object) -> str | None:
    """A shape: a text that is not empty."""
    return None if isinstance(value, str) and value.strip() else "a text that is not empty"


def moment(value: object) -> str | None:
    """A shape: seconds since 1970 that calendars know."""
    return None if _is(value, float) and 0 <= value < 1e11 else "a time in seconds since 1970"


def finite(value: object) -> str | None:
    """A shape: a finite number."""
    return None if _is(value, float) and math.isfinite(value) else "a finite number"


def amount(value: object) -> str | None:
    """A shape: a finite number from 0 on."""
    return None if _is(value, float) and math.isfinite(value) and value >= 0 else "a number from 0 on"


def whole(value: object) -> str | None:
    """A shape: a whole number from 0 on."""
    return None if _is(value, int) and value >= 0 else "a whole number from 0 on"


def _told(value: object, shape: Callable[[object], str | None], place: str) -> str | None:
    wanted = shape(value)
    return None if wanted is None else _not(value, wanted, place)


def _object_fault(value: object, shape: dict, place: str) -> str | None:
    if not isinstance(value, dict):
        return _not(value, "an object", place)
    for key, inner in shape.items():
        if key is str:
            found = [fault(one, inner, f"{place}.{name}".lstrip(".")) for name, one in value.items()]
        else:
            name = key.removesuffix("?")
            where = f"{place}.{name}".lstrip(".")
            if name not in value:
                if key.endswith("?"):
                    continue
                return f"it has no `{where}`"
            found = [fault(value[name], inner, where)]
        for text_ in found:
            if text_:
                return text_
    return None


def _is(value: object, kind: type) -> bool:
    if kind is bool or kind is type(None):
        return isinstance(value, kind)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind) and not isinstance(value, bool)


def _not(value: object, wanted: str, place: str) -> str:
    shown = repr(value)
    shown = shown if len(shown) <= 40 else f"{shown[:40]} …"
    return f"`{place}` is {shown}, not {wanted}" if place else f"it holds {shown}, not {wanted}"
