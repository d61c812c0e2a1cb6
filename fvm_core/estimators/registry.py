"""All estimators that a run can have: those of this package, of installed packages, and of single files.

Nothing here imports torch; an installed package or a file is imported when it is first asked for.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import fvm_core.estimators as package
from fvm_core.errors import SaltflatError
from fvm_core.estimators.base import Estimator
from fvm_core.estimators.setting import Setting, Value
from fvm_core.start_folder import absolute

GROUP = "saltflat.estimators"
"""Entry points by which an installed package brings estimators; each is named as its estimator."""
OWN = "fvm"
"""What a run ranks by itself; all others stand beside it."""

Kind = type[Estimator]

_DECLARED = ("title", "suspicious", "needs", "cost")


@cache
def built_in() -> dict[str, Kind]:
    """By name, what the modules of this package declare, in the order in which lists show it."""
    found: dict[str, Kind] = {}
    for module in pkgutil.iter_modules(package.__path__):
        if module.name in ("registry", "__main__"):
            continue
        loaded = importlib.import_module(f"{package.__name__}.{module.name}")
        for value in vars(loaded).values():
            own = inspect.isclass(value) and value.__module__ == loaded.__name__
            if own and issubclass(value, Estimator) and "name" in vars(value):
                if value.name in found:
                    raise TypeError(f"two estimators are called {value.name!r}")
                found[value.name] = value
    return dict(sorted(found.items(), key=lambda item: (item[1].place, item[0])))


@cache
def installed() -> dict[str, EntryPoint]:
    """By name, what installed packages bring, not loaded yet."""
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in built_in()}


def names() -> tuple[str, ...]:
    """All that can stand beside a run's own score by name, in the order in which lists show them."""
    return (*(name for name in built_in() if name != OWN), *sorted(installed()))


def loadable() -> tuple[dict[str, Kind], dict[str, str]]:
    """All that can stand beside a run's own score by name, and why some of installed packages can't."""
    found, faults = {}, {}
    for name in names():
        try:
            found[name] = find(name)
        except SaltflatError as error:
            faults[name] = str(error)
    return found, faults


def plain(name: str) -> str:
    """A name without its alias, and a file with its whole path."""
    for kind in built_in().values():
        if name in kind.aliases:
            return kind.name
    if is_file(name):
        path, _, attribute = name.rpartition(":")
        return f"{absolute(path)}:{attribute}"
    return name


def is_file(name: str) -> bool:
    """Whether it has the form `path/to/file.py:Class`."""
    path, _, attribute = name.rpartition(":")
    return path.endswith(".py") and attribute.isidentifier()


def check(name: str) -> None:
    """Raise `SaltflatError` for what can't be the name of an estimator; files are not looked at."""
    if not is_file(name) and name not in names():
        raise SaltflatError(
            f"There is no estimator `{name}`; choose from: {', '.join([OWN, *names()])}, or name a class of "
            "your own as path/to/file.py:Class."
        )


def find(name: str) -> Kind:
    """The class behind a name, an alias or `path/to/file.py:Class`.

    Raises:
        SaltflatError: there is none, or what is there can't be loaded or doesn't declare what it has to.
    """
    name = plain(name)
    if name in built_in():
        return built_in()[name]
    check(name)
    return _from_file(name) if is_file(name) else _from_package(name)


def title(name: str) -> str:
    """For people; that of a package or a file is its name, as nothing is loaded."""
    return built_in()[name].title if name in built_in() else name


def settings(chosen: tuple[str, ...] = ()) -> dict[str, Setting]:
    """By name, what the built-in estimators declare, and the chosen ones of packages."""
    kinds = [*built_in().values(), *(find(name) for name in chosen if name in installed())]
    return {one.name: one for kind in kinds for one in kind.settings}


def checked_settings(
    values: Mapping[str, object], chosen: tuple[str, ...], others: Iterable[str] = ()
) -> dict[str, Value]:
    """Values of estimators' settings with the types that they have.

    What a file declares is known only once its run starts, so that beside one unknown names are kept.

    Args:
        values: by name.
        chosen: the estimators of the run.
        others: further known names, for the message.

    Raises:
        SaltflatError: an unknown name, or a value that can't be.
    """
    known = settings(chosen)
    open_ended = any(is_file(name) for name in chosen)
    found: dict[str, Value] = {}
    for name, value in values.items():
        if name in known:
            found[name] = known[name].checked(value)
        elif open_ended and isinstance(value, bool | int | float | str):
            found[name] = value
        else:
            raise SaltflatError(
                f"Unknown setting `compare.{name}`; known here: {', '.join(sorted({*known, *others}))}."
            )
    return found


def settings_of(kinds: Iterable[Kind], values: Mapping[str, object]) -> dict[str, Value]:
    """Values of what these estimators declare, with the types that they have.

    Raises:
        SaltflatError: none of them declares it, or a value that can't be.
    """
    declared = {one.name: one for kind in kinds for one in kind.settings}
    for name in values:
        if name not in declared:
            others = [
                kind.name for kind in built_in().values() if any(one.name == name for one in kind.settings)
            ]
            asks = f"ask for {' or '.join(others)} with it" if others else "see `saltflat estimators`"
            raise SaltflatError(f"No estimator that is asked for has the setting `{name}`; {asks}.")
    return {name: declared[name].checked(value) for name, value in values.items()}


@cache
def _from_package(name: str) -> Kind:
    point = installed()[name]
    where = f"the package that brings the estimator `{name}` ({point.value})"
    try:
        loaded = point.load()
    except Exception as error:  # whatever somebody's module does when it is imported
        raise SaltflatError(f"{_upper(where)} can't be loaded: {type(error).__name__}: {error}") from error
    kind = _declaring(loaded, where)
    if kind.name != name:
        raise SaltflatError(
            f"{_upper(where)} calls its class {kind.name!r}: entry point and class need the same name."
        )
    return kind


def _from_file(name: str) -> Kind:
    path, _, attribute = name.rpartition(":")
    file = Path(path)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise SaltflatError(
            f"{file} can't be read ({error.strerror}): it was to bring an estimator."
        ) from None
    return _loaded(file, attribute, hashlib.sha256(content).hexdigest())


@cache
def _loaded(file: Path, attribute: str, digest: str) -> Kind:
    """The class of a file; a file that was changed since is loaded anew."""
    name = f"saltflat_estimator_{digest[:16]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise SaltflatError(f"{file} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look classes up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # as above
        del sys.modules[name]
        line = _line(error, file)
        raise SaltflatError(f"{file}{line} can't be loaded: {type(error).__name__}: {error}") from error
    if not hasattr(module, attribute):
        there = [
            key for key, value in vars(module).items() if _is_estimator(value) and hasattr(value, "name")
        ]
        raise SaltflatError(f"{file} has no {attribute}; estimators there: {', '.join(there) or 'none'}.")
    kind = _declaring(getattr(module, attribute), f"{file}:{attribute}")
    if kind.name in built_in() or kind.name in installed():
        raise SaltflatError(
            f"{file}:{attribute} is called {kind.name!r}, which is taken: give it another name."
        )
    return kind


def _declaring(found: object, where: str) -> Kind:
    """The class, if it declares all that a run has to know."""
    if not _is_estimator(found):
        raise SaltflatError(f"{_upper(where)} is no subclass of fvm_core.estimators.Estimator.")
    kind: Kind = found  # type: ignore[assignment]
    missing = [word for word in ("name", *_DECLARED) if not hasattr(kind, word)]
    if missing:
        raise SaltflatError(f"{_upper(where)} doesn't declare {', '.join(missing)}.")
    if not isinstance(kind.name, str) or not re.fullmatch(r"[a-z0-9][a-z0-9_]{0,63}", kind.name):
        raise SaltflatError(
            f"{_upper(where)} is called {kind.name!r}; a name has small letters, digits and underscores."
        )
    if kind.suspicious not in ("high", "low"):
        raise SaltflatError(
            f"{_upper(where)} has {kind.suspicious!r} as its suspicious end; say high or low."
        )
    abstract = sorted(getattr(kind, "__abstractmethods__", ()))
    if abstract:
        raise SaltflatError(f"{_upper(where)} lacks the method {', '.join(abstract)}.")
    known = {one.name for one in settings().values()}
    taken = [one.name for one in kind.settings if one.name in known]
    if taken:
        raise SaltflatError(
            f"{_upper(where)} declares the setting {', '.join(taken)}, which another estimator has already."
        )
    return kind


def _is_estimator(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, Estimator)


def _line(error: BaseException, file: Path) -> str:
    """Where in a file something went wrong, as `:12`."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f":{error.lineno}"
    found, trace = "", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            found = f":{trace.tb_lineno}"
        trace = trace.tb_next
    return found


def _upper(words: str) -> str:
    return words[:1].upper() + words[1:]
