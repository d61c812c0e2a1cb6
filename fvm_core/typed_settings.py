"""Values of the types that settings have, from TOML, the command line or Python."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from fvm_core.errors import SaltflatError

_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
}


def typed(value: object, kind: Any, key: str) -> Any:
    """The value as one of `kind`: paths become texts, numbers of numpy plain ones, which TOML can hold.

    Raises:
        SaltflatError: it is of another type or not finite; named by `key`.
    """
    if get_origin(kind) is tuple:
        if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
            return tuple(dict.fromkeys(value))
        raise SaltflatError(f"Setting `{key}` is {value!r}; it must be a list of texts.")
    if get_origin(kind) is dict:
        return dict(table(value, key))
    allowed = get_args(kind) or (kind,)
    if tuple[float, float] in allowed:
        return None if value is None else _range(value, key)
    if type(value) in allowed and not (isinstance(value, float) and not math.isfinite(value)):
        return value
    if str in allowed and isinstance(value, Path):
        return str(value)
    if not isinstance(value, bool):
        if int in allowed and isinstance(value, Integral):
            return int(value)
        if float in allowed and isinstance(value, Real) and math.isfinite(value):
            return float(value)
    wanted = next(text for known, text in _WORDS.items() if known in allowed)
    raise SaltflatError(f"Setting `{key}` is {value!r}; it must be {wanted}.")


def _range(value: object, key: str) -> tuple[float, float]:
    """Two numbers, the lower first."""
    if isinstance(value, list | tuple) and len(value) == 2:
        low, high = (typed(one, float, key) for one in value)
        if low < high:
            return low, high
    raise SaltflatError(f"Setting `{key}` is {value!r}; it must be two numbers, the lower first: [0, 4095].")


def table(values: object, key: str) -> Mapping[str, Any]:
    """The values, if they are a table; raises `SaltflatError` otherwise."""
    if not isinstance(values, dict):
        raise SaltflatError(
            f"Setting `{key}` is {values!r}; it is a table: write [{key}] above its settings."
        )
    return values


def build(kind: type[Any], values: object, prefix: str) -> Any:
    """An object of the dataclass `kind` from a table of the settings.

    Raises:
        SaltflatError: no table, an unknown setting, or a value of another type than its field.
    """
    given = table(values, prefix.removesuffix("."))
    known = {item.name for item in fields(kind)}
    for key in given:
        if key not in known:
            raise SaltflatError(f"Unknown setting `{prefix}{key}`; known here: {', '.join(sorted(known))}.")
    types = get_type_hints(kind)
    return kind(**{key: typed(value, types[key], prefix + key) for key, value in given.items()})
