"""Options of `saltflat run` that estimators declare."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from fvm_core.errors import SaltflatError
from fvm_core.estimators import registry
from fvm_core.estimators.setting import Setting, Value

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        show_default="none",
        help="A setting that an estimator of your own declares; may be given again.",
    ),
]


def with_estimator_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option for every setting of the estimators; the command takes them as `**settings`."""
    signature = inspect.signature(command, eval_str=True)
    taken = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    own = [_parameter(one) for one in registry.settings().values()]
    after = [one.name for one in taken].index("estimator") + 1
    command.__signature__ = signature.replace(parameters=[*taken[:after], *own, *taken[after:]])  # type: ignore[attr-defined]
    return command


def given_settings(texts: list[str] | None, options: Mapping[str, object] | None = None) -> dict[str, object]:
    """What `--set NAME=VALUE` gives, each value as it reads, and the options that were given.

    Raises:
        SaltflatError: another form.
    """
    found: dict[str, object] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise SaltflatError(f"--set {text!r} has not the form NAME=VALUE.")
        found[name] = _read(value)
    return found | {name: value for name, value in (options or {}).items() if value is not None}


def _parameter(one: Setting) -> inspect.Parameter:
    kind = type(one.default)
    words = f"{one.help} {' | '.join(dict(one.choices))}" if one.choices else one.help
    limits = {} if one.least is None else {"min": kind(one.least)}
    default = f"{one.default:g}" if isinstance(one.default, float) else str(one.default)
    option = typer.Option(help=words, show_default=default, **limits)
    return inspect.Parameter(
        one.name,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def _read(text: str) -> Value:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
