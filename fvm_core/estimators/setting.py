"""A setting that an estimator declares, and that settings files, the command line and the app then have."""

from __future__ import annotations

from dataclasses import dataclass

from fvm_core.errors import SaltflatError
from fvm_core.typed_settings import typed

Value = bool | int | float | str


@dataclass(frozen=True)
class Setting:
    """One value in the table `[compare]` of a run's settings.

    Attributes:
        name: there and, with hyphens, on the command line; no two estimators give one name two meanings.
        default: whose type every value has.
        title: of its field in the app; help: one sentence.
        least: the smallest value; below: what every value is below; choices: all of them, with words.
    """

    name: str
    default: Value
    title: str
    help: str
    least: float | None = None
    below: float | None = None
    choices: tuple[tuple[str, str], ...] = ()

    def checked(self, value: object) -> Value:
        """The value with the default's type; raises `SaltflatError` naming the setting where it can't be."""
        key = f"compare.{self.name}"
        found: Value = typed(value, type(self.default), key)
        if self.choices and found not in dict(self.choices):
            raise SaltflatError(
                f"Setting `{key}` is {found!r}; choose one of: {', '.join(dict(self.choices))}."
            )
        if isinstance(found, int | float):
            if self.least is not None and found < self.least:
                raise SaltflatError(f"Setting `{key}` is {found}; it must be at least {self.least}.")
            if self.below is not None and found >= self.below:
                raise SaltflatError(f"Setting `{key}` is {found}; it must be below {self.below}.")
        return found
